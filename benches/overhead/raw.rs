//! The limit: the same bytes through two pipes and a journal that is filled with zeros ahead and synced group by group, by hand. No
//! blame, no retries, no checksums, no recovery.

use crate::bytes::{byte_strings, entries, push_byte_string, push_entry};
use crate::support::case::{Case, Failed, Figure};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// The argument with which this program is a worker of this yardstick.
const WORKER: &str = "--raw-worker";

/// About so many bytes make a batch, so that two of them fit into a pipe and no write waits for a read.
const BATCH_BYTES: u64 = 30_000;

/// Batches that each worker has in hand.
const BATCHES_AHEAD: usize = 2;

/// Batches of outputs that may wait for the journal.
const WAITING_BATCHES_MAX: usize = 64;

/// Zeros are written ahead in pieces of this size.
const FILL_BYTES: usize = 16 << 20;

pub struct Raw {
    name: &'static str,
    items: u64,
    shape: Shape,
}

/// What an item is.
#[derive(Clone, Copy)]
enum Shape {
    /// A number; its output is the next one.
    Number,
    /// So many bytes; they come back.
    Bytes(usize),
}

impl Raw {
    pub fn numbers(name: &'static str, items: u64) -> Self {
        Self { name, items, shape: Shape::Number }
    }

    pub fn byte_strings(name: &'static str, items: u64, len: usize) -> Self {
        Self { name, items, shape: Shape::Bytes(len) }
    }
}

impl Shape {
    /// What the worker's command line says of it.
    fn argument(self) -> &'static str {
        match self {
            Self::Number => "numbers",
            Self::Bytes(_) => "bytes",
        }
    }

    fn batch_items(self) -> u64 {
        match self {
            Self::Number => BATCH_BYTES / 6,
            Self::Bytes(len) => BATCH_BYTES / (len as u64 + 2),
        }
    }

    fn push_item(self, value: u64, out: &mut Vec<u8>) {
        match self {
            Self::Number => push_entry(out, value),
            Self::Bytes(len) => push_byte_string(out, &vec![value as u8; len]),
        }
    }

    /// The bytes of all outputs.
    fn outputs_len(self, items: u64) -> u64 {
        let len = |push: &dyn Fn(&mut Vec<u8>)| {
            let mut entry = Vec::new();
            push(&mut entry);
            entry.len() as u64
        };
        match self {
            Self::Number => (1..=items).map(|value| len(&|out| push_entry(out, value))).sum(),
            Self::Bytes(bytes) => items * len(&|out| push_byte_string(out, &vec![0; bytes])),
        }
    }
}

impl Case for Raw {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let took = self.run_once()?;
        Ok(vec![Figure::new(self.name, took.as_secs_f64() * 1e6 / self.items as f64, "us/item")])
    }
}

impl Raw {
    fn run_once(&self) -> Result<Duration, Failed> {
        let began = Instant::now();
        let (outputs, waiting) = sync_channel(WAITING_BATCHES_MAX);
        let next = AtomicU64::new(0);
        let (items, shape) = (self.items, self.shape);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..crate::WORKERS)
                .map(|_| {
                    let (outputs, next) = (outputs.clone(), &next);
                    scope.spawn(move || feed_worker(shape, next, items, &outputs))
                })
                .collect();
            drop(outputs);
            let bytes = keep_journal(waiting)?;
            for worker in workers {
                worker.join().map_err(|_| "a thread of the raw yardstick panicked")??;
            }
            let took = began.elapsed();
            if bytes == shape.outputs_len(items) {
                Ok(took)
            } else {
                Err("the raw yardstick lost bytes".into())
            }
        })
    }
}

/// Feeds one worker with batches, a few ahead, and passes its outputs to the journal.
fn feed_worker(
    shape: Shape,
    next: &AtomicU64,
    items: u64,
    outputs: &SyncSender<Vec<u8>>,
) -> Result<(), Failed> {
    let mut child: Child = Command::new(std::env::current_exe()?)
        .args([WORKER, shape.argument()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut to = child.stdin.take().expect("piped");
    let mut from = child.stdout.take().expect("piped");
    let claim = || {
        let first = next.fetch_add(shape.batch_items(), Ordering::Relaxed);
        (first < items).then(|| first..(first + shape.batch_items()).min(items))
    };
    let mut batch = Vec::new();
    let mut in_hand = 0;
    while in_hand < BATCHES_AHEAD
        && let Some(range) = claim()
    {
        send_batch(&mut to, &mut batch, shape, range)?;
        in_hand += 1;
    }
    while in_hand > 0 {
        let mut output = Vec::new();
        if !read_frame(&mut from, &mut output)? {
            return Err("a worker of the raw yardstick ended early".into());
        }
        outputs.send(output)?;
        in_hand -= 1;
        if let Some(range) = claim() {
            send_batch(&mut to, &mut batch, shape, range)?;
            in_hand += 1;
        }
    }
    drop(to);
    child.wait()?;
    Ok(())
}

fn send_batch(
    to: &mut impl Write,
    batch: &mut Vec<u8>,
    shape: Shape,
    range: Range<u64>,
) -> Result<(), Failed> {
    batch.clear();
    batch.extend_from_slice(&[0; 4]);
    range.for_each(|value| shape.push_item(value, batch));
    write_frame(to, batch)
}

/// Writes a frame whose first four bytes are left for its length.
fn write_frame(to: &mut impl Write, frame: &mut [u8]) -> Result<(), Failed> {
    let len = u32::try_from(frame.len() - 4)?;
    frame[..4].copy_from_slice(&len.to_le_bytes());
    to.write_all(frame)?;
    Ok(())
}

/// Reads a frame's body; false at the end of the stream.
fn read_frame(from: &mut impl Read, body: &mut Vec<u8>) -> Result<bool, Failed> {
    let mut len = [0; 4];
    match from.read_exact(&mut len) {
        Err(end) if end.kind() == ErrorKind::UnexpectedEof => return Ok(false),
        other => other?,
    }
    body.resize(u32::from_le_bytes(len) as usize, 0);
    from.read_exact(body)?;
    Ok(true)
}

/// Writes what waits as one group, syncs, and so on; the bytes written.
fn keep_journal(waiting: Receiver<Vec<u8>>) -> Result<u64, Failed> {
    let mut journal = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut group = Vec::new();
    let (mut written, mut filled) = (0, 0);
    while let Ok(first) = waiting.recv() {
        group.clear();
        group.extend_from_slice(&first);
        waiting.try_iter().for_each(|more| group.extend_from_slice(&more));
        let end = written + group.len() as u64;
        while filled < end {
            filled = fill_ahead(&mut journal, filled)?;
            journal.seek(SeekFrom::Start(written))?;
        }
        journal.write_all(&group)?;
        journal.sync_data()?;
        written = end;
    }
    Ok(written)
}

fn fill_ahead(journal: &mut File, filled: u64) -> Result<u64, Failed> {
    journal.seek(SeekFrom::Start(filled))?;
    journal.write_all(&vec![0; FILL_BYTES])?;
    journal.sync_data()?;
    Ok(filled + FILL_BYTES as u64)
}

/// In a worker of this yardstick: serves it and does not return.
pub fn worker_line() -> Result<(), Failed> {
    if std::env::args().nth(1).as_deref() != Some(WORKER) {
        return Ok(());
    }
    let (mut from, mut to) = (std::io::stdin().lock(), std::io::stdout().lock());
    let (mut batch, mut outputs) = (Vec::new(), Vec::new());
    let numbers = std::env::args().nth(2).as_deref() == Some(Shape::Number.argument());
    while read_frame(&mut from, &mut batch)? {
        outputs.clear();
        outputs.extend_from_slice(&[0; 4]);
        if numbers {
            entries(&batch).for_each(|x| push_entry(&mut outputs, x + 1));
        } else {
            byte_strings(&batch).for_each(|bytes| push_byte_string(&mut outputs, bytes));
        }
        write_frame(&mut to, &mut outputs)?;
        to.flush()?; // stdout is buffered by line
    }
    std::process::exit(0)
}
