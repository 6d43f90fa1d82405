//! A processor at work, whoever its host is.

use super::desk::{Claim, Desk, TooManyLeases};
use super::files::Files;
use super::lease::next_entry;
use super::placing::Placed;
use super::saving::Saving;
use super::scratch::Scratch;
use super::telemetry::Telemetry;
use super::{ItemAt, Lease, Link, LinkLost, Saved};
use crate::protocol::WrittenFile;
use crate::recorder::{Phase, Recorder, SlotRecorder};
use cofferdam_ipc::Codec;
use cofferdam_pipeline_core::{
    Context, Failure, LeaseId, OpenItem, Processor, SlotNumber, StartContext, entries,
};
use serde::de::DeserializeOwned;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

/// How often the processor's thread looks whether a pause is over.
pub(super) const PAUSE_POLL: Duration = Duration::from_millis(10);

/// Bytes of finished replies that leave together at most, but for one more output.
const BATCH_BYTES_MAX: usize = 32 * 1024;

/// The only concurrency slot of a plain processor.
const SLOT: u32 = 0;

/// The longest varint before an entry.
pub(super) const ENTRY_LEN_MAX: usize = 5;

/// What a session needs to know.
#[derive(Clone, Debug)]
pub(crate) struct SessionSettings {
    /// The worker's place.
    pub(crate) slot: SlotNumber,
    /// Items that may be inside `process` at a time, where the processor is one of many at once.
    pub(crate) slots: u32,
    /// How items, outputs and the config are encoded.
    pub(crate) codec: Codec,
    /// The longest payload of one reply.
    pub(crate) payload_max: usize,
    /// A finished reply leaves within this time.
    pub(crate) reply_flush: Duration,
    /// How often an idle worker shows that it lives.
    pub(crate) heartbeat: Duration,
    /// Where attempts may have directories.
    pub(crate) scratch: Option<PathBuf>,
    /// Encoded outputs of more bytes become files of the host's; 0 when there are none.
    pub(crate) files_above: u64,
}

/// See the module of workers: three threads around a desk.
#[derive(Debug)]
pub(crate) struct Session<L> {
    pub(super) settings: SessionSettings,
    /// Finished replies leave when they are this long; so is an output that leaves at once, alone.
    pub(super) batch_bytes: usize,
    recorder: Arc<Recorder>,
    pub(super) slot: SlotRecorder,
    desk: Mutex<Desk>,
    /// Wakes the processor's thread: a lease came, or the worker is to leave.
    work: Condvar,
    /// Wakes the ticker: there is something to do.
    busy: Condvar,
    /// Wakes a processor of many items at once.
    waker: Mutex<Option<Waker>>,
    pub(super) saving: Saving,
    pub(crate) scratch: Scratch,
    pub(crate) files: Files,
    /// Locked before the desk and while something is sent, so that replies leave in order.
    outgoing: Mutex<Outgoing<L>>,
}

#[derive(Debug)]
pub(super) struct Outgoing<L> {
    pub(super) link: L,
    /// Swapped with the desk's; empty between sends.
    bytes: Vec<u8>,
    /// The last message was sent.
    pub(super) has_ended: bool,
}

/// How the processor's thread came to its end.
#[derive(Debug)]
pub(crate) enum Left {
    /// As asked; everything was sent.
    Stopped,
    /// `start` returned this; the host was told.
    StartFailed(Failure),
    /// A panic; what was finished has been sent.
    Panicked {
        /// The panic's value.
        payload: Box<dyn Any + Send>,
        /// What is left of the processor. To drop it may do anything.
        wreck: Option<Box<dyn Any>>,
        /// It happened in `start`.
        in_start: bool,
    },
    /// Nobody listens, or the host broke the protocol.
    HostLost,
}

impl<L: Link> Session<L> {
    pub(crate) fn new(mut settings: SessionSettings, recorder: Arc<Recorder>, link: L) -> Arc<Self> {
        // A batch just below the limit and one more output just below it still fit a frame.
        let batch_bytes = (settings.payload_max / 2).saturating_sub(2 * ENTRY_LEN_MAX).min(BATCH_BYTES_MAX);
        let scratch = Scratch::new(settings.scratch.take());
        Arc::new(Self {
            settings,
            batch_bytes,
            slot: recorder.slot(SLOT),
            recorder,
            desk: Mutex::default(),
            work: Condvar::new(),
            busy: Condvar::new(),
            waker: Mutex::new(None),
            saving: Saving::default(),
            scratch,
            files: Files::default(),
            outgoing: Mutex::new(Outgoing { link, bytes: Vec::new(), has_ended: false }),
        })
    }

    /// The I/O thread: a lease came. Whether the worker was busy before.
    pub(crate) fn assign(&self, lease: Lease) -> Result<bool, TooManyLeases> {
        let mut desk = self.desk();
        let was_busy = desk.is_busy();
        desk.put(lease)?;
        drop(desk);
        self.work.notify_one();
        self.wake();
        if !was_busy {
            self.busy.notify_one();
        }
        Ok(was_busy)
    }

    /// The I/O thread: the host wants unstarted items back.
    pub(crate) fn take_back(&self, lease: LeaseId) -> Result<(), LinkLost> {
        let from = self.desk().take_back(lease).unwrap_or(u32::MAX);
        let mut outgoing = self.outgoing();
        if outgoing.has_ended { Ok(()) } else { outgoing.link.returned(lease, from) }
    }

    /// The I/O thread: the worker is to leave after the open item.
    pub(crate) fn stop(&self) {
        self.recorder.set_phase(Phase::Stopping);
        self.desk().stop();
        self.work.notify_one();
        self.wake();
    }

    /// The ticker: waits until the next tick is due.
    pub(crate) fn wait_for_tick(&self) {
        let desk = self.desk();
        let period = self.period(&desk);
        drop(self.busy.wait_timeout(desk, period).unwrap_or_else(PoisonError::into_inner));
    }

    /// The ticker, when it has a way of its own to wait: how long.
    pub(crate) fn tick_period(&self) -> Duration {
        self.period(&self.desk())
    }

    fn period(&self, desk: &Desk) -> Duration {
        if desk.is_busy() { self.settings.reply_flush } else { self.settings.heartbeat }
    }

    /// The ticker: sends what is finished, unless somebody sends just now.
    pub(crate) fn tick(&self) -> Result<(), LinkLost> {
        self.recorder.beat();
        match self.outgoing.try_lock() {
            Ok(mut outgoing) => {
                self.flush(&mut outgoing)?;
                self.send_states(&mut outgoing)
            }
            Err(_) => Ok(()),
        }
    }

    /// What open items saved, behind the results of those that ended before.
    fn send_states(&self, outgoing: &mut Outgoing<L>) -> Result<(), LinkLost> {
        self.saving
            .take_due()
            .into_iter()
            .try_for_each(|saved| outgoing.link.save_state(saved.lease, saved.offset, &saved.bytes))
    }

    /// Sends what is finished, after whatever is being sent.
    pub(crate) fn flush_finished(&self) -> Result<(), LinkLost> {
        self.flush(&mut self.outgoing())
    }

    /// Whoever has the link to himself: says something that no method of the session says.
    pub(crate) fn with_link<R>(&self, act: impl FnOnce(&mut L) -> R) -> R {
        act(&mut self.outgoing().link)
    }

    /// Whether the last message was sent.
    pub(crate) fn has_ended(&self) -> bool {
        self.outgoing().has_ended
    }

    /// What the recorder says.
    pub(crate) fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// The processor's thread, from beginning to end.
    pub(crate) fn run<P: Processor>(&self, config: &[u8]) -> Left {
        self.live(
            || {
                P::start(
                    self.read_config(config, P::NAME)?,
                    &StartContext::new(&self.slot, self.settings.slot),
                )
            },
            |processor: &mut P| {
                self.work(processor)?;
                processor.stop();
                Ok(())
            },
        )
    }

    /// A processor's life: it starts, works until it is asked to leave, and says so.
    pub(super) fn live<P: 'static>(
        &self,
        start: impl FnOnce() -> Result<P, Failure>,
        work: impl FnOnce(&mut P) -> Result<(), LinkLost>,
    ) -> Left {
        self.recorder.set_phase(Phase::Starting);
        let mut processor = match catch_unwind(AssertUnwindSafe(start)) {
            Ok(Ok(processor)) => processor,
            Ok(Err(failure)) => return self.start_failed(failure),
            Err(payload) => return self.panicked(payload, None, true),
        };
        let worked = catch_unwind(AssertUnwindSafe(|| {
            self.recorder.set_phase(Phase::Ready);
            self.recorder.beat(); // whoever is stopped from now on has had a heartbeat
            self.outgoing().link.ready()?;
            work(&mut processor)
        }));
        match worked {
            Ok(Ok(())) => {}
            Ok(Err(lost)) => return self.host_lost(&lost),
            Err(payload) => return self.panicked(payload, Some(Box::new(processor)), false),
        }
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(processor))) {
            return self.panicked(payload, None, false);
        }
        match self.say_last(Link::stopped) {
            Ok(()) => Left::Stopped,
            Err(lost) => self.host_lost(&lost),
        }
    }

    pub(super) fn read_config<C: DeserializeOwned>(&self, config: &[u8], name: &str) -> Result<C, Failure> {
        self.settings
            .codec
            .decode(config)
            .map_err(|error| Failure::fatal(format!("the worker cannot read the config of {name}: {error}")))
    }

    pub(super) fn start_failed(&self, failure: Failure) -> Left {
        match self.say_last(|link| link.start_failed(failure.clone())) {
            Ok(()) => Left::StartFailed(failure),
            Err(lost) => self.host_lost(&lost),
        }
    }

    fn say_last(&self, say: impl FnOnce(&mut L) -> Result<(), LinkLost>) -> Result<(), LinkLost> {
        let mut outgoing = self.outgoing();
        outgoing.has_ended = true;
        say(&mut outgoing.link)
    }

    fn panicked(&self, payload: Box<dyn Any + Send>, wreck: Option<Box<dyn Any>>, in_start: bool) -> Left {
        self.recorder.set_phase(Phase::Panicked);
        match self.flush(&mut self.outgoing()) {
            Ok(()) => Left::Panicked { payload, wreck, in_start },
            Err(lost) => self.host_lost(&lost),
        }
    }

    fn host_lost(&self, lost: &LinkLost) -> Left {
        tracing::debug!(%lost, "a worker leaves");
        Left::HostLost
    }

    /// Works off leases until the worker is asked to leave.
    fn work<P: Processor>(&self, processor: &mut P) -> Result<(), LinkLost> {
        let mut output = Vec::new();
        while let Some(lease) = self.next_lease() {
            self.work_off(processor, &lease, &mut output)?;
        }
        Ok(())
    }

    fn next_lease(&self) -> Option<Lease> {
        let mut desk = self.desk();
        loop {
            if desk.is_stopping() {
                return None;
            }
            if let Some(lease) = desk.take_lease() {
                return Some(lease);
            }
            desk = self.work.wait(desk).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// One lease. For each item: one uncontended lock, a few stores, no system call, no clock.
    pub(super) fn work_off<P: Processor>(
        &self,
        processor: &mut P,
        lease: &Lease,
        output: &mut Vec<u8>,
    ) -> Result<(), LinkLost> {
        let mut items = entries(lease.bytes());
        let saved_state = match &lease.saved_state {
            Saved::Nothing => None,
            Saved::Received => Some(next_entry(&mut items)?),
            Saved::Shared(state) => Some(&**state),
        };
        let instrument = Telemetry { session: self, slot: &self.slot, lease: lease.id };
        let cx = Context::new(&instrument, lease.attempt, self.settings.slot).with_saved_state(saved_state);
        let mut offset = 0;
        let mut claim = self.claim();
        while claim == Claim::Item {
            let item = lease.next_item(&mut items)?;
            self.slot.open(lease.id, offset);
            let result = self.attempt(processor, item, &cx, output);
            // What a finished item saved is of no use any more; what a failed one saved goes before its failure.
            let saved = self.saving.take(lease.id, offset);
            self.scratch.remove(lease.id, offset);
            let files = self.files.end(lease.id, offset);
            claim = match result {
                Ok(None) if files.is_empty() && output.len() < self.batch_bytes => {
                    self.settle(lease.id, offset, &output[ENTRY_LEN_MAX..])?
                }
                Ok(whole) => self.settle_large(lease.id, offset, Placed { output, whole, files })?,
                Err(failure) => self.settle_failed(failure, saved)?,
            };
            offset += 1;
        }
        self.slot.close();
        self.flush(&mut self.outgoing())
    }

    /// Runs the processor on one item and leaves the encoded output in `output`, behind room for its length: a large one
    /// is not moved any more. Where it has become a file, says which.
    fn attempt<P: Processor>(
        &self,
        processor: &mut P,
        item: ItemAt<'_>,
        cx: &Context<'_>,
        output: &mut Vec<u8>,
    ) -> Result<Option<WrittenFile>, Failure> {
        let value = processor.process(item.read(self.settings.codec, P::NAME)?, cx)?;
        self.place_output(&self.slot, &value, P::NAME, output)
    }

    #[inline]
    fn settle(&self, lease: LeaseId, offset: u32, output: &[u8]) -> Result<Claim, LinkLost> {
        let mut desk = self.desk();
        let is_full = desk.push(lease, offset, output) >= self.batch_bytes;
        let claim = self.claim_at(desk);
        if is_full {
            self.slot.close();
            self.flush(&mut self.outgoing())?;
        }
        Ok(claim)
    }

    fn settle_large(&self, lease: LeaseId, offset: u32, placed: Placed<'_>) -> Result<Claim, LinkLost> {
        self.slot.close();
        self.send_large(&mut self.outgoing(), (lease, SLOT, offset), placed)?;
        Ok(self.claim())
    }

    fn settle_failed(
        &self,
        failure: Failure,
        saved: Option<super::saving::Saved>,
    ) -> Result<Claim, LinkLost> {
        self.send_failed(self.slot.close_failed(), failure, saved)?;
        Ok(self.claim())
    }

    /// A failure, behind the results that came before it and what its item saved.
    pub(super) fn send_failed(
        &self,
        item: OpenItem,
        failure: Failure,
        saved: Option<super::saving::Saved>,
    ) -> Result<(), LinkLost> {
        let mut outgoing = self.outgoing();
        self.flush(&mut outgoing)?;
        if let Some(saved) = saved {
            outgoing.link.save_state(item.lease, item.offset, &saved.bytes)?;
        }
        outgoing.link.failed(item, failure)
    }

    fn claim(&self) -> Claim {
        self.claim_at(self.desk())
    }

    /// Claims the next item, after the end of a pause if there is one: no item is opened while the job is paused.
    fn claim_at(&self, mut desk: MutexGuard<'_, Desk>) -> Claim {
        while self.slot.is_held() && !desk.is_stopping() {
            self.slot.close();
            desk = self.work.wait_timeout(desk, PAUSE_POLL).unwrap_or_else(PoisonError::into_inner).0;
        }
        desk.claim()
    }

    pub(super) fn flush(&self, outgoing: &mut Outgoing<L>) -> Result<(), LinkLost> {
        let Some(batch) = self.desk().take_pending(SLOT, &mut outgoing.bytes) else { return Ok(()) };
        let sent = outgoing.link.replies(batch, &outgoing.bytes);
        outgoing.bytes.clear();
        sent
    }

    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn outgoing(&self) -> MutexGuard<'_, Outgoing<L>> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what an open item saves, and sends it if it may.
    pub(super) fn save(&self, lease: LeaseId, offset: u32, state: &[u8]) {
        if self.saving.keep(lease, offset, state) {
            let mut outgoing = self.outgoing();
            let sent = self.flush(&mut outgoing).and_then(|()| self.send_states(&mut outgoing));
            if let Err(lost) = sent {
                tracing::debug!(%lost, "a state was not sent"); // the next message finds out, too
            }
        }
    }
}
