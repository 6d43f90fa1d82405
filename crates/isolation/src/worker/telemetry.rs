//! What a processor says while it works on an item.

use super::{Link, Session};
use crate::recorder::SlotRecorder;
use cofferdam_pipeline_core::{Instrument, Interrupted, LeaseId, NoScratch, OutputLost, OutputSink};
use std::io;
use std::path::PathBuf;

/// What a processor says while it works on an item: the recorder's business, but for what it saves.
pub(super) struct Telemetry<'a, L> {
    pub(super) session: &'a Session<L>,
    /// The slot that the item is open in.
    pub(super) slot: &'a SlotRecorder,
    pub(super) lease: LeaseId,
}

impl<L: Link> Instrument for Telemetry<'_, L> {
    fn progress(&self, done: u64, total: u64) {
        self.slot.progress(done, total);
    }

    fn stage(&self, name: &str) {
        self.slot.stage(name);
    }

    fn message(&self, text: &str) {
        self.slot.message(text);
    }

    fn breadcrumb(&self, text: &str) {
        self.slot.breadcrumb(text);
    }

    fn check(&self) -> Result<(), Interrupted> {
        self.slot.check()
    }

    fn save_state(&self, state: &[u8]) {
        // Nothing for what is said after the item's end.
        if let Some(offset) = self.slot.open_offset(self.lease) {
            self.session.save(self.lease, offset, state);
        }
    }

    fn scratch_dir(&self) -> Result<PathBuf, NoScratch> {
        match self.slot.open_offset(self.lease) {
            Some(offset) => self.session.scratch.dir_of(self.lease, offset),
            // Its item has ended: nobody would remove it.
            None => Err(NoScratch(io::ErrorKind::NotFound.into())),
        }
    }

    fn output_writer(&self) -> io::Result<Box<dyn OutputSink>> {
        match self.slot.open_offset(self.lease) {
            Some(offset) => self.session.begin_file(self.lease, offset),
            // Its item has ended: nothing is a part of its output any more.
            None => Err(OutputLost(io::ErrorKind::NotFound.into()).into_io()),
        }
    }
}
