//! How long a host waits for one of its workers where the worker's own limits say nothing.

use super::Debugging;
use std::time::Duration;

/// Waits for what a worker of ours does at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waits {
    /// The worker line is the first thing in `main`: who has not greeted by then is no worker.
    pub(super) greeting: Duration,
    /// A worker's I/O thread reads at once, whatever the processor does; who has not taken one frame after this long never will.
    pub(super) sending: Duration,
    /// A process that closed its socket without a word is given this long to be seen as ended. Exits are seen within
    /// a millisecond of the socket; the rest is for a loaded machine.
    pub(super) leaving: Duration,
    /// One that said goodbye may still tear down a large heap or a GPU.
    pub(super) goodbye: Duration,
}

const USUAL: Waits = Waits {
    greeting: Duration::from_secs(30),
    sending: Duration::from_secs(60),
    leaving: Duration::from_millis(500),
    goodbye: Duration::from_secs(5),
};

/// A process under a debugger does nothing while its person thinks, and after its end it is the debugger that sees it first.
const PATIENT: Waits = Waits { greeting: AGES, sending: AGES, leaving: AGES, goodbye: AGES };

const AGES: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Waits {
    pub(super) fn with(debugging: Debugging) -> Self {
        match debugging {
            Debugging::Off => USUAL,
            Debugging::Attach | Debugging::Wait => PATIENT,
        }
    }
}
