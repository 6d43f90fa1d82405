//! The last words of a worker that a signal ends: number, code, address and stack pointer go to the flight recorder.
#![expect(unsafe_code, reason = "signal handlers have no safe interface")]

use crate::recorder::{Recorder, SignalRecord};
pub(crate) use crate::sys::context::own_stack;
use crate::sys::context::stack_pointer;
use std::io;
use std::mem::MaybeUninit;
use std::sync::{Arc, OnceLock};

/// What a program's own instructions or its own `abort` raise.
const SIGNALS: [libc::c_int; 7] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGABRT, libc::SIGSYS];

static WATCH: OnceLock<Watch> = OnceLock::new();

struct Watch {
    recorder: Arc<Recorder>,
    /// Those that were there before, in the order of [`SIGNALS`].
    previous: [libc::sigaction; SIGNALS.len()],
}

/// Records fatal signals of all threads from now on. Each is recorded on the thread's alternate stack (the standard library gives
/// one to each of its threads), and then left to whoever would have had it: the standard library's handler says what
/// overflowed, the system ends the process. Threads that native code made without such a stack die without words.
///
/// # Errors
/// Those of the system.
pub(crate) fn watch(recorder: Arc<Recorder>) -> io::Result<()> {
    let mut previous = Vec::with_capacity(SIGNALS.len());
    for signal in SIGNALS {
        previous.push(action_of(signal)?);
    }
    let previous = previous.try_into().unwrap_or_else(|_| unreachable!("one for each signal"));
    if WATCH.set(Watch { recorder, previous }).is_err() {
        return Ok(()); // a process becomes a worker once
    }
    SIGNALS.into_iter().try_for_each(install)
}

fn action_of(signal: libc::c_int) -> io::Result<libc::sigaction> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is set; the action is written where the pointer says.
    if unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has filled it, and all zeros would be a valid value too.
    Ok(unsafe { action.assume_init() })
}

fn install(signal: libc::c_int) -> io::Result<()> {
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = last_words;
    // SAFETY: all zeros are a valid value: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: the handler does only what a handler may: see there.
    if unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Only atomic stores into a mapping that lives as long as the process, `sigaction` and `raise`: all of it is allowed in a
/// handler, whatever the thread was doing.
extern "C" fn last_words(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(watch) = WATCH.get() else { return };
    // SAFETY: with SA_SIGINFO the system passes a valid record.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as u64) };
    // SAFETY: the third argument of such a handler is the interrupted thread's context.
    let stack_pointer = unsafe { stack_pointer(context) };
    watch.recorder.record_signal(SignalRecord { number: signal, code, address, stack_pointer });
    let comes_back = code > 0 && signal != libc::SIGABRT;
    if comes_back {
        let at = SIGNALS.iter().position(|known| *known == signal).unwrap_or(0);
        // SAFETY: this was the action before. Should it fail, ours stays and the fault comes here for ever; it cannot fail
        // for a signal that the same call has taken before.
        unsafe { libc::sigaction(signal, &watch.previous[at], std::ptr::null_mut()) };
        return;
    }
    // Sent, or raised by `abort`: no instruction runs into it again. The standard library's handler would return, for it
    // relies on that; so the system's own action is next. The signal is blocked here and arrives on return.
    // SAFETY: all zeros are a valid value, and the default action; both calls are always allowed.
    unsafe {
        let default: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, &default, std::ptr::null_mut());
        libc::raise(signal);
    }
}
