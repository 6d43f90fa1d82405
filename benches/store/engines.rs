//! Stores that others made, each set to survive a power cut.

use crate::journal::OUTPUT_LEN;
use crate::support::case::Failed;
use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use std::path::Path;

const OUTPUT: [u8; OUTPUT_LEN] = [7; OUTPUT_LEN];

/// A store of outcomes by ordinal.
pub trait Engine {
    /// Stores `count` outcomes from `first` on, durably.
    fn commit(&mut self, first: u64, count: u64) -> Result<(), Failed>;
    /// Looks at every outcome; how many there are.
    fn iterate(&self) -> Result<u64, Failed>;
}

/// Makes the store at a path, or opens it.
pub type Open = fn(&Path) -> Result<Box<dyn Engine>, Failed>;

/// All of them, by the name that figures have.
pub const ALL: [(&str, Open); 3] = [("sqlite", open_sqlite), ("redb", open_redb), ("fjall", open_fjall)];

struct Sqlite(rusqlite::Connection);

fn open_sqlite(path: &Path) -> Result<Box<dyn Engine>, Failed> {
    let connection = rusqlite::Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS outcomes (ordinal INTEGER PRIMARY KEY, output BLOB NOT NULL)",
    )?;
    Ok(Box::new(Sqlite(connection)))
}

impl Engine for Sqlite {
    fn commit(&mut self, first: u64, count: u64) -> Result<(), Failed> {
        let transaction = self.0.transaction()?;
        {
            let mut insert = transaction.prepare("INSERT INTO outcomes VALUES (?, ?)")?;
            for ordinal in first..first + count {
                insert.execute((i64::try_from(ordinal)?, &OUTPUT[..]))?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn iterate(&self) -> Result<u64, Failed> {
        let mut select = self.0.prepare("SELECT ordinal, output FROM outcomes ORDER BY ordinal")?;
        let mut rows = select.query([])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += u64::from(row.get_ref(1)?.as_blob()?[0] == 7);
        }
        Ok(count)
    }
}

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("outcomes");

struct Redb(redb::Database);

fn open_redb(path: &Path) -> Result<Box<dyn Engine>, Failed> {
    Ok(Box::new(Redb(redb::Database::create(path)?)))
}

impl Engine for Redb {
    fn commit(&mut self, first: u64, count: u64) -> Result<(), Failed> {
        let mut write = self.0.begin_write()?;
        write.set_durability(redb::Durability::Immediate)?;
        {
            let mut table = write.open_table(TABLE)?;
            for ordinal in first..first + count {
                table.insert(ordinal, &OUTPUT[..])?;
            }
        }
        Ok(write.commit()?)
    }

    fn iterate(&self) -> Result<u64, Failed> {
        let read = self.0.begin_read()?;
        let mut count = 0;
        for entry in read.open_table(TABLE)?.iter()? {
            count += u64::from(entry?.1.value()[0] == 7);
        }
        Ok(count)
    }
}

struct Fjall {
    database: fjall::Database,
    outcomes: fjall::Keyspace,
}

fn open_fjall(path: &Path) -> Result<Box<dyn Engine>, Failed> {
    let database = fjall::Database::builder(path).open()?;
    let outcomes = database.keyspace("outcomes", fjall::KeyspaceCreateOptions::default)?;
    Ok(Box::new(Fjall { database, outcomes }))
}

impl Engine for Fjall {
    fn commit(&mut self, first: u64, count: u64) -> Result<(), Failed> {
        let mut batch = self.database.batch().durability(Some(fjall::PersistMode::SyncData));
        for ordinal in first..first + count {
            batch.insert(&self.outcomes, ordinal.to_be_bytes(), &OUTPUT[..]);
        }
        Ok(batch.commit()?)
    }

    fn iterate(&self) -> Result<u64, Failed> {
        let mut count = 0;
        for entry in self.outcomes.iter() {
            count += u64::from(entry.into_inner()?.1[0] == 7);
        }
        Ok(count)
    }
}
