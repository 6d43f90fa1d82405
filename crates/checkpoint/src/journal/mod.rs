//! The journal of one job: segments, how they are read, recovered and written.

pub(crate) mod append;
pub(crate) mod bell;
pub(crate) mod chain;
pub(crate) mod compact;
pub(crate) mod create;
pub(crate) mod ending;
pub(crate) mod fill;
pub(crate) mod garbage;
pub(crate) mod group;
pub(crate) mod head_file;
pub(crate) mod lead;
pub(crate) mod merge;
pub(crate) mod parts;
pub(crate) mod reader;
pub(crate) mod recovery;
pub(crate) mod restore;
pub(crate) mod rewrite;
pub(crate) mod room;
pub(crate) mod scan;
pub(crate) mod snapshot;
pub(crate) mod survey;
mod sweep;
pub(crate) mod writer;

#[cfg(test)]
mod inside_test;
#[cfg(test)]
mod lengths_test;
#[cfg(test)]
pub(crate) mod test_file;
