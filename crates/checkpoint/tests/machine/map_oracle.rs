//! The oracle that anybody can check by reading it: a list of outcomes.

use super::{Oracle, Row};
use cofferdam_checkpoint::{Counts, Lookup};
use cofferdam_pipeline_core::OutcomeKind;
use std::collections::BTreeMap;

/// Every outcome that was ever taken, in the order of its lsn.
#[derive(Clone, Debug, Default)]
pub struct MapOracle(Vec<Row>);

impl MapOracle {
    fn newest(&self) -> BTreeMap<&[u8], &Row> {
        self.0.iter().map(|row| (row.key.as_slice(), row)).collect()
    }
}

impl Oracle for MapOracle {
    fn append(&mut self, rows: &[Row]) -> bool {
        let before = self.0.len();
        for row in rows {
            if self.lookup(&row.key, row.print) == Lookup::Done {
                self.0.truncate(before);
                return false;
            }
            self.0.push(row.clone());
        }
        true
    }

    fn forget_after(&mut self, lsn: u64) {
        self.0.retain(|row| row.lsn <= lsn);
    }

    fn lookup(&self, key: &[u8], print: Option<[u8; 16]>) -> Lookup {
        match self.0.iter().rfind(|row| row.key == key) {
            None => Lookup::New,
            Some(row) if print.is_none() || row.print == print => Lookup::Done,
            Some(_) => Lookup::Changed,
        }
    }

    fn current(&self) -> Vec<Row> {
        let newest = self.newest();
        self.0.iter().filter(|row| newest[row.key.as_slice()].lsn == row.lsn).cloned().collect()
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for row in self.newest().values() {
            match row.kind {
                OutcomeKind::Completed => counts.completed += 1,
                OutcomeKind::Failed => counts.failed += 1,
                OutcomeKind::Quarantined => counts.quarantined += 1,
                OutcomeKind::Cancelled => counts.cancelled += 1,
            }
        }
        counts
    }
}
