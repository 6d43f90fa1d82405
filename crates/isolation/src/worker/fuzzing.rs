//! A hostile host's messages, all the way to the processor.

use super::child::{decode, find, settings, take};
use super::{Link, LinkLost, Registration, Session, SessionSettings};
use crate::protocol::{Assign, Completed, Message, Replies, Start, TakeFile, WantFile};
use crate::recorder::Recorder;
use cofferdam_ipc::handshake::Agreement;
use cofferdam_ipc::{Codec, FrameLimits, FrameReceiver, FrameSender, RecvError, Stream};
use cofferdam_pipeline_core::{
    BufferPool, Context, Failure, LeaseId, OpenItem, Processor, StartContext, entries,
};
use std::collections::BTreeMap;
use std::io::Write;

const LIMITS: FrameLimits = FrameLimits { message_max: 255, payload_max: 255 };
const DATA_LEN_MAX: usize = 8 << 10;

/// No message has this kind: the processor works off what lies on the desk.
const WORK: u8 = 0;

/// Gives back what it gets, unless that says otherwise.
struct Echo;

impl Processor for Echo {
    const NAME: &'static str = "echo";
    const VERSION: u32 = 1;
    type Item = serde_bytes::ByteBuf;
    type Output = serde_bytes::ByteBuf;
    type Config = ();

    fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, item: Self::Item, cx: &Context<'_>) -> Result<Self::Output, Failure> {
        match item.first() {
            Some(b'f') => Err(Failure::transient("asked for")),
            Some(b'w') => {
                let mut writer = cx.output_writer()?;
                writer.write_all(&item)?;
                writer.finish()?;
                Ok(item)
            }
            Some(b's') => cx.save_state(&item).map(|()| item).map_err(Failure::from),
            Some(b'r') => Ok(serde_bytes::ByteBuf::from(cx.saved_state().unwrap_or_default())),
            Some(_) | None => Ok(item),
        }
    }
}

/// What the worker says of each lease.
#[derive(Debug, Default)]
struct Said {
    results: BTreeMap<u32, Vec<u32>>,
}

impl Said {
    fn result(&mut self, lease: u32, offset: u32) {
        self.results.entry(lease).or_default().push(offset);
    }
}

impl Link for Said {
    fn ready(&mut self) -> Result<(), LinkLost> {
        Ok(())
    }

    fn replies(&mut self, batch: Replies, outputs: &[u8]) -> Result<(), LinkLost> {
        assert!(batch.count > 0 && outputs.len() <= LIMITS.payload_max as usize);
        let found: Vec<_> = entries(outputs).collect::<Result<_, _>>().expect("whole entries");
        assert_eq!(found.len(), batch.count as usize);
        (0..batch.count).for_each(|nth| self.result(batch.lease, batch.offset + nth));
        Ok(())
    }

    fn completed(&mut self, completed: Completed, output: &[u8]) -> Result<(), LinkLost> {
        assert!(entries(output).all(|entry| entry.is_ok()) && completed.files.len() <= 1);
        assert_eq!(entries(output).count(), usize::from(completed.output.is_none()));
        self.result(completed.lease, completed.offset);
        Ok(())
    }

    /// Some files there are, but they cannot be opened.
    fn want_file(&mut self, wanted: WantFile) -> Result<Option<TakeFile>, LinkLost> {
        let WantFile { lease, offset, number } = wanted;
        let path = if offset % 2 == 0 { b"/nowhere/1".to_vec() } else { Vec::new() };
        Ok(Some(TakeFile { lease, offset, number, path, refusal: "no room".into() }))
    }

    fn failed(&mut self, item: OpenItem, _: Failure) -> Result<(), LinkLost> {
        self.result(item.lease.0, item.offset);
        Ok(())
    }

    fn save_state(&mut self, _: LeaseId, _: u32, state: &[u8]) -> Result<(), LinkLost> {
        assert!(state.len() <= LIMITS.payload_max as usize);
        Ok(())
    }

    fn returned(&mut self, _: LeaseId, _: u32) -> Result<(), LinkLost> {
        Ok(())
    }

    fn start_failed(&mut self, _: Failure) -> Result<(), LinkLost> {
        Ok(())
    }

    fn stopped(&mut self) -> Result<(), LinkLost> {
        Ok(())
    }
}

/// Frames of a host, laid out as those of a worker, after a byte for the codec: the worker takes them or leaves, and answers every item of a lease
/// once and in order.
pub fn from_host(data: &[u8]) {
    let Some((&codec, frames)) = data.split_first() else { return };
    let codec = Codec::ALL[usize::from(codec & 1)];
    let (host, child) = Stream::pair().expect("there are descriptors");
    let mut sender = FrameSender::new(host.split().1, codec, LIMITS);
    crate::child::fuzzing::send_frames(&mut sender, &frames[..frames.len().min(DATA_LEN_MAX)]);
    let (reader, _writer) = child.into_stream().expect("descriptors").split();
    reader.control().shutdown_read().expect("the stream is open");
    serve(FrameReceiver::new(reader, codec, LIMITS), Agreement { protocol: 1, codec, limits: LIMITS });
}

fn serve(mut receiver: FrameReceiver, agreement: Agreement) {
    let buffers = BufferPool::new(1, 1 << 10);
    let mut payload = buffers.take();
    let Ok(first) = receiver.recv(&mut payload, None) else { return };
    let Ok(start) = decode::<Start>(&first) else { return };
    let found = find(&[Registration::of::<Echo>()], &start);
    assert_eq!(found.is_ok(), (start.processor.as_str(), start.version) == (Echo::NAME, Echo::VERSION));
    let settings = SessionSettings { scratch: None, ..settings(&start, &agreement) };
    let session = Session::new(settings, Recorder::in_memory(1), Said::default());
    let mut assigned = BTreeMap::new();
    loop {
        let mut payload = buffers.take();
        let received = match receiver.recv(&mut payload, None) {
            Ok(received) => received,
            Err(RecvError::Closed) => break,
            Err(error) => panic!("every frame was whole: {error}"),
        };
        if received.kind == WORK {
            // It leaves with a lease in hand that is not what it announced.
            if work_off(&session).is_err() {
                return session.with_link(|said| check(said, &assigned));
            }
            continue;
        }
        if let Ok(Assign { lease, count, .. }) = decode::<Assign>(&received) {
            assigned.entry(lease).or_insert_with(Vec::new).push(count);
        }
        if take(&session, &received, payload).is_err() {
            break;
        }
    }
    // The host is gone: what is in hand is still done.
    let _ = work_off(&session);
    session.with_link(|said| check(said, &assigned));
}

fn work_off(session: &Session<Said>) -> Result<(), LinkLost> {
    let mut output = Vec::new();
    loop {
        let lease = session.desk().take_lease();
        let Some(lease) = lease else { return Ok(()) };
        session.work_off(&mut Echo, &lease, &mut output)?;
    }
}

/// Results of a lease that was assigned once come in order, each once, and none beyond its items.
fn check(said: &Said, assigned: &BTreeMap<u32, Vec<u32>>) {
    for (lease, offsets) in &said.results {
        let counts = assigned.get(lease).expect("nobody answers for a lease that never was");
        if let [count] = counts[..] {
            assert!((0..count).zip(offsets).all(|(expected, offset)| expected == *offset), "{offsets:?}");
            assert!(offsets.len() <= count as usize);
        }
    }
}

const _: () = assert!(Assign::KIND != WORK);
