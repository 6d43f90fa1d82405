//! A running job in the hands of its host.

use crate::feeder::Feed;
use crate::inbox::Inbox;
use crate::outcomes::Outcomes;
use crate::plan::ResumePlan;
use crate::shared::Shared;
use crate::{AddError, Events, JobError, Report, Snapshot};
use cofferdam_checkpoint::JobStore;
use cofferdam_ipc::{Codec, CodecError};
use cofferdam_pipeline_core::supervisor::Control;
use cofferdam_pipeline_core::{Key, Keying, Work};
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// Added items without an outcome, in bytes: they are held in memory and in the store.
const ADDED_BYTES_MAX: usize = 32 << 20;

/// A running job. Dropping it without waiting cancels the job; what is done stays done.
pub struct JobHandle<P: Work> {
    pub(crate) control: JobControl,
    pub(crate) job: Arc<JobStore>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) codec: Codec,
    pub(crate) plan: ResumePlan,
    /// Listens since before the first worker was spawned.
    pub(crate) first_events: Mutex<Option<Events>>,
    pub(crate) processor: PhantomData<fn() -> P>,
}

impl<P: Work> JobHandle<P> {
    /// What the start found in the store and in the source.
    #[must_use]
    pub fn plan(&self) -> &ResumePlan {
        &self.plan
    }

    /// All outcomes of the job in order of their lsn, those of earlier runs first; follows until the job is over.
    #[must_use]
    pub fn outcomes(&self) -> Outcomes<P::Output> {
        Outcomes::follow(self.job.clone(), self.codec, self.control.shared.clone())
    }

    /// Events: the first caller gets them from the beginning of this run, all others from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        let first = self.first_events.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| self.control.shared.publisher.subscribe())
    }

    /// The job as of a moment ago.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.control.shared.snapshot()
    }

    /// A handle for signal handlers and other threads.
    #[must_use]
    pub fn control(&self) -> JobControl {
        self.control.clone()
    }

    /// [`JobControl::pause`]
    pub fn pause(&self) {
        self.control.pause();
    }

    /// [`JobControl::resume`]
    pub fn resume(&self) {
        self.control.resume();
    }

    /// [`JobControl::drain`]
    pub fn drain(&self) {
        self.control.drain();
    }

    /// [`JobControl::cancel`]
    pub fn cancel(&self) {
        self.control.cancel();
    }

    /// [`JobControl::cancel_item`]
    pub fn cancel_item(&self, key: Key) {
        self.control.cancel_item(key);
    }

    /// Adds an item to the running job, from any thread; it is the next to be handed out. It is kept whole in the store until it has an
    /// outcome, so that a later run finds it although no source has it: at once across a crash of this process, across a power
    /// cut from the next commit on. Such items may have 32 MiB in all until they have an outcome, in memory and in the store. If the job is about to end, it stays pending for the next run.
    ///
    /// An item of the same key that the source delivers later is tried too, but the first outcome counts.
    ///
    /// # Errors
    /// [`AddError`]; then the item was not added.
    pub fn add(&self, key: impl AsRef<[u8]>, item: &P::Item) -> Result<(), AddError> {
        if self.job.spec().keying == Keying::Dense {
            return Err(AddError::Dense);
        }
        if self.control.shared.has_ended() {
            return Err(AddError::Ended);
        }
        let (key, mut content) = (key.as_ref(), Vec::new());
        self.codec.encode_within(item, &mut content, ADDED_BYTES_MAX).map_err(|error| match error {
            CodecError::TooLong { max, .. } => AddError::TooLarge { max },
            other => AddError::Codec(other.to_string()),
        })?;
        let bytes = self.job.added_bytes().saturating_add(key.len()).saturating_add(content.len());
        if bytes > ADDED_BYTES_MAX {
            return Err(AddError::Full { bytes, max: ADDED_BYTES_MAX });
        }
        if !self.job.add_item(key, &content)? {
            return Err(AddError::Exists);
        }
        self.feed.add(key, &content);
        Ok(())
    }

    /// Blocks until the job is over.
    ///
    /// # Errors
    /// [`JobError::Engine`] only: everything that can happen to a job is in [`Report::ended`].
    pub fn wait(self) -> Result<Report, JobError> {
        self.control.shared.wait()
    }

    /// Blocks until the job is over or `timeout` is, then `None`.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<Report, JobError>> {
        self.control.shared.wait_timeout(timeout)
    }

    /// The same for asynchronous hosts, on any runtime.
    pub fn wait_async(&self) -> impl Future<Output = Result<Report, JobError>> + Send + 'static {
        End(self.control.shared.clone())
    }
}

impl<P: Work> Drop for JobHandle<P> {
    fn drop(&mut self) {
        self.control.cancel(); // nothing happens when the job is over
    }
}

struct End(Arc<Shared>);

impl Future for End {
    type Output = Result<Report, JobError>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx)
    }
}

/// Steers a job from anywhere; every method returns at once, may be called in any state, and again.
#[derive(Clone)]
pub struct JobControl {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) shared: Arc<Shared>,
}

impl JobControl {
    /// Hands out nothing more; open items block in `cx.check()`.
    pub fn pause(&self) {
        self.inbox.control(Control::Pause);
    }

    /// Goes on after a pause.
    pub fn resume(&self) {
        self.inbox.control(Control::Resume);
    }

    /// Lets open items end, then ends the job; the rest stays pending for the next start.
    pub fn drain(&self) {
        self.inbox.control(Control::Drain);
    }

    /// Stops open items (killed after the grace), then ends the job; what is unfinished stays pending.
    pub fn cancel(&self) {
        self.inbox.control(Control::Cancel);
    }

    /// Cancels one item, wherever it is: waiting, or inside a worker, where `cx.check()` fails and the worker is killed after the
    /// grace if that does not end it. Its outcome is then [`crate::OutcomeResult::Cancelled`] and counts like any other. An item that
    /// ends before that keeps its own outcome; of an item that the source has not delivered it is remembered until the
    /// source or the run ends.
    pub fn cancel_item(&self, key: Key) {
        self.inbox.cancel_item(key);
    }

    /// The job as of a moment ago.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }
}
