//! A job whose second worker is killed again and again.

use crate::support::case::Failed;
use crate::support::store::store;
use crate::support::sys;
use cofferdam::{Context, Failure, Isolation, Job, JobHandle, Processor, StartContext};
use std::hint::black_box;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

/// No worker needs that long for anything.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// More than one run can use up.
const ITEMS: u64 = u64::MAX >> 16;

/// In the first place it computes; in the second it does its first item at once, says when, and waits in the next one to be killed.
pub struct Victim {
    to_host: UdpSocket,
    has_done_one: bool,
}

impl Processor for Victim {
    const NAME: &'static str = "victim";
    const VERSION: u32 = 1;
    type Item = u64;
    type Output = u64;
    /// The host's port on the loopback interface.
    type Config = u16;

    fn start(port: u16, _: &StartContext<'_>) -> Result<Self, Failure> {
        let to_host = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        to_host.connect((Ipv4Addr::LOCALHOST, port))?;
        Ok(Self { to_host, has_done_one: false })
    }

    fn process(&mut self, item: u64, cx: &Context<'_>) -> Result<u64, Failure> {
        if cx.slot().0 == 0 {
            return Ok((0..1_000_000).fold(item, |x, turn| black_box(x.wrapping_mul(31) ^ turn)));
        }
        if self.has_done_one {
            self.say(0, u64::from(std::process::id()))?;
            loop {
                cx.check()?; // lets the job end
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.has_done_one = true;
        let now = sys::monotonic_nanos().ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
        self.say(1, now)?;
        Ok(item)
    }
}

impl Victim {
    fn say(&self, what: u64, value: u64) -> io::Result<()> {
        let mut message = [0; 16];
        message[..8].copy_from_slice(&what.to_le_bytes());
        message[8..].copy_from_slice(&value.to_le_bytes());
        self.to_host.send(&message).map(drop)
    }
}

enum Said {
    /// This process waits to be killed.
    Waiting(u32),
    /// A fresh worker's first item was done then.
    Done(u64),
}

/// The running job.
pub struct Crashes {
    job: JobHandle<Victim>,
    from_workers: UdpSocket,
    _store: tempfile::TempDir,
}

impl Crashes {
    pub fn start() -> Result<Self, Failed> {
        let from_workers = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        from_workers.set_read_timeout(Some(WAIT_MAX))?;
        let store = store()?;
        let job = Job::<Victim>::new(store.path(), "crashes", from_workers.local_addr()?.port())
            .workers(2)
            .isolation(Isolation::Process)
            .start(cofferdam::dense(|| 0..ITEMS))?;
        Ok(Self { job, from_workers, _store: store })
    }

    /// Milliseconds from a kill to the end of the next item in that place.
    pub fn kill_and_wait(&mut self) -> Result<f64, Failed> {
        let victim = loop {
            if let Said::Waiting(pid) = self.hear()? {
                break pid;
            }
        };
        let killed = sys::monotonic_nanos().ok_or("this system has no clock that processes share")?;
        sys::kill(victim)?;
        loop {
            if let Said::Done(at) = self.hear()? {
                return Ok((at - killed) as f64 / 1e6);
            }
        }
    }

    pub fn end(self) -> Result<(), Failed> {
        self.job.cancel();
        self.job.wait()?;
        Ok(())
    }

    fn hear(&self) -> Result<Said, Failed> {
        let mut message = [0; 16];
        let len = loop {
            match self.from_workers.recv(&mut message) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {} // a debugger
                received => break received?,
            }
        };
        let ([what, rest @ ..], 16) = (message, len) else { return Err("half a message".into()) };
        let value = u64::from_le_bytes(rest[7..].try_into()?);
        Ok(if what == 0 { Said::Waiting(u32::try_from(value)?) } else { Said::Done(value) })
    }
}
