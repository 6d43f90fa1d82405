//! Keeps panics for the host to read: message and place, before any unwinding.

use crate::recorder::{Phase, Recorder};
use std::any::Any;
use std::cell::RefCell;
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::{Arc, Once, OnceLock};

/// A child process has one recorder for all its threads.
static OF_PROCESS: OnceLock<Arc<Recorder>> = OnceLock::new();

thread_local! {
    /// A thread worker's recorder is known to its own thread only; panics of the host's threads are none of ours.
    static OF_THREAD: RefCell<Option<Arc<Recorder>>> = const { RefCell::new(None) };
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
        if cfg!(panic = "abort") {
            recorder.set_phase(Phase::Panicked);
        }
    }
}

fn panic_message_of<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    info.payload_as_str().unwrap_or("a panic whose value is no text")
}
