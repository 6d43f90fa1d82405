//! Keeps panics for the host to read: message and place, before any unwinding.

use crate::recorder::{Phase, Recorder};
use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::{Arc, Once, OnceLock};

/// The machinery of a panic and of this hook is among so many lines of a backtrace.
const FRAMES_OF_PANIC_MAX: usize = 60;

/// A child process has one recorder for all its threads.
static OF_PROCESS: OnceLock<Arc<Recorder>> = OnceLock::new();

thread_local! {
    /// A thread worker's recorder is known to its own thread only; panics of the host's threads are none of ours.
    static OF_THREAD: RefCell<Option<Arc<Recorder>>> = const { RefCell::new(None) };

    /// The calls that led to this thread's last panic. Naming them takes milliseconds, so it is done only when the panic turns out to
    /// end the worker.
    static BACKTRACE: RefCell<Option<Backtrace>> = const { RefCell::new(None) };
}

/// Records panics of all threads of this process from now on.
pub(crate) fn adopt_process(recorder: Arc<Recorder>) {
    OF_PROCESS.set(recorder).expect("a process becomes a worker once");
    install();
}

/// Records panics of this thread from now on.
pub(crate) fn adopt_thread(recorder: Arc<Recorder>) {
    OF_THREAD.with(|of_thread| of_thread.replace(Some(recorder)));
    install();
}

/// The text of a panic's value, where it has one.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic whose value is no text")
}

/// The calls that led to this thread's last panic, innermost first, without those of the panic itself; empty when there are none.
pub(crate) fn take_backtrace() -> String {
    let backtrace = BACKTRACE.try_with(|last| last.try_borrow_mut().ok()?.take()).ok().flatten();
    let Some(text) = backtrace.map(|backtrace| backtrace.to_string()) else { return String::new() };
    let is_of_panic = |line: &str| {
        ["rust_begin_unwind", "core::panicking::", "std::panicking::", "begin_panic"]
            .iter()
            .any(|name| line.contains(name))
    };
    let lines: Vec<&str> = text.lines().collect();
    let is_place = |line: &&str| line.trim_start().starts_with("at ");
    let mut first =
        lines.iter().take(FRAMES_OF_PANIC_MAX).rposition(|line| is_of_panic(line)).map_or(0, |at| at + 1);
    first += lines[first..].iter().take_while(|line| is_place(line)).count();
    lines[first..].join("\n")
}

/// Puts our hook before the one that is there, which still prints. User code that replaces it later costs the location.
fn install() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |info| {
            record(info);
            previous(info);
        }));
    });
}

fn record(info: &PanicHookInfo<'_>) {
    // A panic while this thread's locals are being destroyed finds none.
    let of_thread = OF_THREAD.try_with(|of_thread| of_thread.try_borrow().ok()?.clone()).ok().flatten();
    if let Some(recorder) = of_thread.as_ref().or_else(|| OF_PROCESS.get()) {
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        recorder.record_panic(panic_message_of(info), &location);
        let backtrace = Backtrace::force_capture();
        // Errors mean that the thread is at its end, or panics while it panics.
        let _ = BACKTRACE.try_with(|last| last.try_borrow_mut().map(|mut last| last.replace(backtrace)));
        if cfg!(panic = "abort") {
            recorder.record_backtrace(&take_backtrace());
            recorder.set_phase(Phase::Panicked);
        }
    }
}

fn panic_message_of<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    info.payload_as_str().unwrap_or("a panic whose value is no text")
}
