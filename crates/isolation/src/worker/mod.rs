//! What runs inside a worker, be it a child process or a thread of the host.
//!
//! A [`session`] has three parties around one [`desk`]: the I/O thread puts leases on it and takes unstarted items back, the
//! processor's thread works them off, and the ticker sends finished replies when the processor is busy elsewhere.

mod child;
mod concurrent;
mod desk;
mod entry;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod lease;
mod link;
mod panics;
mod placing;
mod registration;
mod role;
mod run;
mod saving;
mod scratch;
mod session;
mod staged_file;
mod telemetry;

pub use entry::{has_worker_line, worker_entry};
pub use registration::Registration;
pub use run::{Run, Runs};

pub(crate) use lease::{ItemAt, Items, Lease, Saved};
pub(crate) use link::{Link, LinkLost};
pub(crate) use panics::{adopt_thread, panic_message, take_backtrace};
pub(crate) use session::{Left, Session, SessionSettings};
pub(crate) use staged_file::StagedFile;
