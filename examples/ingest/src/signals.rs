//! Ctrl-C (and SIGTERM, SIGHUP): the first drains, the second stops, the third ends this program at once.

use cofferdam::JobControl;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// What interrupted programs exit with: 128 + SIGINT.
pub const INTERRUPTED: i32 = 130;

/// Counts interruptions and passes them on to the job.
#[derive(Clone, Default)]
pub struct Signals {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    count: AtomicU32,
    control: OnceLock<JobControl>,
}

impl Signals {
    /// Takes the signals over from the system.
    ///
    /// # Errors
    /// When the handler cannot be installed.
    pub fn install() -> Result<Self, ctrlc::Error> {
        let signals = Self::default();
        let state = signals.state.clone();
        ctrlc::set_handler(move || {
            let count = state.count.fetch_add(1, Ordering::SeqCst) + 1;
            match state.control.get() {
                Some(control) if count <= 2 => obey(control, count),
                // The job has not started: it will be told as soon as it has.
                None if count == 1 => {}
                // Nothing is lost: what is committed is on disk, and the next run carries on from there.
                Some(_) | None => std::process::exit(INTERRUPTED),
            }
        })?;
        Ok(signals)
    }

    /// From now on the job is told; at once, if signals came before.
    pub fn attach(&self, control: JobControl) {
        // The handler counts first and then looks for the control; here it is the other way round, so neither misses
        // the other. Being told twice changes nothing.
        let control = self.state.control.get_or_init(|| control);
        obey(control, self.count());
    }

    /// How many came.
    pub fn count(&self) -> u32 {
        self.state.count.load(Ordering::SeqCst)
    }
}

fn obey(control: &JobControl, count: u32) {
    match count {
        0 => {}
        1 => control.drain(),
        _ => control.cancel(),
    }
}
