//! What the worker's core costs: per trivial item with the in-memory link, and per word of telemetry.
//!
//! `cargo bench -p cofferdam-isolation --bench worker_core` prints medians in nanoseconds of processor time of the
//! threads concerned (of wall time where the system does not tell), so that a busy machine does not show.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use cofferdam_ipc::Codec;
use cofferdam_isolation::{ThreadExecutor, ThreadSettings};
use cofferdam_pipeline_core::{
    Assignment, Chunk, ChunkBuilder, Context, Executor, Failure, Identities, ItemIndex, LeaseId, Processor,
    SlotNumber, StartContext, WorkerEvent, WorkerId, entries, push_entry_len,
};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
/// About what a lease holds of trivial items.
const LEASE_ITEMS: u32 = 8_000;
const LEASES: u32 = 1_000;
const CALLS: u64 = 20_000_000;
const WORKER: WorkerId = WorkerId(0);
const CODEC: Codec = Codec::Bincode;

/// When the first lease began.
struct Increment(Option<u64>);

/// What the processor's thread had spent when the latest lease began.
static SPENT: AtomicU64 = AtomicU64::new(0);

/// Processor time of this thread.
fn cpu_nanos() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let spent = stat.and_then(|stat| stat.split(' ').next()?.parse().ok());
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    spent.unwrap_or_else(|| BEGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64)
}

impl Processor for Increment {
    const NAME: &'static str = "increment";
    const VERSION: u32 = 1;
    type Item = u64;
    type Output = u64;
    type Config = ();
    fn start((): (), _cx: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self(None))
    }
    fn process(&mut self, item: u64, _cx: &Context<'_>) -> Result<u64, Failure> {
        if item == 0 {
            // Once a lease.
            self.0.get_or_insert_with(cpu_nanos);
            SPENT.store(cpu_nanos() - self.0.unwrap_or(0), Ordering::Relaxed);
        }
        Ok(black_box(item) + 1)
    }
}

/// An item is what to measure; the output is nanoseconds for all calls.
struct Telemetry;

impl Processor for Telemetry {
    const NAME: &'static str = "telemetry";
    const VERSION: u32 = 1;
    type Item = (u8, usize);
    type Output = u64;
    type Config = ();
    fn start((): (), _cx: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }
    fn process(&mut self, (what, threads): (u8, usize), cx: &Context<'_>) -> Result<u64, Failure> {
        let call = || {
            match what {
                0 => (0..CALLS).for_each(|n| cx.progress(n, CALLS)),
                1 => (0..CALLS).for_each(|_| cx.stage("decode")),
                2 => (0..CALLS).for_each(|_| cx.breadcrumb("a breadcrumb of forty characters or so")),
                _ => (0..CALLS).for_each(|_| cx.check().unwrap()),
            }
            cpu_nanos()
        };
        let spent: u64 = std::thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|_| scope.spawn(call)).collect();
            all.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        Ok(spent / threads as u64)
    }
}

fn worker<P: Processor<Config = ()>>() -> (ThreadExecutor, Receiver<WorkerEvent>) {
    let settings = ThreadSettings {
        codec: CODEC,
        config: Vec::new(),
        slots: 1,
        stack_bytes: 8 << 20,
        main_thread: false,
        start_wall_max: Duration::from_secs(60),
        frame_payload_max: 64 << 20,
        allow_panic_abort: false,
        workspace: None,
    };
    let (said, events) = channel();
    let sink = Arc::new(move |_, event| drop(said.send(event)));
    let mut executor = ThreadExecutor::new::<P>(settings, sink).unwrap();
    executor.spawn(WORKER, SlotNumber(0));
    assert!(matches!(events.recv().unwrap(), WorkerEvent::Ready));
    (executor, events)
}

fn chunk<T: serde::Serialize>(items: impl Iterator<Item = T>) -> Arc<Chunk> {
    let mut builder = ChunkBuilder::default();
    items.for_each(|item| builder.push(|out| CODEC.encode(&item, out)).unwrap());
    Arc::new(builder.finish(ItemIndex(0), Identities::default()).unwrap())
}

/// Two leases under way, as the supervisor does it.
fn through_the_core(chunk: &Arc<Chunk>) -> f64 {
    let (mut executor, events) = worker::<Increment>();
    let mut assign = |lease| {
        let range = 0..chunk.len();
        executor.assign(
            WORKER,
            Assignment { lease: LeaseId(lease), attempt: 1, chunk: chunk.clone(), range, saved_state: None },
        );
    };
    (1..=2).for_each(&mut assign);
    let (mut assigned, mut replied) = (2, 0);
    while replied < u64::from(LEASES) * u64::from(LEASE_ITEMS) {
        let WorkerEvent::Replied(batch) = events.recv().unwrap() else { panic!("only replies") };
        replied += u64::from(batch.count);
        if batch.offset + batch.count == LEASE_ITEMS && assigned < LEASES {
            assigned += 1;
            assign(assigned);
        }
    }
    SPENT.load(Ordering::Relaxed) as f64 / (u64::from(LEASES - 1) * u64::from(LEASE_ITEMS)) as f64
}

/// The same decoding, processing and encoding in a bare loop.
fn bare(chunk: &Chunk) -> f64 {
    let begin = cpu_nanos();
    let mut processor = Increment(None);
    let mut replies = Vec::new();
    let instrument = Quiet;
    let cx = Context::new(&instrument, 1, SlotNumber(0));
    for _ in 0..LEASES {
        replies.clear();
        let mut output = Vec::new();
        for item in entries(chunk.slice(&(0..chunk.len()))) {
            let item = CODEC.decode(item.unwrap()).unwrap();
            output.clear();
            CODEC.encode(&processor.process(item, &cx).unwrap(), &mut output).unwrap();
            push_entry_len(&mut replies, output.len());
            replies.extend_from_slice(&output);
        }
        black_box(&replies);
    }
    (cpu_nanos() - begin) as f64 / (u64::from(LEASES) * u64::from(LEASE_ITEMS)) as f64
}

struct Quiet;

impl cofferdam_pipeline_core::Instrument for Quiet {
    fn progress(&self, _done: u64, _total: u64) {}
    fn stage(&self, _name: &str) {}
    fn message(&self, _text: &str) {}
    fn breadcrumb(&self, _text: &str) {}
    fn check(&self) -> Result<(), cofferdam_pipeline_core::Interrupted> {
        Ok(())
    }
}

fn telemetry(what: u8, threads: usize) -> f64 {
    let (mut executor, events) = worker::<Telemetry>();
    let chunk = chunk(std::iter::once((what, threads)));
    executor
        .assign(WORKER, Assignment { lease: LeaseId(1), attempt: 1, chunk, range: 0..1, saved_state: None });
    let WorkerEvent::Replied(batch) = events.recv().unwrap() else { panic!("a reply") };
    let nanos: u64 = CODEC.decode(entries(batch.outputs.as_entries()).next().unwrap().unwrap()).unwrap();
    nanos as f64 / CALLS as f64
}

fn median(mut measure: impl FnMut() -> f64) -> f64 {
    let mut all: Vec<_> = (0..ROUNDS).map(|_| measure()).collect();
    all.sort_by(f64::total_cmp);
    all[ROUNDS / 2]
}

fn main() {
    let chunk = chunk(0..u64::from(LEASE_ITEMS));
    println!("trivial item, bare loop:      {:6.1} ns", median(|| bare(&chunk)));
    println!("trivial item, worker's core:  {:6.1} ns", median(|| through_the_core(&chunk)));
    for (what, name) in [(0, "progress"), (1, "stage"), (2, "breadcrumb"), (3, "check")] {
        for threads in [1, 4] {
            println!(
                "{name:10} x {threads} threads: {:6.1} ns a call of each",
                median(|| telemetry(what, threads))
            );
        }
    }
}
