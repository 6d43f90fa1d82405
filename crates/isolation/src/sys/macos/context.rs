//! What a signal handler is told of the thread that it interrupted.
#![expect(unsafe_code, reason = "a context is known by a pointer only")]

use std::ops::Range;

/// The addresses of the calling thread's stack; `None` when nobody tells.
#[expect(clippy::unnecessary_wraps, reason = "the same surface on every system")]
pub(crate) fn own_stack() -> Option<Range<u64>> {
    // SAFETY: both only read what the system knows of the thread that runs.
    let (high, len) = unsafe {
        let thread = libc::pthread_self();
        (libc::pthread_get_stackaddr_np(thread) as u64, libc::pthread_get_stacksize_np(thread) as u64)
    };
    Some(high.saturating_sub(len)..high)
}

/// The stack pointer; 0 on processors that nobody has looked up.
///
/// # Safety
/// `context` is the third argument of a handler with `SA_SIGINFO`.
pub(crate) unsafe fn stack_pointer(context: *mut libc::c_void) -> u64 {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: as the caller promises.
    if context.is_null() || unsafe { (*context).uc_mcontext.is_null() } {
        return 0;
    }
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as the caller promises.
    let pointer = unsafe { (*(*context).uc_mcontext).__ss.__rsp };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as the caller promises.
    let pointer = unsafe { (*(*context).uc_mcontext).__ss.__sp };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let pointer = 0;
    pointer
}
