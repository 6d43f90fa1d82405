//! SQLite with a write-ahead log and `synchronous=FULL`.

use super::{Engine, Kind};
use crate::journal::output;
use crate::support::case::Failed;
use rusqlite::Connection;
use std::hint::black_box;
use std::path::Path;
use std::sync::Mutex;

pub const KIND: Kind = Kind { name: "sqlite", open: |path| Ok(Box::new(open(path)?)), read };

/// One connection: SQLite lets only one write at a time, and connections that wait for each other sleep.
struct Sqlite(Mutex<Connection>);

fn open(path: &Path) -> Result<Sqlite, Failed> {
    let connection = Connection::open(path)?;
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    assert_eq!(mode, "wal", "the file system has what a write-ahead log needs");
    connection.execute_batch(
        "PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS outputs (number INTEGER PRIMARY KEY, output BLOB NOT NULL)",
    )?;
    Ok(Sqlite(Mutex::new(connection)))
}

impl Engine for Sqlite {
    fn commit(&self, first: u64, count: usize) -> Result<(), Failed> {
        let mut connection = self.0.lock().map_err(|_| "a committer panicked")?;
        let transaction = connection.transaction()?;
        let mut insert = transaction.prepare_cached("INSERT INTO outputs (number, output) VALUES (?, ?)")?;
        for number in first..first + count as u64 {
            insert.execute((i64::try_from(number)?, output(number).as_slice()))?;
        }
        drop(insert);
        Ok(transaction.commit()?)
    }
}

fn read(path: &Path) -> Result<u64, Failed> {
    let Sqlite(connection) = open(path)?;
    let connection = connection.into_inner().map_err(|_| "a committer panicked")?;
    let mut select = connection.prepare("SELECT number, output FROM outputs ORDER BY number")?;
    let mut rows = select.query([])?;
    let mut read = 0;
    while let Some(row) = rows.next()? {
        black_box((row.get_ref(0)?.as_i64()?, row.get_ref(1)?.as_blob()?));
        read += 1;
    }
    Ok(read)
}
