//! What is returned is encoded as it goes: a large output is never as a whole in the memory of its worker.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]

use cofferdam::{Context, Ended, Failure, Isolation, Job, OutcomeResult, Processor, StartContext, dense};
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::{ByteBuf, Bytes};
use std::fmt;

cofferdam::worker_test!(workers: Tables);

const ROWS: u64 = 40;
const ROW_BYTES: usize = 1 << 20;
/// What the worker's memory may grow by: a few rows, buffers; a third of the output.
const GROWTH_MAX: u64 = 14 << 20;

/// So many rows of a MiB, which are made as they are encoded.
#[derive(Debug)]
struct Table(u64);

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = vec![7; ROW_BYTES];
        let mut rows = serializer.serialize_seq(Some(self.0 as usize))?;
        (0..self.0).try_for_each(|_| rows.serialize_element(Bytes::new(&row)))?;
        rows.end()
    }
}

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rows;

        impl<'de> Visitor<'de> for Rows {
            type Value = Table;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("rows")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Table, A::Error> {
                let mut count = 0;
                while let Some(row) = rows.next_element::<ByteBuf>()? {
                    assert_eq!(row.len(), ROW_BYTES);
                    count += 1;
                }
                Ok(Table(count))
            }
        }

        deserializer.deserialize_seq(Rows)
    }
}

/// Returns a table of so many rows, and the most memory that it had needed before.
struct Tables;

impl Processor for Tables {
    const NAME: &'static str = "tables";
    const VERSION: u32 = 1;
    type Item = u64;
    type Output = (Table, u64);
    type Config = ();

    fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, rows: u64, _: &Context<'_>) -> Result<(Table, u64), Failure> {
        Ok((Table(rows), peak()))
    }
}

/// The most memory that this process ever had resident, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

#[test]
fn an_output_of_many_megabytes_is_never_as_a_whole_in_the_memory_of_its_worker() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let handle = Job::<Tables>::new(dir.path(), "job", ())
        .workers(1)
        .isolation(Isolation::Process)
        .worker_program(workers::program())
        .start(dense(|| [0, ROWS, 0]))
        .expect("the job starts");
    let outputs: Vec<_> = handle
        .outcomes()
        .map(|outcome| match outcome.expect("a readable outcome").result {
            OutcomeResult::Completed((table, peak)) => (table.0, peak),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(handle.wait().expect("a report").ended, Ended::Complete);
    let [(0, before), (found, _), (0, after)] = outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(found, ROWS);
    let growth = after - before;
    assert!(growth < GROWTH_MAX, "the worker's memory grew by {growth} bytes");
}
