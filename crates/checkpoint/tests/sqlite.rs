//! The same random operations as in `model`, with SQLite beside them. It needs a C compiler, so it is built on demand:
//! `cargo test -p cofferdam-checkpoint --features sqlite-tests --test sqlite`.
#![allow(clippy::unwrap_used, missing_docs)]

mod machine;
mod support;

use cofferdam_checkpoint::{Counts, Lookup};
use cofferdam_pipeline_core::{Keying, OutcomeKind};
use cofferdam_testkit::rusqlite::{Connection, params};
use machine::map_oracle::MapOracle;
use machine::{Oracle, Row, play};

const SCHEMA: &str = "
    create table outcomes (lsn integer primary key, key blob not null, print blob, kind integer not null, body blob not null);
    create index by_key on outcomes (key, lsn);
    create view current as
        select lsn, key, print, kind, body from
            (select *, row_number() over (partition by key order by lsn desc) as age from outcomes)
        where age = 1 order by lsn;
";
/// The last outcome of a key: whether it is for the same input.
const LOOKUP: &str = "
    select ?2 is null or print is ?2 from outcomes where key = ?1 order by lsn desc limit 1
";

/// One table, and a transaction for each batch.
struct SqliteOracle(Connection);

impl SqliteOracle {
    fn new() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        Self(connection)
    }
}

fn lookup(connection: &Connection, key: &[u8], print: Option<[u8; 16]>) -> Lookup {
    let mut statement = connection.prepare_cached(LOOKUP).unwrap();
    let mut rows = statement.query(params![key, print]).unwrap();
    match rows.next().unwrap().map(|row| row.get(0).unwrap()) {
        None => Lookup::New,
        Some(true) => Lookup::Done,
        Some(false) => Lookup::Changed,
    }
}

impl Oracle for SqliteOracle {
    fn append(&mut self, rows: &[Row]) -> bool {
        let transaction = self.0.transaction().unwrap();
        for Row { lsn, key, print, kind, body } in rows {
            if lookup(&transaction, key, *print) == Lookup::Done {
                transaction.rollback().unwrap();
                return false;
            }
            let mut insert =
                transaction.prepare_cached("insert into outcomes values (?1, ?2, ?3, ?4, ?5)").unwrap();
            insert.execute(params![*lsn as i64, key, print, *kind as u8, body]).unwrap();
        }
        transaction.commit().unwrap();
        true
    }

    fn forget_after(&mut self, lsn: u64) {
        self.0.execute("delete from outcomes where lsn > ?1", [lsn as i64]).unwrap();
    }

    fn lookup(&self, key: &[u8], print: Option<[u8; 16]>) -> Lookup {
        lookup(&self.0, key, print)
    }

    fn current(&self) -> Vec<Row> {
        let mut statement = self.0.prepare_cached("select * from current").unwrap();
        let rows = statement.query_map([], |row| {
            Ok(Row {
                lsn: row.get::<_, i64>(0)? as u64,
                key: row.get(1)?,
                print: row.get(2)?,
                kind: kind_of(row.get(3)?),
                body: row.get(4)?,
            })
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    fn counts(&self) -> Counts {
        let count = |kind: OutcomeKind| {
            let mut statement =
                self.0.prepare_cached("select count(*) from current where kind = ?1").unwrap();
            statement.query_row([kind as u8], |row| row.get::<_, i64>(0)).unwrap() as u64
        };
        Counts {
            completed: count(OutcomeKind::Completed),
            failed: count(OutcomeKind::Failed),
            quarantined: count(OutcomeKind::Quarantined),
            cancelled: count(OutcomeKind::Cancelled),
        }
    }
}

fn kind_of(number: u8) -> OutcomeKind {
    let kinds =
        [OutcomeKind::Completed, OutcomeKind::Failed, OutcomeKind::Quarantined, OutcomeKind::Cancelled];
    kinds.into_iter().find(|&kind| kind as u8 == number).unwrap()
}

fn oracles() -> Vec<Box<dyn Oracle>> {
    vec![Box::new(SqliteOracle::new()), Box::new(MapOracle::default())]
}

#[test]
fn a_keyed_job_is_what_sqlite_makes_of_it() {
    play(Keying::Keyed, 64, 2_000, 100_000, oracles);
}

#[test]
fn a_dense_job_is_what_sqlite_makes_of_it() {
    play(Keying::Dense, 64, 2_000, 100_000, oracles);
}
