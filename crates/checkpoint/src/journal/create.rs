//! Begins a segment.

use super::append::{Appender, FrameKind};
use super::fill::{FillAhead, Filler, STEP_MIN};
use super::rewrite::{Tail, rewrite};
use super::room::{self, Room};
use crate::disk::{Disk, DiskFile, OpenMode, write_all_at};
use crate::format::frame::{FLAG_COMMIT, HEADER_LEN, TYPE_MARK};
use crate::format::segment::{COPY_OFFSETS, FRAMES_START, SegmentHeader, file_name};
use crate::seeded::has_bug;
use crate::{StoreError, random};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The step of filling ahead that tests use, so that small journals see many of them.
const STEP_MIN_INLINE: u64 = 4096;

/// Creates the segment that `header` describes (its salt is chosen here), with what counts of `tails` and a first COMMIT, durable when
/// this returns. A failure leaves nothing, or a file that no reader takes for a part of the journal.
pub(crate) fn begin_segment(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    mut header: SegmentHeader,
    tails: &[Tail],
    fill: FillAhead,
) -> Result<(Appender, Arc<Filler>), StoreError> {
    header.salt = if has_bug("no salt") { 0 } else { random::number()? };
    let path = dir.join(file_name(header.seq));
    let failed = |op, error| StoreError::io(op, &path, error);
    room::check(disk.as_ref(), &path, FRAMES_START + tails.iter().map(Tail::len).sum::<u64>())?;
    let is_reused = has_bug("a segment is used again after a crash");
    let mode = if is_reused { OpenMode::Create } else { OpenMode::CreateNew };
    let file: Arc<dyn DiskFile> = Arc::from(disk.open(&path, mode).map_err(|error| failed("create", error))?);
    let headers = write_headers(file.as_ref(), &header).map_err(|error| failed("write to", error));
    let step_min = match fill {
        FillAhead::Background | FillAhead::Off => STEP_MIN,
        FillAhead::Inline => STEP_MIN_INLINE,
    };
    let filler = Filler::new(file.clone(), Room::new(disk, dir), FRAMES_START, step_min);
    let mut appender = Appender::new(header, path.clone(), file, filler.clone());
    if let Err(error) = headers.and_then(|()| rewrite(disk.as_ref(), tails, &mut appender)) {
        // Without a COMMIT it is nobody's. Each try on a full disk would leave another one.
        if !has_bug("a segment that could not be begun stays on the full disk") {
            let _ = disk.remove_file(&path);
        }
        return Err(error);
    }
    append_mark(&mut appender)?;
    let target = appender.sync_target();
    if has_bug("segments are removed before the one that replaces them is durable") {
        super::merge::remove_absorbed(disk.as_ref(), dir, &[super::chain::Link::new(&header)]);
    }
    if !has_bug("a new segment is not synced") {
        target.sync()?;
    }
    if !has_bug("no directory sync after a segment was created") {
        disk.sync_dir(dir).map_err(|error| StoreError::io("sync", dir, error))?;
    }
    appender.synced(target.end);
    Ok((appender, filler))
}

fn write_headers(file: &dyn DiskFile, header: &SegmentHeader) -> io::Result<()> {
    for (copy, offset) in COPY_OFFSETS.into_iter().enumerate() {
        if copy == 1 && has_bug("one copy of a segment's header") {
            continue;
        }
        write_all_at(file, &header.encode(copy as u16), offset)?;
    }
    Ok(())
}

/// A frame without a body: it says how far the segment is durable.
pub(crate) fn append_mark(appender: &mut Appender) -> Result<(), StoreError> {
    let mut frame = vec![0; HEADER_LEN];
    appender.append(FrameKind { kind: TYPE_MARK, flags: FLAG_COMMIT, count: 0 }, &mut frame)
}
