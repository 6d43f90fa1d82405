//! The small parts: chunks, entries, keys, failures, buffers.
#![allow(clippy::unwrap_used, missing_docs)]

mod buffers;
mod chunks;
mod names;
mod ten_million;
