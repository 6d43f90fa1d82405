//! An asynchronous processor at work: many items at once on the processor's thread.

use super::lease::{next_entry, unreadable_item};
use super::placing::Placed;
use super::session::{ENTRY_LEN_MAX, PAUSE_POLL};
use super::telemetry::Telemetry;
use super::{ItemAt, Lease, Left, Link, LinkLost, Saved, Session, StagedFile};
use crate::protocol::WrittenFile;
use crate::recorder::SlotRecorder;
use crate::worker::desk::Claim;
use cofferdam_ipc::Codec;
use cofferdam_pipeline_core::{
    AsyncProcessor, Context, Failure, Interrupted, LeaseId, StartContext, entries,
};
use futures_util::future::{AbortHandle, Abortable, Aborted, FutureExt, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::de::DeserializeOwned;
use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::task::Poll;
use std::time::Duration;

/// How often a worker with open items looks whether one of them is to end.
const CANCEL_POLL: Duration = Duration::from_millis(20);

/// An item that a future has in hand.
#[derive(Clone, Debug)]
struct Open {
    slot: SlotRecorder,
    number: u32,
    lease: LeaseId,
    offset: u32,
}

/// How its future ended.
enum Ending {
    /// What came of it, or why nothing did.
    Done(Result<Encoded, Failure>),
    Panicked(Box<dyn Any + Send>),
    Dropped,
}

/// An item that was claimed.
struct Claimed<T> {
    lease: LeaseId,
    offset: u32,
    attempt: u32,
    item: Brought<T>,
    saved_state: Option<Vec<u8>>,
}

/// Where it is.
enum Brought<T> {
    Here(Result<T, Failure>),
    Staged(StagedFile),
}

/// An output.
struct Encoded {
    /// Behind room for its length.
    bytes: Vec<u8>,
    /// The file that it has become, if so.
    whole: Option<WrittenFile>,
}

/// The lease whose items are handed out.
struct InHand {
    lease: Lease,
    /// Bytes of its entries that were read.
    read: usize,
    offset: u32,
    saved_state: Option<Vec<u8>>,
}

/// The items under way, and the slots that are free.
struct Crew<'a, L, P> {
    session: &'a Session<L>,
    processor: &'a P,
    in_hand: Option<InHand>,
    free: Vec<u32>,
    open: Vec<(Open, AbortHandle)>,
    futures: FuturesUnordered<LocalBoxFuture<'a, (Open, Ending)>>,
}

impl<L: Link> Session<L> {
    /// The processor's thread, from beginning to end.
    pub(crate) fn run_concurrent<P: AsyncProcessor>(&self, config: &[u8]) -> Left {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return self.start_failed(Failure::fatal(format!("no runtime: {error}"))),
        };
        let start = || runtime.block_on(self.start_concurrent::<P>(config));
        self.live(start, |processor: &mut P| {
            runtime.block_on(async {
                self.work_concurrently(processor).await?;
                processor.stop().await;
                Ok(())
            })
        })
    }

    async fn start_concurrent<P: AsyncProcessor>(&self, config: &[u8]) -> Result<P, Failure> {
        let config = self.read_config(config, P::NAME)?;
        P::start(config, &StartContext::new(&self.slot, self.settings.slot)).await
    }

    /// Works off leases until the worker is asked to leave.
    async fn work_concurrently<P: AsyncProcessor>(&self, processor: &P) -> Result<(), LinkLost> {
        let mut crew = Crew {
            session: self,
            processor,
            in_hand: None,
            free: (0..self.settings.slots).rev().collect(),
            open: Vec::new(),
            futures: FuturesUnordered::new(),
        };
        loop {
            crew.begin_what_can_begin()?;
            if crew.open.is_empty() && self.desk().is_stopping() {
                return self.flush(&mut self.outgoing());
            }
            if let Some((open, ending)) = crew.wait().await {
                crew.end(&open, ending)?;
            }
            crew.drop_what_is_to_end();
        }
    }

    /// Wakes the crew: a lease came, or the worker is to leave.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker().take() {
            waker.wake();
        }
    }
}

impl<'a, L: Link, P: AsyncProcessor> Crew<'a, L, P> {
    fn begin_what_can_begin(&mut self) -> Result<(), LinkLost> {
        while let Some(number) = self.free.pop() {
            let Some(claimed) = self.next_item()? else {
                self.free.push(number);
                return Ok(());
            };
            let Claimed { lease, offset, .. } = claimed;
            let open = Open { slot: self.session.recorder().slot(number), number, lease, offset };
            open.slot.open(lease, offset);
            let future = Self::attempt(self.session, self.processor, open.clone(), claimed);
            let (abort, registration) = AbortHandle::new_pair();
            self.open.push((open.clone(), abort));
            self.futures.push(
                async move {
                    let ended = AssertUnwindSafe(Abortable::new(future, registration)).catch_unwind().await;
                    let ending = match ended {
                        Ok(Ok(done)) => Ending::Done(done),
                        Ok(Err(Aborted)) => Ending::Dropped,
                        Err(payload) => Ending::Panicked(payload),
                    };
                    (open, ending)
                }
                .boxed_local(),
            );
        }
        Ok(())
    }

    /// Claims an item, unless there is none, or none may be opened now.
    fn next_item(&mut self) -> Result<Option<Claimed<P::Item>>, LinkLost> {
        let mut desk = self.session.desk();
        if desk.is_stopping() || self.session.slot.is_held() {
            return Ok(None);
        }
        loop {
            let in_hand = match &mut self.in_hand {
                Some(in_hand) => in_hand,
                none => match desk.take_lease() {
                    Some(lease) => none.insert(InHand::new(lease)?),
                    None => return Ok(None),
                },
            };
            match desk.claim() {
                Claim::Stop => return Ok(None),
                Claim::LeaseDone => self.in_hand = None,
                Claim::Item => {
                    desk.opened();
                    let codec = self.session.settings.codec;
                    let item = match in_hand.next()? {
                        ItemAt::Here(bytes) => Brought::Here(
                            codec.decode_trusted(bytes).map_err(|error| unreadable_item(P::NAME, &error)),
                        ),
                        ItemAt::Staged(staged) => Brought::Staged(staged.clone()),
                    };
                    let InHand { lease, offset, saved_state, .. } = in_hand;
                    return Ok(Some(Claimed {
                        lease: lease.id,
                        offset: *offset - 1,
                        attempt: lease.attempt,
                        item,
                        saved_state: saved_state.take(),
                    }));
                }
            }
        }
    }

    async fn attempt(
        session: &'a Session<L>,
        processor: &'a P,
        open: Open,
        claimed: Claimed<P::Item>,
    ) -> Result<Encoded, Failure> {
        let Claimed { attempt, item, saved_state, .. } = claimed;
        let item = match item {
            Brought::Here(item) => item?,
            Brought::Staged(staged) => read_beside(staged, session.settings.codec, P::NAME).await?,
        };
        let telemetry = Telemetry { session, slot: &open.slot, lease: open.lease };
        let cx =
            Context::new(&telemetry, attempt, session.settings.slot).with_saved_state(saved_state.as_deref());
        let value = processor.process(item, &cx).await?;
        let mut output = Vec::new();
        let whole = session.place_output(&open.slot, &value, P::NAME, &mut output)?;
        Ok(Encoded { bytes: output, whole })
    }

    /// Waits until a future has ended, there is work for a free slot, the worker is to leave, or it is time to look around.
    async fn wait(&mut self) -> Option<(Open, Ending)> {
        let session = self.session;
        let is_held = session.slot.is_held();
        let period = if is_held { PAUSE_POLL } else { CANCEL_POLL };
        let mut look = (is_held || !self.open.is_empty()).then(|| Box::pin(tokio::time::sleep(period)));
        poll_fn(|cx| {
            if let Poll::Ready(Some(ended)) = self.futures.poll_next_unpin(cx) {
                return Poll::Ready(Some(ended));
            }
            // Before the desk is looked at: what comes after that look wakes this.
            *session.waker() = Some(cx.waker().clone());
            let has_work = !self.free.is_empty() && !is_held && session.desk().has_waiting();
            let is_to_leave = self.open.is_empty() && session.desk().is_stopping();
            let is_time = look.as_mut().is_some_and(|look| look.as_mut().poll(cx).is_ready());
            if has_work || is_to_leave || is_time { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    /// Cancelled items, and all when the worker is to stop at once, go no further.
    fn drop_what_is_to_end(&self) {
        for (open, abort) in &self.open {
            if open.slot.is_to_end() {
                abort.abort();
            }
        }
    }

    fn end(&mut self, open: &Open, ending: Ending) -> Result<(), LinkLost> {
        self.open.retain(|(other, _)| other.number != open.number);
        let session = self.session;
        let saved = session.saving.take(open.lease, open.offset);
        session.scratch.remove(open.lease, open.offset);
        let files = session.files.end(open.lease, open.offset);
        let settled = match ending {
            Ending::Panicked(payload) => {
                // The others are not to blame: only this item stays open for the host to find.
                self.open.iter().for_each(|(other, _)| other.slot.close());
                resume_unwind(payload)
            }
            Ending::Done(Ok(Encoded { mut bytes, whole })) => {
                session.settle_any(open, Placed { output: &mut bytes, whole, files })
            }
            Ending::Done(Err(failure)) => session.send_failed(open.slot.close_failed(), failure, saved),
            Ending::Dropped => {
                session.send_failed(open.slot.close_failed(), Failure::from(Interrupted), saved)
            }
        };
        session.desk().closed();
        self.free.push(open.number);
        settled
    }
}

impl<L: Link> Session<L> {
    /// An output in whatever order.
    fn settle_any(&self, open: &Open, placed: Placed<'_>) -> Result<(), LinkLost> {
        open.slot.close();
        let mut outgoing = self.outgoing();
        let is_small = placed.output.len() < self.batch_bytes;
        if !is_small || placed.whole.is_some() || !placed.files.is_empty() {
            return self.send_large(&mut outgoing, (open.lease, open.number, open.offset), placed);
        }
        let output = placed.output;
        if !self.desk().follows(open.lease, open.offset) {
            self.flush(&mut outgoing)?;
        }
        let len = self.desk().push(open.lease, open.offset, &output[ENTRY_LEN_MAX..]);
        if len >= self.batch_bytes { self.flush(&mut outgoing) } else { Ok(()) }
    }
}

impl InHand {
    fn new(lease: Lease) -> Result<Self, LinkLost> {
        let (mut read, mut saved_state) = (0, None);
        match &lease.saved_state {
            Saved::Nothing => {}
            Saved::Received => {
                let bytes = next_entry(&mut entries(lease.bytes()))?;
                read = end_of(lease.bytes(), bytes);
                saved_state = Some(bytes.to_vec());
            }
            Saved::Shared(state) => saved_state = Some(state.to_vec()),
        }
        Ok(Self { lease, read, offset: 0, saved_state })
    }

    /// The next item.
    fn next(&mut self) -> Result<ItemAt<'_>, LinkLost> {
        if let Some(staged) = &self.lease.staged {
            self.offset += 1;
            return Ok(ItemAt::Staged(staged));
        }
        let rest = &self.lease.bytes()[self.read..];
        let item = next_entry(&mut entries(rest))?;
        self.read += end_of(rest, item);
        self.offset += 1;
        Ok(ItemAt::Here(item))
    }
}

/// Reads an item from its file on a thread of its own: the other items go on.
async fn read_beside<T>(staged: StagedFile, codec: Codec, name: &'static str) -> Result<T, Failure>
where
    T: DeserializeOwned + Send + 'static,
{
    match tokio::task::spawn_blocking(move || staged.read(codec, name)).await {
        Ok(read) => read,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime shuts down: nobody waits for this.
            Err(_) => Err(Failure::from(Interrupted)),
        },
    }
}

/// Where `part`, which lies in `whole`, ends in it.
fn end_of(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr() + part.len() - whole.as_ptr().addr()
}
