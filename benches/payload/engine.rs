//! The library: its executor alone, and whole jobs.

use crate::PAYLOAD_BYTES;
use crate::lone::{Lone, chunk_of};
use crate::support::case::{Case, Failed, Figure};
use crate::support::store::{complete, store};
use cofferdam::{Codec, Context, Failure, Isolation, Job, Processor, StartContext};
use cofferdam_pipeline_core::{Chunk, WorkerEvent};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Bytes that the host has in memory before it begins, as the yardsticks do.
#[derive(Clone)]
pub struct Payload(Arc<Vec<u8>>);

impl Payload {
    fn new(first: u64) -> Self {
        let mut bytes = vec![7; PAYLOAD_BYTES];
        bytes[..8].copy_from_slice(&first.to_le_bytes());
        Self(Arc::new(bytes))
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(PayloadVisitor)
    }
}

/// Copies lent bytes; `ByteBuf` asks the codec for its own, which sets them to zero first.
struct PayloadVisitor;

impl Visitor<'_> for PayloadVisitor {
    type Value = Payload;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Payload, E> {
        Ok(Payload(Arc::new(bytes.to_vec())))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Payload, E> {
        Ok(Payload(Arc::new(bytes)))
    }
}

/// Sends back what it gets.
pub struct Echo;

impl Processor for Echo {
    const NAME: &'static str = "echo";
    const VERSION: u32 = 1;
    type Item = Payload;
    type Output = Payload;
    type Config = ();

    fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, payload: Payload, _: &Context<'_>) -> Result<Payload, Failure> {
        Ok(payload)
    }
}

/// One lease of one item after the other, through the executor and a worker, checksummed both ways; nothing is kept.
pub struct NoStore {
    worker: Lone,
    chunk: Arc<Chunk>,
    echoes: u64,
    /// The first answer was compared; to compare is not what is measured.
    is_checked: bool,
}

impl NoStore {
    pub fn start(echoes: u64) -> Result<Self, Failed> {
        let mut item = Vec::new();
        Codec::Bincode.encode(&Payload::new(0), &mut item)?;
        let chunk = Arc::new(chunk_of(&item)?);
        Ok(Self { worker: Lone::start::<Echo>()?, chunk, echoes, is_checked: false })
    }

    fn echo(&mut self) -> Result<(), Failed> {
        self.worker.assign(self.chunk.clone());
        match self.worker.wait()? {
            WorkerEvent::Replied(reply) if std::mem::replace(&mut self.is_checked, true) => {
                drop(reply);
                Ok(())
            }
            WorkerEvent::Replied(reply) if reply.outputs.as_entries() == self.chunk.slice(&(0..1)) => Ok(()),
            other => Err(format!("the worker answered {other:?}").into()),
        }
    }
}

impl Case for NoStore {
    fn name(&self) -> &'static str {
        "echo16m.cofferdam_no_store"
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let began = Instant::now();
        for _ in 0..self.echoes {
            self.echo()?;
        }
        let took = began.elapsed();
        Ok(vec![Figure::new(self.name(), took.as_secs_f64() * 1e6 / self.echoes as f64, "us/item")])
    }
}

/// A whole job: every output is durable. No two are equal, since those would be one file.
pub struct Power {
    payloads: Vec<Payload>,
}

impl Power {
    pub fn new(items: u64) -> Self {
        Self { payloads: (0..items).map(Payload::new).collect() }
    }
}

impl Case for Power {
    fn name(&self) -> &'static str {
        "echo16m.cofferdam_power"
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let (store, payloads) = (store()?, self.payloads.clone());
        let items = payloads.len() as u64;
        let source = move || payloads.clone();
        let began = Instant::now();
        let job = Job::<Echo>::new(store.path(), "echo", ())
            .workers(2)
            .isolation(Isolation::Process)
            .start(cofferdam::dense(source))?;
        complete(&job.wait()?, items)?;
        let took = began.elapsed();
        Ok(vec![Figure::new(self.name(), took.as_secs_f64() * 1e6 / items as f64, "us/item")])
    }
}
