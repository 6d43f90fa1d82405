//! What a signal handler is told of the thread that it interrupted.
#![expect(unsafe_code, reason = "a context is known by a pointer only")]

use std::mem::MaybeUninit;
use std::ops::Range;

/// The addresses of the calling thread's stack; `None` when nobody tells.
pub(crate) fn own_stack() -> Option<Range<u64>> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the call fills the attributes of the thread that runs, or says that it did not.
    if unsafe { libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) } != 0 {
        return None;
    }
    let (mut low, mut len) = (std::ptr::null_mut(), 0);
    // SAFETY: the attributes are filled, and given back once.
    let failed = unsafe {
        let failed = libc::pthread_attr_getstack(attributes.as_ptr(), &mut low, &mut len);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        failed
    };
    let low = low as u64;
    (failed == 0 && low != 0).then(|| low..low.saturating_add(len as u64))
}

/// The stack pointer; 0 on processors that nobody has looked up.
///
/// # Safety
/// `context` is the third argument of a handler with `SA_SIGINFO`.
pub(crate) unsafe fn stack_pointer(context: *mut libc::c_void) -> u64 {
    let context = context.cast::<libc::ucontext_t>();
    if context.is_null() {
        return 0;
    }
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as the caller promises.
    let pointer = unsafe { (*context).uc_mcontext.gregs[libc::REG_RSP as usize] as u64 };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as the caller promises.
    let pointer = unsafe { (*context).uc_mcontext.sp };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let pointer = 0;
    pointer
}
