//! Lends outcomes from the body of a frame, whose checksum was right.

use crate::format::bytes::Malformed;
use crate::format::evidence;
use crate::format::record::{Record, records, spans};
use crate::journal::reader::Frame;
use crate::{KeyRef, OutcomeBodyRef, OutcomeRef};
use cofferdam_pipeline_core::{OutcomeKind, split_first_entry};
use std::collections::VecDeque;
use std::ops::Range;

/// What is left to lend of a frame. The body stays with whoever read it.
#[derive(Default)]
pub(crate) struct LentFrame {
    at: u64,
    last: u64,
    spans: VecDeque<Span>,
    run: Option<Run>,
}

/// A record that holds something wanted.
struct Span {
    /// Where in the body it lies.
    bytes: Range<usize>,
    /// Of its first outcome.
    lsn: u64,
    has_key: bool,
}

/// A run of outputs, of which at least one is left.
struct Run {
    lsn: u64,
    ordinal: u64,
    left: u32,
    attempts: u32,
    step: u32,
    /// Where in the body those that are left lie.
    entries: Range<usize>,
}

impl LentFrame {
    /// Where the frame lies in its segment.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The lsn of its last outcome.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Whether something wanted is left.
    pub(crate) fn has_next(&self) -> bool {
        self.run.is_some() || !self.spans.is_empty()
    }

    /// Takes in the outcomes behind `after`; `wanted` says it of those with keys.
    pub(crate) fn begin(
        &mut self,
        frame: &Frame<'_>,
        after: u64,
        wanted: impl FnOnce(&[(KeyRef<'_>, u64)]) -> Vec<bool>,
    ) -> Result<(), Malformed> {
        let (mut at, mut lsn) = (0, frame.header.first_lsn);
        let mut keyed = Vec::new();
        for record in spans(frame.body) {
            let (record, bytes) = record?;
            let (bytes, outcomes) = (at..at + bytes.len(), u64::from(record.outcomes()));
            at = bytes.end;
            let is_there = outcomes > 0 && !matches!(record, Record::Dropped { .. });
            if is_there && lsn + outcomes - 1 > after {
                let key = key_of(record, lsn)?;
                self.spans.push_back(Span { bytes, lsn, has_key: key.is_some() });
                keyed.extend(key.map(|key| (key, lsn)));
            }
            lsn += outcomes;
        }
        if lsn != frame.header.first_lsn + u64::from(frame.header.count) {
            return Err(Malformed);
        }
        self.at = frame.offset;
        self.last = lsn - 1;
        if !keyed.is_empty() {
            let mut wanted = wanted(&keyed).into_iter();
            self.spans.retain(|span| !span.has_key || wanted.next().expect("one for each key"));
        }
        self.pass_over(after, frame.body)
    }

    /// Only a run can begin with what is not wanted.
    fn pass_over(&mut self, after: u64, body: &[u8]) -> Result<(), Malformed> {
        let first = self.spans.front().map_or(after, |span| span.lsn - 1);
        (first..after).try_for_each(|_| self.lend(body).map(drop))
    }

    /// The next outcome, when there is one. `body` is that of the frame.
    #[inline(always)] // as a call it would copy the outcome twice more
    pub(crate) fn lend<'a>(&mut self, body: &'a [u8]) -> Result<OutcomeRef<'a>, Malformed> {
        if self.run.is_none()
            && let Some(outcome) = self.begin_record(body)?
        {
            return Ok(outcome);
        }
        let run = self.run.as_mut().ok_or(Malformed)?;
        let (output, rest) = split_first_entry(&body[run.entries.clone()]).ok_or(Malformed)?;
        let outcome = OutcomeRef {
            lsn: run.lsn,
            key: KeyRef::Ordinal(run.ordinal),
            fingerprint: None,
            kind: OutcomeKind::Completed,
            attempts: run.attempts,
            step: run.step,
            body: OutcomeBodyRef::Output(output),
        };
        run.entries.start = run.entries.end - rest.len();
        (run.lsn, run.ordinal, run.left) = (run.lsn + 1, run.ordinal + 1, run.left - 1);
        if run.left == 0 {
            self.run = None;
            if !rest.is_empty() {
                return Err(Malformed);
            }
        }
        Ok(outcome)
    }

    /// The outcome in the next record, unless that is a run.
    #[inline(never)]
    fn begin_record<'a>(&mut self, body: &'a [u8]) -> Result<Option<OutcomeRef<'a>>, Malformed> {
        let Span { bytes, lsn, .. } = self.spans.pop_front().ok_or(Malformed)?;
        match records(&body[bytes.clone()]).next().ok_or(Malformed)?? {
            Record::CompletedRun { first: ordinal, count: left, attempts, step, entries } => {
                // They are what a run ends with.
                let entries = bytes.end - entries.len()..bytes.end;
                self.run = Some(Run { lsn, ordinal, left, attempts, step, entries });
                Ok(None)
            }
            record => outcome(record, lsn).map(Some),
        }
    }
}

/// The key that tells whether an outcome still counts: ordinals have one outcome only.
fn key_of(record: Record<'_>, lsn: u64) -> Result<Option<KeyRef<'_>>, Malformed> {
    if let Record::CompletedRun { .. } = record {
        return Ok(None);
    }
    let key = outcome(record, lsn)?.key;
    Ok(Some(key).filter(|key| matches!(key, KeyRef::Bytes(_))))
}

/// The outcome in a record that has just one.
fn outcome(record: Record<'_>, lsn: u64) -> Result<OutcomeRef<'_>, Malformed> {
    let (item, kind, attempts, step, body) = match record {
        Record::Completed { item, attempts, step, output } => {
            (item, OutcomeKind::Completed, attempts, step, OutcomeBodyRef::Output(output))
        }
        Record::CompletedBlob { item, attempts, step, blob } => {
            (item, OutcomeKind::Completed, attempts, step, OutcomeBodyRef::Blob(blob))
        }
        Record::CompletedFiles { item, attempts, step, output } => {
            (item, OutcomeKind::Completed, attempts, step, OutcomeBodyRef::WithFiles(Box::new(output)))
        }
        Record::SetAside { item, kind, attempts, step, evidence: bytes } => {
            let evidence = Box::new(evidence::decode(bytes)?);
            (item, kind, attempts, step, OutcomeBodyRef::Evidence(evidence))
        }
        Record::CompletedRun { .. } | Record::Note { .. } | Record::LeaseStarted { .. } => {
            return Err(Malformed);
        }
        Record::SavedState { .. } | Record::Added { .. } | Record::Dropped { .. } | Record::Other => {
            return Err(Malformed);
        }
    };
    let (key, fingerprint) = (item.key, item.fingerprint);
    Ok(OutcomeRef { lsn, key, fingerprint, kind, attempts, step, body })
}
