//! The bytes of a store, and nothing else: no file, no thread. `docs/spec/checkpoint-format.md` is the norm.

pub(crate) mod bytes;
pub(crate) mod checksum;
pub(crate) mod description;
pub(crate) mod evidence;
pub(crate) mod frame;
pub(crate) mod head;
pub(crate) mod owner;
pub(crate) mod record;
pub(crate) mod segment;
pub(crate) mod slot;
pub(crate) mod snapshot;
pub(crate) mod store_file;

#[cfg(test)]
mod spec_test;
