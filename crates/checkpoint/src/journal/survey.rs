//! Walks over every segment beyond its first damage, so that all of it can be named.

use super::head_file;
use super::reader::Frame;
use super::scan::{self, Found};
use crate::disk::Disk;
use crate::error::DamageKind;
use crate::format::head::Head;
use crate::format::segment::{FRAMES_START, SegmentHeader, parse_file_name};
use crate::verify::Finding;
use crate::{RecoveryReport, StoreError};
use std::path::Path;

/// A segment with what others say about it.
struct Surveyed<'a> {
    found: &'a Found,
    header: &'a SegmentHeader,
    /// Where its successor takes over, if it has one: nothing behind counts, and all before is durable.
    pinned: Option<u64>,
    /// HEAD's word for how far it is durable.
    claimed_by_head: u64,
}

/// A stretch without intact frames.
struct Hole {
    at: u64,
    end: u64,
    first_lsn: u64,
    end_lsn: u64,
}

/// Shows every intact frame of every committed segment to `each`, and returns the stretches that were durable and are not intact.
pub(crate) fn survey(
    disk: &dyn Disk,
    dir: &Path,
    each: &mut dyn FnMut(&Found, &Frame<'_>),
) -> Result<Vec<Finding>, StoreError> {
    // The journal's own verdict tells of a damaged HEAD; the segments can be walked without it.
    let head = head_file::read(disk, dir).ok().map(|content| content.head);
    let names = disk.read_dir(dir).map_err(|error| StoreError::io("list", dir, error))?;
    let mut seqs: Vec<_> = names.iter().filter_map(|name| parse_file_name(name.to_str()?)).collect();
    seqs.sort_unstable();
    let mut segments = Vec::new();
    for seq in seqs {
        segments.push(scan::load(disk, dir, seq, &mut RecoveryReport::default())?);
    }
    let mut findings = Vec::new();
    for segment in counted(&segments, head.as_ref())? {
        segment.walk(each, &mut findings)?;
    }
    Ok(findings)
}

/// The segments whose frames count, or would if they were intact.
fn counted<'a>(segments: &'a [Found], head: Option<&Head>) -> Result<Vec<Surveyed<'a>>, StoreError> {
    let head_seq = head.map_or(0, |head| head.seq);
    let mut committed = Vec::new();
    for found in segments {
        let Ok(header) = &found.header else { continue };
        match found.is_committed(header, head_seq) {
            Ok(true) | Err(StoreError::Corrupt(_)) => committed.push((found, header)),
            Ok(false) => {}
            Err(error) => return Err(error),
        }
    }
    let is_absorbed =
        |seq: u64| committed.iter().any(|(_, by)| (by.seq - u64::from(by.absorbs)..by.seq).contains(&seq));
    let surveyed = committed.iter().filter(|(found, _)| !is_absorbed(found.seq)).map(|&(found, header)| {
        let successor = committed.iter().rfind(|(_, next)| next.prev.seq == found.seq);
        Surveyed {
            found,
            header,
            pinned: match header.compacted {
                Some(compacted) => Some(compacted.end),
                None => successor.map(|(_, next)| next.prev.end),
            },
            claimed_by_head: head.filter(|head| head.seq == found.seq).map_or(0, |head| head.durable_end),
        }
    });
    Ok(surveyed.collect())
}

impl Surveyed<'_> {
    fn walk(
        &self,
        each: &mut dyn FnMut(&Found, &Frame<'_>),
        findings: &mut Vec<Finding>,
    ) -> Result<(), StoreError> {
        let end = self.pinned.unwrap_or(self.found.len);
        let mut reader = self.found.reader(self.header, end.min(self.found.len));
        let mut claimed = self.claimed_by_head.max(self.pinned.unwrap_or(FRAMES_START));
        let mut next_lsn = self.header.prev.next_lsn;
        let mut holes: Vec<Hole> = Vec::new();
        loop {
            let at = reader.offset();
            if let Some(frame) = reader.next_frame()? {
                claimed = claimed.max(frame.header.durable_end(at));
                close(&mut holes, at, frame.header.first_lsn);
                next_lsn = frame.header.first_lsn + u64::from(frame.header.count);
                each(self.found, &frame);
                continue;
            }
            if let Some(header) = reader.peek_header()? {
                // Its body is damaged; the header still says how far that goes and whose it was.
                claimed = claimed.max(header.durable_end(at));
                close(&mut holes, at, header.first_lsn);
                let first_lsn = header.first_lsn;
                next_lsn = first_lsn + u64::from(header.count);
                holes.push(Hole { at, end: at + header.frame_len(), first_lsn, end_lsn: next_lsn });
                reader.skip(&header);
                continue;
            }
            if at < end {
                holes.push(Hole { at, end, first_lsn: next_lsn, end_lsn: u64::MAX });
            }
            if !reader.resync()? {
                break;
            }
        }
        findings.extend(holes.into_iter().filter(|hole| hole.at < claimed).map(|hole| Finding {
            path: self.found.path.clone(),
            segment: Some(self.found.seq),
            bytes: hole.at..hole.end,
            what: DamageKind::Frame,
            lsns: hole.first_lsn..hole.end_lsn,
            item: None,
        }));
        Ok(())
    }
}

/// An intact header at `at` ends a stretch that was open until now.
fn close(holes: &mut [Hole], at: u64, first_lsn: u64) {
    if let Some(hole) = holes.last_mut().filter(|hole| hole.end_lsn == u64::MAX) {
        hole.end = at;
        hole.end_lsn = first_lsn;
    }
}
