//! A processor that does what its items say, most of it bad.
#![expect(unsafe_code, reason = "real faults")]

use cofferdam_pipeline_core::{Context, Failure, Processor, StartContext};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub enum Config {
    #[default]
    Good,
    FailStart(String),
    PanicInStart,
    ExitInStart(i32),
    HangInStart,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Item {
    Echo(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Writes "page 3" into every field of the recorder that a processor can, then does the other.
    Annotated(Box<Item>),
    Fail(String),
    Abort,
    Segv,
    StackOverflow,
    /// The same in the C library, which has a way of its own to lay out frames.
    NativeStackOverflow,
    /// The same on a thread of the processor's own.
    StackOverflowOnThread,
    /// Asks for more memory than there can be.
    AllocateTooMuch,
    /// Fills so many bytes.
    UseMemory(usize),
    Exit(i32),
    Panic(String),
    CaughtPanicThenAbort,
    Sleep,
    Spin,
    /// Waits in `check` until told to stop.
    Check,
    /// Signals itself.
    Raise(i32),
    /// Writes these bytes into the socket to the host, then sleeps.
    Socket(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Writes these bytes into the socket to the host, then exits with this code.
    SocketThenExit(#[serde(with = "serde_bytes")] Vec<u8>, i32),
    /// Writes these bytes into the socket to the host again and again.
    Flood(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Closes its way to the host, and the way back too, then sleeps.
    CloseSocket {
        both: bool,
    },
    /// Writes so many bytes to stdout and to stderr, ending in "the end".
    Chatter(usize),
    /// Starts a program that holds the socket and the pipes for long, then aborts; the program's pid goes to the file.
    LeaveGrandchild {
        escape: bool,
        pid_file: String,
    },
    /// Cuts its own recorder to nothing, then aborts.
    CutRecorder,
    /// Tries to start a job within the worker.
    StartJob,
    /// What the environment says.
    Env(String),
    /// Descriptors above 2 that are not close-on-exec.
    InheritableFds,
}

pub struct Mischief;

impl Processor for Mischief {
    const NAME: &'static str = "mischief";
    const VERSION: u32 = 1;
    type Item = Item;
    type Output = serde_bytes::ByteBuf;
    type Config = Config;

    fn start(config: Config, cx: &StartContext<'_>) -> Result<Self, Failure> {
        cx.stage("load");
        match config {
            Config::Good => Ok(Self),
            Config::FailStart(why) => Err(Failure::fatal(why)),
            Config::PanicInStart => panic!("no model"),
            Config::ExitInStart(code) => std::process::exit(code),
            Config::HangInStart => sleep_for_ever(),
        }
    }

    fn process(&mut self, item: Item, cx: &Context<'_>) -> Result<Self::Output, Failure> {
        Ok(serde_bytes::ByteBuf::from(act(item, cx)?))
    }
}

fn act(item: Item, cx: &Context<'_>) -> Result<Vec<u8>, Failure> {
    match item {
        Item::Echo(bytes) => return Ok(bytes),
        Item::Annotated(inner) => {
            cx.stage("decode");
            cx.progress(3, 9);
            cx.message("page 3");
            cx.breadcrumb("opened");
            cx.breadcrumb("page 3");
            return act(*inner, cx);
        }
        Item::Fail(why) => return Err(Failure::transient(why)),
        Item::Abort => std::process::abort(),
        // SAFETY: none: the fault is wanted.
        Item::Segv => unsafe { std::hint::black_box(8 as *mut u8).write_volatile(1) },
        Item::StackOverflow => drop(overflow(1)),
        Item::NativeStackOverflow => native_overflow(),
        Item::StackOverflowOnThread => {
            let _ = std::thread::spawn(|| overflow(1)).join();
        }
        Item::AllocateTooMuch => drop(std::hint::black_box(vec![1u8; 1 << 47])),
        Item::UseMemory(bytes) => {
            let mut memory = vec![0u8; bytes];
            memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
            std::hint::black_box(memory);
            sleep_for_ever()
        }
        Item::Exit(code) => std::process::exit(code),
        Item::Panic(why) => panic!("{why}"),
        Item::CaughtPanicThenAbort => {
            let _ = std::panic::catch_unwind(|| panic!("caught"));
            std::process::abort()
        }
        Item::Sleep => sleep_for_ever(),
        Item::Spin => loop {
            std::hint::spin_loop();
        },
        Item::Check => loop {
            cx.check()?;
            std::thread::sleep(Duration::from_millis(1));
        },
        Item::Raise(signal) => {
            let signal = rustix::process::Signal::from_named_raw(signal).unwrap();
            rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
            sleep_for_ever()
        }
        Item::Socket(bytes) => {
            socket().write_all(&bytes)?;
            sleep_for_ever()
        }
        Item::SocketThenExit(bytes, code) => {
            socket().write_all(&bytes)?;
            std::process::exit(code)
        }
        Item::Flood(bytes) => loop {
            socket().write_all(&bytes)?;
        },
        Item::CloseSocket { both } => {
            let how = if both { rustix::net::Shutdown::Both } else { rustix::net::Shutdown::Write };
            rustix::net::shutdown(&*socket(), how)?;
            sleep_for_ever()
        }
        Item::Chatter(bytes) => chatter(bytes)?,
        Item::LeaveGrandchild { escape, pid_file } => leave_grandchild(escape, &pid_file),
        Item::CutRecorder => {
            let maps = std::fs::read_to_string("/proc/self/maps")?;
            let path =
                maps.lines().find_map(|line| line.split_whitespace().find(|w| w.ends_with(".recorder")));
            File::options().write(true).open(path.unwrap())?.set_len(0)?;
            std::process::abort()
        }
        Item::StartJob => {
            let settings = super::settings(&Config::Good);
            let error =
                cofferdam_isolation::ChildExecutor::new(settings, std::sync::Arc::new(|_, _| {})).err();
            return Ok(error.map_or(String::new(), |error| format!("{error:?}")).into_bytes());
        }
        Item::Env(name) => return Ok(std::env::var(name).unwrap_or_default().into_bytes()),
        Item::InheritableFds => return Ok(inheritable_fds().into_bytes()),
    }
    Ok(Vec::new())
}

fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

#[expect(unconditional_recursion, reason = "wanted")]
fn overflow(depth: u64) -> u64 {
    let block = std::hint::black_box([depth; 128]);
    overflow(depth + 1) + block[5]
}

/// The parser of regular expressions calls itself for each parenthesis.
fn native_overflow() {
    let pattern = std::ffi::CString::new("(".repeat(4 << 20)).unwrap();
    let mut compiled = std::mem::MaybeUninit::uninit();
    // SAFETY: none: the overflow is wanted.
    unsafe { libc::regcomp(compiled.as_mut_ptr(), pattern.as_ptr(), libc::REG_EXTENDED) };
}

/// The socket to the host, wherever the worker's runtime has put it.
fn socket() -> std::mem::ManuallyDrop<File> {
    let fd = open_fds().into_iter().find(|(fd, target)| *fd > 2 && target.starts_with("socket:"));
    // SAFETY: this is mischief: the descriptor is somebody else's.
    std::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(fd.unwrap().0) })
}

fn open_fds() -> Vec<(RawFd, String)> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let describe = |entry: std::fs::DirEntry| {
        let fd = entry.file_name().to_str()?.parse().ok()?;
        Some((fd, std::fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned()))
    };
    entries.filter_map(describe).collect()
}

fn inheritable_fds() -> String {
    let is_inheritable = |fd: RawFd| {
        // SAFETY: only asked about; a descriptor that is closed meanwhile gives an error.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
        rustix::io::fcntl_getfd(fd).is_ok_and(|flags| !flags.contains(rustix::io::FdFlags::CLOEXEC))
    };
    let fds = open_fds().into_iter().filter(|(fd, _)| *fd > 2 && is_inheritable(*fd));
    fds.map(|(fd, target)| format!("{fd}={target} ")).collect()
}

fn chatter(bytes: usize) -> std::io::Result<()> {
    let line = [b'x'; 8191];
    let (mut stdout, mut stderr) = (std::io::stdout(), std::io::stderr());
    for _ in 0..bytes / 8192 {
        for out in [&mut stdout as &mut dyn Write, &mut stderr] {
            out.write_all(&line)?;
            out.write_all(b"\n")?;
        }
    }
    stderr.write_all(b"\x1b[31mthe end\n")?;
    stdout.flush()
}

fn leave_grandchild(escape: bool, pid_file: &str) -> ! {
    let socket = socket();
    rustix::io::fcntl_setfd(&*socket, rustix::io::FdFlags::empty()).unwrap();
    let mut command = Command::new("sleep");
    command.arg("1000").stdin(Stdio::null());
    if escape {
        command.process_group(0);
    }
    let child = command.spawn().unwrap();
    std::fs::write(format!("{pid_file}.new"), child.id().to_string()).unwrap();
    std::fs::rename(format!("{pid_file}.new"), pid_file).unwrap();
    std::process::abort()
}
