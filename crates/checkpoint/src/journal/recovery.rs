//! Finds out what of a journal counts, without changing a byte.
//!
//! A segment counts from its first COMMIT on, up to where its successor takes over. In the last one everything intact
//! counts; what is not intact there is *torn* when nothing says that it was durable, and *corrupt* otherwise.

use super::chain::Chain;
use super::head_file::{self, HeadContent};
use super::merge::Accepted;
use super::reader::{Frame, FrameReader};
use super::restore::{Restored, restore};
use super::rewrite::Tail;
use super::scan::{Found, load_segments};
use crate::disk::{Disk, DiskFile};
use crate::error::DamageKind;
use crate::format::frame::{FLAG_SKIPPABLE, FrameKey, TYPE_MARK, TYPE_RECORDS};
use crate::format::record::records;
use crate::format::segment::{FRAMES_START, Pin, SegmentHeader};
use crate::format::snapshot::SnapshotPlace;
use crate::index::{AlreadyDone, Index};
use crate::seeded::has_bug;
use crate::{JobState, OpenLease, RecoveryReport, StoreError};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

/// What a journal holds, and how to continue it.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) content: HeadContent,
    pub(crate) index: Index,
    pub(crate) chain: Chain,
    /// Where the next segment takes over.
    pub(crate) pin: Pin,
    /// What it has to write again.
    pub(crate) tails: Vec<Tail>,
    pub(crate) next_seq: u64,
    pub(crate) next_epoch: u64,
    pub(crate) absorbs: u32,
    /// The lsn that follows the last accepted outcome.
    pub(crate) next_lsn: u64,
    /// Bytes that were read after the snapshot.
    pub(crate) behind: u64,
    /// The length of the snapshot, 0 without one.
    pub(crate) snapshot_len: u64,
    pub(crate) report: RecoveryReport,
    /// The journal's segments, for a reader beside a writer who may remove them.
    pub(crate) files: HashMap<u64, Arc<dyn DiskFile>>,
}

/// Which frames of the last segment the index takes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All intact ones: the caller will write the undurable ones again.
    Accepted,
    /// Those that are known to be durable: the caller only reads, perhaps beside a writer.
    Durable,
    /// The same of the journal as it was before the segment of this number was begun.
    DurableBefore(u64),
}

impl Scope {
    /// Segments from this number on are not looked at.
    fn end(self) -> u64 {
        match self {
            Self::Accepted | Self::Durable => u64::MAX,
            Self::DurableBefore(seq) => seq,
        }
    }
}

/// A place between two frames.
#[derive(Clone, Copy, Debug)]
struct Place {
    end: u64,
    chain: u32,
    next_lsn: u64,
}

impl Place {
    /// What the end of a segment is called by the one that follows; `None` when a compacted segment does not end as it says.
    fn as_sealed(self, header: &SegmentHeader) -> Option<Self> {
        let Some(compacted) = &header.compacted else { return Some(self) };
        let is_whole = self.end == compacted.end && self.chain == compacted.chain;
        is_whole.then_some(Self { end: compacted.sealed_end, chain: compacted.sealed_chain, ..self })
    }
}

/// How outcomes with keys come into the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    Gathered,
    OneByOne,
}

/// Reads the journal in `dir`.
pub(crate) fn recover(disk: &dyn Disk, dir: &Path, scope: Scope) -> Result<Recovered, StoreError> {
    match read(disk, dir, scope, Keys::Gathered) {
        // Of many keys that are taken in together none can tell where it was read.
        Err(StoreError::Corrupt(damage)) if damage.what == DamageKind::Records => {
            read(disk, dir, scope, Keys::OneByOne)
        }
        read => read,
    }
}

fn read(disk: &dyn Disk, dir: &Path, scope: Scope, keys: Keys) -> Result<Recovered, StoreError> {
    let content = head_file::read(disk, dir)?;
    let unknown = content.head.ro_compat;
    if scope == Scope::Accepted && unknown != 0 {
        return Err(StoreError::NewerVersion { path: dir.join(head_file::NAME), found: unknown, known: 0 });
    }
    let mut report = RecoveryReport::default();
    let segments = load_segments(disk, dir, &content.head, scope.end(), &mut report)?;
    let path = order(&segments, &content, dir, &mut report)?;
    let mut chain = Chain::default();
    path.iter().for_each(|(_, header)| chain.push(header));
    let (restored, unusable) =
        restore(disk, dir, &content.head, |place| position_of(place, &path).is_some())?;
    report.unusable_snapshots = unusable;
    report.snapshot = restored.as_ref().map(|restored| restored.lsn);
    let seed = u64::from_le_bytes(*content.head.job.first_chunk().expect("a uuid has 16 bytes"));
    let (mut index, start, snapshot_len) = match restored {
        Some(Restored { index, place, len, .. }) => (index, Some(place), len),
        None => (Index::new(seed), None, 0),
    };
    index.expect(content.head.counts.total());
    if keys == Keys::Gathered {
        index.gather();
    }
    let first = start.and_then(|place| position_of(&place, &path)).unwrap_or(0);
    let mut behind = 0;
    for pair in path[first..].windows(2) {
        behind += walk_sealed(pair[0], pair[1].1, &content, start, &mut index)?;
    }
    let next_seq = segments.keys().next_back().copied().unwrap_or(0).max(content.head.seq);
    let next_seq =
        if has_bug("a segment is used again after a crash") { next_seq.max(1) } else { next_seq + 1 };
    let epochs = segments.values().filter_map(|found| Some(found.header.ok()?.epoch)).max().unwrap_or(0);
    let is_raised = !has_bug("the epoch is not raised on a takeover");
    let next_epoch = epochs.max(content.head.epoch) + u64::from(is_raised);
    let mut recovered = Recovered {
        content,
        index,
        chain,
        pin: Pin { next_lsn: 1, ..Pin::default() },
        tails: Vec::new(),
        next_seq,
        next_epoch,
        absorbs: 0,
        next_lsn: 1,
        behind,
        snapshot_len,
        report,
        files: path.iter().map(|(found, _)| (found.seq, found.file.clone())).collect(),
    };
    if let Some(&(found, header)) = path.last() {
        let accepted = recovered.end_with(found, header, start, scope)?;
        recovered.continue_after(&path, start.map_or(0, |_| first + 1), accepted);
    }
    let taken = recovered.index.take_in_gathered();
    taken.map_err(|AlreadyDone| StoreError::corrupt(dir, 0, DamageKind::Records, 1))?;
    Ok(recovered)
}

/// The segments that make up the journal, in order.
fn order<'a>(
    segments: &'a BTreeMap<u64, Found>,
    content: &HeadContent,
    dir: &Path,
    report: &mut RecoveryReport,
) -> Result<Vec<(&'a Found, &'a SegmentHeader)>, StoreError> {
    let mut committed: Vec<(&Found, &SegmentHeader)> = Vec::new();
    for found in segments.values() {
        match &found.header {
            Ok(header) if found.is_committed(header, content.head.seq)? => committed.push((found, header)),
            Ok(_) | Err(_) => report.skipped_segments.push(found.seq),
        }
    }
    let missing = |seq| {
        let path = dir.join(crate::format::segment::file_name(seq));
        StoreError::corrupt(&path, 0, DamageKind::MissingSegment, 1)
    };
    let prefers_newer = has_bug("a fork is resolved in favour of the newer one");
    let mut path: Vec<(&Found, &SegmentHeader)> = Vec::new();
    let mut last = 0;
    loop {
        let next: Vec<_> = committed.iter().filter(|(_, header)| header.prev.seq == last).collect();
        // Those that the newest one took in whole, with all that lies between, are history.
        let Some(&&(found, newest)) = next.last() else { break };
        let absorbed_from = newest.seq - u64::from(newest.absorbs);
        let is_fork = next.iter().any(|(_, header)| header.seq < absorbed_from);
        if is_fork && !prefers_newer {
            return Err(StoreError::corrupt(&found.path, 0, DamageKind::Fork, newest.prev.next_lsn));
        }
        last = newest.seq;
        path.push((found, newest));
    }
    if let Some((found, orphan)) = committed.iter().find(|(_, header)| !is_accounted_for(header.seq, &path))
        && !prefers_newer
    {
        if is_accounted_for(orphan.prev.seq, &path) {
            // It follows what somebody else has replaced.
            return Err(StoreError::corrupt(&found.path, 0, DamageKind::Fork, orphan.prev.next_lsn));
        }
        return Err(missing(orphan.prev.seq));
    }
    if content.head.seq > last && !has_bug("a missing segment is not missed") {
        return Err(missing(content.head.seq));
    }
    Ok(path)
}

/// In the path, or taken in whole by a segment of it.
fn is_accounted_for(seq: u64, path: &[(&Found, &SegmentHeader)]) -> bool {
    path.iter().any(|(_, other)| (other.seq - u64::from(other.absorbs)..=other.seq).contains(&seq))
}

/// Where in the journal a snapshot's place lies; `None` when it is not of this journal.
fn position_of(place: &SnapshotPlace, path: &[(&Found, &SegmentHeader)]) -> Option<usize> {
    let is_it = |header: &SegmentHeader| header.seq == place.seq && header.salt == place.salt;
    let position = path.iter().position(|(_, header)| is_it(header))?;
    let end = path.get(position + 1).map_or(path[position].0.len, |(_, successor)| successor.prev.end);
    (place.end <= end).then_some(position)
}

/// Reads a segment up to where `successor` takes over; all of it must be intact. Says how many bytes that were.
fn walk_sealed(
    (found, header): (&Found, &SegmentHeader),
    successor: &SegmentHeader,
    content: &HeadContent,
    start: Option<SnapshotPlace>,
    index: &mut Index,
) -> Result<u64, StoreError> {
    let pin = &successor.prev;
    let head = &content.head;
    if head.seq == header.seq && head.durable_end > pin.end {
        return Err(StoreError::corrupt(&found.path, pin.end, DamageKind::PinMismatch, pin.next_lsn));
    }
    let mut place = start_of(header, start);
    let from = place.end;
    let end = header.compacted.map_or(pin.end, |compacted| compacted.end);
    let mut reader = found.reader_from(header, from, end.min(found.len));
    while place.end < end {
        place = match reader.next_frame()? {
            Some(frame) => advance(&found.path, place, &frame, Some(index))?,
            None => {
                return Err(StoreError::corrupt(&found.path, place.end, DamageKind::Frame, place.next_lsn));
            }
        };
    }
    let sealed = place.as_sealed(header);
    let matches = sealed.is_some_and(|place| {
        place.end == pin.end && place.chain == pin.chain && place.next_lsn == pin.next_lsn
    });
    if matches || has_bug("the end of a sealed segment is not compared") {
        Ok(end - from)
    } else {
        Err(StoreError::corrupt(&found.path, place.end, DamageKind::PinMismatch, place.next_lsn))
    }
}

impl Recovered {
    /// What was open when the last session ended. Whoever ended in an orderly way had stopped its workers; but HEAD may be an
    /// older one that somebody put back, and of a session after it says nothing.
    pub(crate) fn open_leases(&self) -> Vec<OpenLease> {
        let head = &self.content.head;
        let is_of_head = self.index.leases_epoch() <= head.epoch || has_bug("HEAD speaks for later sessions");
        match head.state {
            JobState::Interrupted | JobState::Finished if is_of_head => Vec::new(),
            JobState::Running | JobState::Interrupted | JobState::Finished => self.index.open_leases(),
        }
    }

    /// The last segment, when nothing says that it ever reached the disk: it is being made, or its maker died. What it replaces is
    /// removed once HEAD names it.
    pub(crate) fn void_segment(&self) -> Option<u64> {
        let last = self.chain.links.last()?.seq;
        (self.chain.durable_end == FRAMES_START && self.content.head.seq < last).then_some(last)
    }

    /// Reads the last segment to its end and judges that; how far it is durable, and how far it counts.
    fn end_with(
        &mut self,
        found: &Found,
        header: &SegmentHeader,
        start: Option<SnapshotPlace>,
        scope: Scope,
    ) -> Result<(Place, Place), StoreError> {
        if header.compacted.is_some() {
            // Only what has a successor is compacted.
            return Err(StoreError::corrupt(&found.path, 0, DamageKind::MissingSegment, 1));
        }
        let mut place = start_of(header, start);
        let from = place.end;
        let mut reader = found.reader_from(header, from, found.len);
        let mut durable = place;
        let mut undurable = VecDeque::new();
        let head = &self.content.head;
        let head_claim = if head.seq == header.seq { head.durable_end } else { 0 };
        let mut claimed = head_claim;
        while let Some(frame) = reader.next_frame()? {
            claimed = claimed.max(frame.header.durable_end(frame.offset));
            let is_taken_in = scope == Scope::Accepted || has_bug("a reader counts what is not durable");
            let index = is_taken_in.then_some(&mut self.index);
            place = advance(&found.path, place, &frame, index)?;
            undurable.push_back(place);
            while let Some(next) = undurable.pop_front_if(|next: &mut Place| next.end <= claimed) {
                durable = next;
            }
        }
        self.judge(found, &reader, (head_claim, scope), place)?;
        if scope != Scope::Accepted {
            self.apply_durable(found, header, start, durable.end)?;
        }
        self.chain.durable_end = durable.end;
        self.chain.durable_lsn = durable.next_lsn - 1;
        self.next_lsn = place.next_lsn;
        self.behind += place.end - from;
        self.report.rewritten = place.next_lsn - durable.next_lsn;
        Ok((durable, place))
    }

    /// Torn or corrupt?
    fn judge(
        &mut self,
        found: &Found,
        reader: &FrameReader,
        (head_claim, scope): (u64, Scope),
        place: Place,
    ) -> Result<(), StoreError> {
        let rest = reader.judge_rest()?;
        let head_claim = if has_bug("HEAD's claim is not looked at") { 0 } else { head_claim };
        if has_bug("stops in silence at the first bad frame") {
            return Ok(());
        }
        if head_claim.max(rest.claimed_end) > place.end {
            // Somebody writes meanwhile: a frame was whole before the claim that it is durable was written, so it is there
            // when its place is read again. What came since the first look is not part of this reading.
            if scope != Scope::Accepted && reader.again_from(place.end)?.next_frame()?.is_some() {
                return Ok(());
            }
            return Err(StoreError::corrupt(&found.path, place.end, DamageKind::Frame, place.next_lsn));
        }
        if !rest.is_empty {
            self.report.torn = Some((found.seq, place.end));
        }
        Ok(())
    }

    fn apply_durable(
        &mut self,
        found: &Found,
        header: &SegmentHeader,
        start: Option<SnapshotPlace>,
        end: u64,
    ) -> Result<(), StoreError> {
        let mut place = start_of(header, start);
        let mut reader = found.reader_from(header, place.end, end);
        while let Some(frame) = reader.next_frame()? {
            place = advance(&found.path, place, &frame, Some(&mut self.index))?;
        }
        Ok(())
    }

    /// Decides how to go on: where the new segment takes over, and what it writes again. Segments before `kept` stay.
    fn continue_after(
        &mut self,
        path: &[(&Found, &SegmentHeader)],
        kept: usize,
        (durable, end): (Place, Place),
    ) {
        let Some((last, &(found, header))) = path.iter().enumerate().next_back() else { return };
        // Somebody may still be making one of those: a segment must not claim to replace what it has not taken in.
        let unknown = self.report.skipped_segments.last().copied().unwrap_or(0);
        let unknown =
            if has_bug("a segment claims to replace what it has not taken in") { 0 } else { unknown };
        let begun_after = path.iter().position(|(_, header)| header.seq > unknown).unwrap_or(path.len());
        let accepted = Accepted { path, end: end.end, kept: kept.max(begun_after) };
        // If nothing says that the last segment reached the disk at all, nothing may rest on it.
        let is_void =
            durable.end == FRAMES_START && !has_bug("a segment follows one of which nothing is durable");
        let begun = if is_void { last } else { last + 1 };
        // What was torn stays for whoever wants to look at it.
        let first = if self.report.torn.is_none() { accepted.first_to_merge(begun) } else { begun };
        if let Some((_, replaced)) = path.get(first) {
            self.pin = replaced.prev;
            self.absorbs = u32::try_from(self.next_seq - replaced.seq + u64::from(replaced.absorbs))
                .expect("a job is not opened four billion times");
            self.tails = accepted.tails(first);
            return;
        }
        self.pin = Pin { seq: found.seq, end: durable.end, chain: durable.chain, next_lsn: durable.next_lsn };
        if durable.end < end.end && !has_bug("the suffix is not written again") {
            let key = FrameKey::new(header.salt, header.epoch, header.seq);
            self.tails = vec![Tail { path: found.path.clone(), key, from: durable.end, to: end.end }];
        }
    }
}

/// Where reading a segment begins: at its first frame, or where the snapshot ends, if that is in it.
fn start_of(header: &SegmentHeader, start: Option<SnapshotPlace>) -> Place {
    match start {
        Some(SnapshotPlace { seq, end, chain, next_lsn, .. }) if seq == header.seq => {
            Place { end, chain, next_lsn }
        }
        Some(_) | None => Place { end: FRAMES_START, chain: 0, next_lsn: header.prev.next_lsn },
    }
}

/// Passes over one frame, taking its records into the index.
fn advance(
    path: &Path,
    place: Place,
    frame: &Frame<'_>,
    index: Option<&mut Index>,
) -> Result<Place, StoreError> {
    let header = &frame.header;
    let corrupt = |what| StoreError::corrupt(path, frame.offset, what, place.next_lsn);
    let is_excused = (header.first_lsn > place.next_lsn && has_bug("a gap between lsns is accepted"))
        || (header.first_lsn < place.next_lsn && has_bug("a repeated lsn is accepted"));
    if header.first_lsn != place.next_lsn && !is_excused {
        return Err(corrupt(DamageKind::LsnSequence));
    }
    match header.kind {
        TYPE_RECORDS => {
            if let Some(index) = index {
                take_in(frame, index).ok_or_else(|| corrupt(DamageKind::Records))?;
            }
        }
        TYPE_MARK => {}
        _ if header.flags & FLAG_SKIPPABLE != 0 => {}
        kind => {
            return Err(StoreError::NewerVersion {
                path: path.to_owned(),
                found: kind.into(),
                known: TYPE_MARK.into(),
            });
        }
    }
    Ok(Place {
        end: frame.offset + header.frame_len(),
        chain: header.chain(place.chain, frame.body_crc),
        next_lsn: place.next_lsn + u64::from(header.count),
    })
}

fn take_in(frame: &Frame<'_>, index: &mut Index) -> Option<()> {
    let mut lsn = frame.header.first_lsn;
    for record in records(frame.body) {
        let record = record.ok()?;
        index.apply(&record, lsn).ok()?;
        lsn += u64::from(record.outcomes());
    }
    (lsn == frame.header.first_lsn + u64::from(frame.header.count)).then_some(())
}
