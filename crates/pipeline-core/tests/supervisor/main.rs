//! The rules of the supervisor, one test each: inputs in, commands out.
#![allow(clippy::unwrap_used, missing_docs)]

mod blame;
mod failures;
mod harness;
mod leases;
mod liveness;
mod phases;
mod replies;
mod store;
mod trials;
mod workers;
