//! Going on after recovery: a new segment, and HEAD that names it.

use super::chain::Chain;
use super::create::begin_segment;
use super::fill::FillAhead;
use super::head_file::HeadFile;
use super::lead::Tip;
use super::merge::remove_absorbed;
use super::recovery::Recovered;
use crate::disk::Disk;
use crate::format::segment::SegmentHeader;
use crate::index::Index;
use crate::{JobState, StoreError};
use std::path::Path;
use std::sync::Arc;

/// What recovery leaves, with a new segment to continue in.
pub(crate) struct Parts {
    pub(crate) index: Index,
    pub(crate) next_lsn: u64,
    pub(crate) tip: Tip,
    pub(crate) chain: Chain,
    pub(crate) head: HeadFile,
    /// Bytes of the journal that were read after the snapshot, and its length.
    pub(crate) behind: u64,
    pub(crate) snapshot_len: u64,
}

impl Parts {
    pub(crate) fn begin(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        recovered: Recovered,
        fill: FillAhead,
    ) -> Result<Self, StoreError> {
        let Recovered {
            content,
            index,
            mut chain,
            pin,
            tails,
            next_seq,
            next_epoch,
            absorbs,
            next_lsn,
            behind,
            snapshot_len,
            ..
        } = recovered;
        let header = SegmentHeader {
            store: content.head.store,
            job: content.head.job,
            seq: next_seq,
            epoch: next_epoch,
            salt: 0,
            prev: pin,
            absorbs,
            compacted: None,
        };
        let mut head = HeadFile::open(disk.as_ref(), dir, &content)?;
        let (appender, filler) = begin_segment(disk, dir, header, &tails, fill)?;
        chain.push(&appender.header);
        chain.durable_end = appender.durable_end();
        chain.durable_lsn = next_lsn - 1;
        head.update(|head| {
            head.seq = next_seq;
            head.epoch = next_epoch;
            head.durable_end = appender.durable_end();
            head.durable_lsn = next_lsn - 1;
            head.counts = index.counts;
            head.state = JobState::Running;
        })?;
        remove_absorbed(disk.as_ref(), dir, &chain.links);
        let tip = Tip { appender, filler, passing_bytes: 0 };
        Ok(Self { index, next_lsn, tip, chain, head, behind, snapshot_len })
    }
}
