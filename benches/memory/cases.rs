//! Jobs whose host might be tempted to keep something for each item.

use crate::slow_disk;
use crate::support::case::Failed;
use crate::support::store::{complete, store};
use cofferdam::{Context, Failure, Isolation, Job, Processor, StartContext, StoreOptions};
use serde_bytes::ByteBuf;

/// One job.
pub struct MemoryCase {
    pub name: &'static str,
    pub items: u64,
    /// MiB.
    pub gate: f64,
    pub run: fn(u64) -> Result<(), Failed>,
}

/// All of them.
pub const ALL: &[MemoryCase] = &[
    MemoryCase { name: "peak.dense_1m", items: 1_000_000, gate: 16.0, run: dense },
    MemoryCase { name: "peak.dense_10m", items: 10_000_000, gate: 24.0, run: dense },
    MemoryCase { name: "peak.keyed_1m", items: 1_000_000, gate: 64.0, run: keyed },
    MemoryCase { name: "peak.outputs_2000x1m", items: 2_000, gate: 32.0, run: large_outputs },
    MemoryCase { name: "peak.slow_disk_2m_200b", items: 2_000_000, gate: 24.0, run: outputs_to_a_slow_disk },
];

macro_rules! processor {
    ($(#[$doc:meta])* $type:ident, $name:literal, $output:ty, $process:expr) => {
        $(#[$doc])*
        pub struct $type;

        impl Processor for $type {
            const NAME: &'static str = $name;
            const VERSION: u32 = 1;
            type Item = u64;
            type Output = $output;
            type Config = ();

            fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
                Ok(Self)
            }

            fn process(&mut self, item: u64, _: &Context<'_>) -> Result<$output, Failure> {
                Ok($process(item))
            }
        }
    };
}

processor!(
    /// The least that a processor can do.
    AddOne, "add-one", u64, |item| item + 1
);
processor!(
    /// An output of 1 MiB.
    Megabyte, "megabyte", ByteBuf, |item| ByteBuf::from(vec![item as u8; 1 << 20])
);
processor!(
    /// An output of 200 bytes.
    Bytes200, "bytes-200", ByteBuf, |item| ByteBuf::from(vec![item as u8; 200])
);

fn dense(items: u64) -> Result<(), Failed> {
    let store = store()?;
    let job = job::<AddOne>(&store).start(cofferdam::dense(move || 0..items))?;
    complete(&job.wait()?, items)
}

fn keyed(items: u64) -> Result<(), Failed> {
    let store = store()?;
    let source = move || (0..items).map(|i| (format!("item-{i:09}"), i));
    complete(&job::<AddOne>(&store).start(cofferdam::keyed(source))?.wait()?, items)
}

fn large_outputs(items: u64) -> Result<(), Failed> {
    let store = store()?;
    let job = job::<Megabyte>(&store).start(cofferdam::dense(move || 0..items))?;
    complete(&job.wait()?, items)
}

fn outputs_to_a_slow_disk(items: u64) -> Result<(), Failed> {
    let store = store()?;
    let options = StoreOptions { disk: slow_disk::slow_disk(), ..StoreOptions::default() };
    let job = job::<Bytes200>(&store).store_options(options).start(cofferdam::dense(move || 0..items))?;
    complete(&job.wait()?, items)
}

fn job<P: Processor<Config = ()>>(store: &tempfile::TempDir) -> Job<P> {
    Job::new(store.path(), "memory", ()).workers(2).isolation(Isolation::Process)
}
