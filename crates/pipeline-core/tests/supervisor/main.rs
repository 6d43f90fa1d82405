//! The rules of the supervisor, one test each: inputs in, commands out.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]

mod blame;
mod budgets;
mod cancel_item;
mod failures;
mod harness;
mod leases;
mod liveness;
mod phases;
mod replies;
mod saved_state;
mod signs;
mod slots;
mod store;
mod storms;
mod trials;
mod workers;
