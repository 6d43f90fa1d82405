//! A processor that does whatever its item says, crashes above all.

use cofferdam_pipeline_core::{Context, Failure, FailureKind, Processor, StartContext};
use serde::{Deserialize, Serialize};
use std::fs;
use std::hint::black_box;
use std::time::Duration;

/// What an item makes its worker do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Behaviour {
    /// Returns the item's number.
    Echo,
    /// Sleeps, looking at `cx.check()` every millisecond, then echoes.
    Sleep {
        /// For how long.
        ms: u64,
    },
    /// Sleeps, reporting progress every millisecond, then echoes.
    Report {
        /// For how long.
        ms: u64,
    },
    /// Reports progress and looks at `cx.check()` every millisecond until it is told to stop.
    Long,
    /// `std::process::abort`
    Abort,
    /// Writes where no memory is.
    Segv,
    /// Recurses without end.
    StackOverflow,
    /// Sleeps for ever and never looks up.
    Hang,
    /// Computes for ever and never looks up.
    Spin,
    /// `std::process::exit` with this code.
    Exit(i32),
    /// Panics.
    Panic,
    /// Sends itself this signal.
    Signal(i32),
    /// Writes junk to every descriptor it can find and goes on for a second, then echoes.
    Garbage,
    /// Sends its host, its parent process, SIGKILL and waits for what follows; aborts where there are no signals.
    KillHost,
    /// Sees to it that the host's death does not end this process, calls it `deaf`, and hangs (Linux; elsewhere it just hangs).
    Outlive,
    /// Returns a failure of this kind.
    Fail(FailWith),
    /// Returns an output of this many bytes beside the number.
    Large(usize),
    /// Writes this many bytes to stderr and to stdout, then echoes.
    Chatter(usize),
    /// Writes into its scratch directory, also where it then forbids itself to, says `scratch is full` and does this.
    Scratch(Box<Behaviour>),
    /// Does this on the first attempt and echoes on every later one.
    First(Box<Behaviour>),
}

/// A failure kind that travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailWith {
    /// [`FailureKind::Transient`]
    Transient,
    /// [`FailureKind::InvalidInput`]
    InvalidInput,
    /// [`FailureKind::Fatal`]
    Fatal,
}

/// An item of [`Misbehave`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Comes back in the output.
    pub number: u64,
    /// What to do first.
    pub behaviour: Behaviour,
}

/// An output of [`Misbehave`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The item's number.
    pub number: u64,
    /// As many zeros as asked for.
    #[serde(with = "serde_bytes")]
    pub ballast: Vec<u8>,
}

/// What the worker does before it is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// Starts.
    #[default]
    Well,
    /// Starts after so long.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// Returns a transient failure.
    Fail,
    /// Aborts.
    Abort,
    /// Never returns.
    Hang,
}

/// Does what its items say.
pub struct Misbehave;

impl Processor for Misbehave {
    const NAME: &'static str = "misbehave";
    const VERSION: u32 = 1;
    type Item = Task;
    type Output = Done;
    type Config = Start;

    fn start(config: Start, _cx: &StartContext<'_>) -> Result<Self, Failure> {
        match config {
            Start::Well => Ok(Self),
            Start::Fail => Err(Failure::transient("told to fail in start")),
            Start::Abort => abort(),
            Start::Slow { ms } => {
                sleep(Duration::from_millis(ms));
                Ok(Self)
            }
            Start::Hang => hang(),
        }
    }

    fn process(&mut self, item: Task, cx: &Context<'_>) -> Result<Done, Failure> {
        cx.stage("behave");
        cx.breadcrumb(&format!("item {}", item.number));
        let ballast = behave(&item.behaviour, cx)?;
        cx.stage("reply");
        Ok(Done { number: item.number, ballast })
    }
}

fn behave(behaviour: &Behaviour, cx: &Context<'_>) -> Result<Vec<u8>, Failure> {
    match behaviour {
        Behaviour::Echo => {}
        Behaviour::Sleep { ms } => {
            for _ in 0..*ms {
                cx.check()?;
                sleep(Duration::from_millis(1));
            }
        }
        Behaviour::Report { ms } => {
            for done in 0..*ms {
                cx.progress(done, *ms);
                sleep(Duration::from_millis(1));
            }
        }
        Behaviour::Long => {
            for done in 0.. {
                cx.check()?;
                cx.progress(done, 0);
                sleep(Duration::from_millis(1));
            }
        }
        Behaviour::Abort => abort(),
        Behaviour::Segv => crate::sys::segv(),
        Behaviour::StackOverflow => {
            black_box(recurse(black_box(1)));
        }
        Behaviour::Hang => hang(),
        Behaviour::Spin => loop {
            black_box(0);
        },
        Behaviour::Exit(code) => exit(*code),
        Behaviour::Panic => panic!("told to panic"),
        Behaviour::Signal(number) => crate::sys::raise(*number),
        Behaviour::Garbage => {
            crate::sys::garbage();
            sleep(Duration::from_secs(1));
        }
        Behaviour::KillHost => {
            crate::sys::kill_parent();
            hang();
        }
        Behaviour::Outlive => {
            crate::sys::outlive_parent();
            hang();
        }
        Behaviour::Fail(with) => return Err(Failure::new(kind_of(*with), "told to fail")),
        Behaviour::Large(len) => return Ok(vec![0; *len]),
        Behaviour::Chatter(len) => chatter(*len),
        Behaviour::Scratch(then) => {
            fill_scratch(cx)?;
            return behave(then, cx);
        }
        Behaviour::First(first) if cx.attempt() == 1 => return behave(first, cx),
        Behaviour::First(_) => {}
    }
    Ok(Vec::new())
}

fn kind_of(with: FailWith) -> FailureKind {
    match with {
        FailWith::Transient => FailureKind::Transient,
        FailWith::InvalidInput => FailureKind::InvalidInput,
        FailWith::Fatal => FailureKind::Fatal,
    }
}

fn fill_scratch(cx: &Context<'_>) -> Result<(), Failure> {
    let dir = cx.scratch_dir()?;
    assert_eq!(fs::read_dir(&dir)?.count(), 0, "somebody was here before");
    let locked = dir.join("locked");
    fs::create_dir(&locked)?;
    fs::write(locked.join("page-1"), [7; 100_000])?;
    let mut permissions = fs::metadata(&locked)?.permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&locked, permissions)?;
    assert_eq!(cx.scratch_dir()?, dir, "an attempt has one directory");
    cx.message("scratch is full");
    Ok(())
}

fn hang() -> ! {
    loop {
        sleep(Duration::from_secs(3600));
    }
}

#[expect(clippy::disallowed_methods, reason = "misbehaving is the point")]
fn abort() -> ! {
    std::process::abort()
}

#[expect(clippy::disallowed_methods, reason = "an item that takes its time")]
fn sleep(time: Duration) {
    std::thread::sleep(time);
}

#[expect(clippy::disallowed_methods, reason = "misbehaving is the point")]
fn exit(code: i32) -> ! {
    std::process::exit(code)
}

fn chatter(len: usize) {
    let line = [b'x'; 99];
    for _ in 0..len / 100 {
        eprintln!("{}", String::from_utf8_lossy(&line));
        println!("{}", String::from_utf8_lossy(&line));
    }
}

#[allow(unconditional_recursion, reason = "overflowing the stack is the point")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(depth + 1) + frame[black_box(3)]
}
