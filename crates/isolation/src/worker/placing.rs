//! The way that a large output takes: into a frame, or into a file of the host's.

use super::session::{ENTRY_LEN_MAX, Outgoing};
use super::{Link, LinkLost, Session};
use crate::protocol::{Completed, Replies, TakeFile, WantFile, WrittenFile};
use crate::recorder::SlotRecorder;
use cofferdam_ipc::{CodecError, NotWritten};
use cofferdam_pipeline_core::{Failure, LeaseId, OutputLost, OutputSink, push_entry_len};
use serde::Serialize;
use std::io;

/// What came of an item that does not travel with others.
pub(super) struct Placed<'a> {
    /// The encoded output, behind room for its length.
    pub(super) output: &'a mut Vec<u8>,
    /// The file that it has become, if so.
    pub(super) whole: Option<WrittenFile>,
    /// The files that the processor finished.
    pub(super) files: Vec<WrittenFile>,
}

impl<L: Link> Session<L> {
    /// Any thread of the processor: begins a file of an open item.
    pub(super) fn begin_file(&self, lease: LeaseId, offset: u32) -> io::Result<Box<dyn OutputSink>> {
        if self.settings.files_above == 0 {
            return Err(OutputLost(io::ErrorKind::Unsupported.into()).into_io());
        }
        self.files.of(lease, offset).begin(&self.files, &mut |wanted| self.want_file(wanted))
    }

    /// Encodes the output of an open item: into `output`, behind room for its length, or, if it is too large for a frame, into a file, and then it is
    /// never in memory as a whole. What finds no room on the disk but in a frame travels in one: the host knows what to do when its disk is full.
    pub(super) fn place_output<T: Serialize + ?Sized>(
        &self,
        slot: &SlotRecorder,
        value: &T,
        name: &str,
        output: &mut Vec<u8>,
    ) -> Result<Option<WrittenFile>, Failure> {
        let codec = self.settings.codec;
        let max = self.settings.payload_max.saturating_sub(ENTRY_LEN_MAX);
        let files_above = usize::try_from(self.settings.files_above).unwrap_or(usize::MAX);
        output.resize(ENTRY_LEN_MAX, 0);
        if files_above == 0 {
            codec.encode(value, output).map_err(|error| no_encoding(name, &error))?;
            let len = output.len() - ENTRY_LEN_MAX;
            let why = || format!("the output of {name} has {len} bytes, the limit is {max}");
            return if len <= max { Ok(None) } else { Err(Failure::invalid_input(why())) };
        }
        let mut encode = |max| match codec.encode_within(value, output, max) {
            Ok(()) => Ok(true),
            Err(CodecError::TooLong { .. }) => Ok(false),
            Err(error) => Err(no_encoding(name, &error)),
        };
        if encode(max.min(files_above))? {
            return Ok(None);
        }
        let (lease, offset) = slot.open_item().expect("it is open until its result is known");
        let mut ask = |wanted| self.want_file(wanted);
        match self.files.of(lease, offset).write_output(&self.files, &mut ask, (codec, value)) {
            Ok(whole) => Ok(Some(whole)),
            Err(NotWritten::Codec(error)) => Err(no_encoding(name, &error)),
            Err(NotWritten::Io(error)) if encode(max)? => {
                tracing::debug!(%error, "a large output travels in a frame");
                Ok(None)
            }
            Err(NotWritten::Io(error)) => Err(OutputLost(error).into()),
        }
    }

    fn want_file(&self, wanted: WantFile) -> io::Result<Option<TakeFile>> {
        let mut outgoing = self.outgoing();
        if outgoing.has_ended {
            return Err(io::ErrorKind::NotConnected.into());
        }
        outgoing.link.want_file(wanted).map_err(io::Error::other)
    }

    /// What does not travel with others leaves at once and is not copied.
    pub(super) fn send_large(
        &self,
        outgoing: &mut Outgoing<L>,
        (lease, slot, offset): (LeaseId, u32, u32),
        placed: Placed<'_>,
    ) -> Result<(), LinkLost> {
        let Placed { output, whole, files } = placed;
        self.flush(outgoing)?;
        if whole.is_some() {
            let completed = Completed { lease: lease.0, slot, offset, output: whole, files };
            return outgoing.link.completed(completed, &[]);
        }
        let mut prefix = Vec::with_capacity(ENTRY_LEN_MAX);
        push_entry_len(&mut prefix, output.len() - ENTRY_LEN_MAX);
        let start = ENTRY_LEN_MAX - prefix.len();
        output[start..ENTRY_LEN_MAX].copy_from_slice(&prefix);
        if files.is_empty() {
            outgoing.link.replies(Replies { lease: lease.0, slot, offset, count: 1 }, &output[start..])
        } else {
            let completed = Completed { lease: lease.0, slot, offset, output: None, files };
            outgoing.link.completed(completed, &output[start..])
        }
    }
}

fn no_encoding(name: &str, error: &CodecError) -> Failure {
    Failure::invalid_input(format!("the output of {name} cannot be encoded: {error}"))
}
