//! redb with immediate durability, which is its default.

use super::{Engine, Kind};
use crate::journal::output;
use crate::support::case::Failed;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::hint::black_box;
use std::path::Path;

pub const KIND: Kind = Kind { name: "redb", open: |path| Ok(Box::new(Redb(Database::create(path)?))), read };

const OUTPUTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("outputs");

struct Redb(Database);

impl Engine for Redb {
    fn commit(&self, first: u64, count: usize) -> Result<(), Failed> {
        let transaction = self.0.begin_write()?;
        let mut table = transaction.open_table(OUTPUTS)?;
        for number in first..first + count as u64 {
            table.insert(number, output(number).as_slice())?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }
}

fn read(path: &Path) -> Result<u64, Failed> {
    let database = Database::open(path)?;
    let table = database.begin_read()?.open_table(OUTPUTS)?;
    let mut read = 0;
    for entry in table.iter()? {
        let (number, output) = entry?;
        black_box((number.value(), output.value()));
        read += 1;
    }
    Ok(read)
}
