//! fjall, with its journal synced at each commit.

use super::{Engine, Kind};
use crate::journal::output;
use crate::support::case::Failed;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::hint::black_box;
use std::path::Path;

pub const KIND: Kind = Kind { name: "fjall", open: |path| Ok(Box::new(open(path)?)), read };

struct Fjall {
    database: Database,
    outputs: Keyspace,
}

fn open(path: &Path) -> Result<Fjall, Failed> {
    let database = Database::builder(path).open()?;
    let outputs = database.keyspace("outputs", KeyspaceCreateOptions::default)?;
    Ok(Fjall { database, outputs })
}

impl Engine for Fjall {
    fn commit(&self, first: u64, count: usize) -> Result<(), Failed> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for number in first..first + count as u64 {
            batch.insert(&self.outputs, number.to_be_bytes(), output(number).as_slice());
        }
        Ok(batch.commit()?)
    }
}

fn read(path: &Path) -> Result<u64, Failed> {
    let mut read = 0;
    for entry in open(path)?.outputs.iter() {
        black_box(entry.into_inner()?);
        read += 1;
    }
    Ok(read)
}
