//! Unix.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub fn open_without_blocking(path: &Path) -> io::Result<File> {
    // Without O_NONBLOCK, opening a FIFO waits for a writer. For regular files the flag has no effect.
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

pub fn path_to_bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

pub fn path_from_bytes(bytes: &[u8]) -> PathBuf {
    OsStr::from_bytes(bytes).into()
}

/// From `/proc`: unlike `ru_maxrss` it does not inherit the peak of the process that spawned us.
#[cfg(target_os = "linux")]
pub fn peak_resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(not(target_os = "linux"))]
pub fn peak_resident_bytes() -> Option<u64> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: `usage` is valid for writes of one `rusage`, which the call fills when it returns 0.
    let usage = unsafe {
        if libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) != 0 {
            return None;
        }
        usage.assume_init()
    };
    // Bytes on Apple's systems, KiB on the others.
    let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    u64::try_from(usage.ru_maxrss).ok().map(|peak| peak * unit)
}

const DESCRIPTORS_MAX: i32 = 1024;
const GARBAGE_LEN: usize = 512;

#[expect(clippy::unnecessary_wraps, reason = "other systems can fail")]
pub fn write_garbage() -> io::Result<()> {
    // Every byte has its high bit set, so nothing of it looks like a frame.
    let junk: [u8; GARBAGE_LEN] = std::array::from_fn(|i| (i as u8).wrapping_mul(37) | 0x80);
    for descriptor in 3..DESCRIPTORS_MAX {
        let mut poll = libc::pollfd { fd: descriptor, events: libc::POLLOUT, revents: 0 };
        // SAFETY: `poll` is one valid entry. A zero timeout never blocks; a closed number only sets POLLNVAL.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
        if ready == 1 && poll.revents & libc::POLLOUT != 0 {
            // SAFETY: `junk` is valid for reads of its length. The descriptor is open but not ours to write to: being
            // a nuisance to its owner is the purpose, and this process runs nothing but the processor.
            unsafe { libc::write(descriptor, junk.as_ptr().cast(), junk.len()) };
        }
    }
    Ok(())
}

pub fn kill_parent() -> io::Result<()> {
    // SAFETY: both are always allowed.
    let killed = unsafe { libc::kill(libc::getppid(), libc::SIGKILL) };
    if killed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
