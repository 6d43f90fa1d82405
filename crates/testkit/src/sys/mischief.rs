//! Mischief of Linux.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What this process is called when its parent's death does not reach it any more.
const DEAF: &str = "deaf";

static HELD: AtomicUsize = AtomicUsize::new(0);

/// The kernel shall not end this process with its parent, and no other thread of it shall notice that the parent is gone.
///
/// Each thread has asked for the signal by itself, and only itself can take that back: in the handler of another signal, which
/// then never returns. (SIGSTOP would not do: whoever is stopped when its group is orphaned gets SIGHUP and SIGCONT.)
pub(crate) fn outlive_parent() {
    let hold: extern "C" fn(libc::c_int) = hold;
    // SAFETY: an all-zero sigaction is a valid one: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = hold as *const () as usize;
    // SAFETY: the handler makes system calls and adds to a number, and `action` outlives the call.
    unsafe { libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()) };
    // SAFETY: takes nothing.
    let me = unsafe { libc::gettid() };
    let others: Vec<libc::pid_t> = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .filter_map(|thread| thread.ok()?.file_name().to_str()?.parse().ok())
        .filter(|thread| *thread != me)
        .collect();
    for &thread in &others {
        // SAFETY: plain numbers; a thread that has ended meanwhile is an error and nothing else.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGUSR2) };
    }
    forget_parent();
    while HELD.load(Ordering::Relaxed) < others.len() {
        std::thread::yield_now();
    }
    // Failing to say so fails whoever waits for it.
    let _ = std::fs::write("/proc/self/comm", DEAF);
}

extern "C" fn hold(_signal: libc::c_int) {
    forget_parent();
    HELD.fetch_add(1, Ordering::Relaxed);
    loop {
        // SAFETY: takes nothing, and may be called in a handler.
        unsafe { libc::pause() };
    }
}

fn forget_parent() {
    // SAFETY: takes plain numbers, and may be called in a handler.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0) };
}
