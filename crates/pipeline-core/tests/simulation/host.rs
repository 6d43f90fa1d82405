//! What the source, the store and the host's user do.

use crate::fake_worker::Life;
use crate::scenario::Happening;
use crate::world::{Event, SAMPLE_EVERY, World};
use cofferdam_pipeline_core::supervisor::{Control, Input, Prior};
use cofferdam_pipeline_core::{
    Buffer, ChunkBuilder, Exit, ExitReport, Failure, Identities, ItemIndex, Key, LeaseId, Observation,
    OpenItem, ReplyBatch, WorkerEvent, WorkerId,
};
use std::sync::Arc;
use std::time::Duration;

/// How long a worker is stopped whose standing still shows nowhere.
const UNNOTICED: Duration = Duration::from_millis(300);

impl World {
    pub fn feed(&mut self) {
        if self.source_told {
            return;
        }
        let total = self.scenario.items.len() as u64;
        if self.fed == total {
            self.source_told = true;
            self.model.source_over = true;
            return self.input(Input::SourceEnded);
        }
        let count = 1 + self.random.below(self.scenario.chunk_items_max.min(total - self.fed));
        let mut builder = ChunkBuilder::default();
        let mut identities = Identities::default();
        for index in self.fed..self.fed + count {
            builder
                .push::<()>(|out| {
                    out.extend([7; 6]);
                    Ok(())
                })
                .unwrap();
            identities.push_ordinal(index);
            self.model.items[index as usize].fed = true;
        }
        let chunk = Arc::new(builder.finish(ItemIndex(self.fed), identities).expect("it has items"));
        let range = self.fed..self.fed + count;
        let priors: Vec<Prior> =
            self.scenario.priors.iter().filter(|prior| range.contains(&prior.index.0)).cloned().collect();
        self.fed += count;
        if self.fed == total {
            let delay = self.random.micros(self.scenario.feed_us);
            self.after(delay, Event::Feed);
        }
        self.input(Input::Fed { chunk, priors });
    }

    pub fn sample(&mut self) {
        self.after(SAMPLE_EVERY, Event::Sample);
        let running = self.workers.iter().filter(|(_, fake)| fake.life == Life::Running);
        let looks: Vec<_> = running.map(|(&worker, fake)| (worker, fake.look(self.now))).collect();
        for (worker, look) in looks {
            self.input(Input::Observed(worker, look));
        }
    }

    pub fn plan_sync(&mut self) {
        if !self.sync_planned && !self.store_full && !self.model.store_lost {
            self.sync_planned = true;
            let delay = self.random.micros(self.scenario.sync_us);
            self.after(delay, Event::Sync);
        }
    }

    pub fn sync(&mut self) {
        self.sync_planned = false;
        if self.store_full || self.model.store_lost || self.model.durable == self.model.tickets {
            return;
        }
        self.model.durable += 1 + self.random.below(self.model.tickets - self.model.durable);
        let through = self.model.durable;
        if through < self.model.tickets {
            self.plan_sync();
        }
        self.input(Input::Committed { through, lsn: through });
    }

    pub fn happens(&mut self, what: Happening) {
        match what {
            Happening::Control(control) => self.input(Input::Control(control)),
            Happening::StoreFull => {
                self.store_full = true;
                self.input(Input::StoreFull);
            }
            Happening::StoreRecovered => {
                self.store_full = false;
                self.plan_sync();
                self.input(Input::StoreRecovered);
            }
            Happening::StoreFailed => {
                self.model.store_lost = true;
                self.input(Input::StoreFailed("EIO".into()));
            }
            Happening::SourceFails if self.source_told => {}
            Happening::SourceFails => {
                self.source_told = true;
                self.model.source_over = true;
                self.input(Input::SourceFailed("the disk is gone".into()));
            }
            Happening::CancelItem(index) => self.cancel(index),
            Happening::Stray => self.stray(),
            Happening::HostDies => self.host_died = true,
            Happening::Kill => {
                if let Some(worker) = self.any_running() {
                    self.fake(worker).struck = true;
                    self.die(worker, Exit::Signal { number: 15, name: "SIGTERM", address: None }, None);
                }
            }
            Happening::DieIdle => {
                if let Some(worker) = self.any_running() {
                    self.fake(worker).die_when_idle = true;
                    self.pump(worker);
                }
            }
            Happening::Stops(time) => self.stop_from_outside(time),
            Happening::Gap(gap) => {
                let events = std::mem::take(&mut self.events);
                self.events = events.into_iter().map(|((at, n), event)| ((at + gap, n), event)).collect();
                for fake in self.workers.values_mut() {
                    fake.extend(gap);
                }
                self.now = self.now + gap;
                self.input(Input::ClockGap(gap));
            }
        }
    }

    /// Somebody stops a worker. One without a heartbeat is not left so: nobody would notice.
    fn stop_from_outside(&mut self, time: Option<Duration>) {
        let Some(worker) = self.any_running() else { return };
        let now = self.now;
        let fake = self.fake(worker);
        if fake.stopped.is_some() {
            return;
        }
        fake.stop_from_outside(now);
        if let Some(time) = time.or(fake.mute.then_some(UNNOTICED)) {
            self.after(time, Event::GoesOn(worker));
        }
    }

    pub fn goes_on(&mut self, worker: WorkerId) {
        let now = self.now;
        let unread = self.fake(worker).go_on(now);
        for message in unread {
            self.receive(worker, message);
        }
        self.pump(worker);
    }

    /// An item is cancelled, wherever it is.
    pub fn cancel(&mut self, index: u64) {
        if let Some(item) = self.model.items.get_mut(index as usize) {
            let place = match (item.committed, item.cancelled, item.fed, item.holder) {
                (true, ..) => "item settled",
                (false, true, ..) => "item cancelled",
                (false, false, false, _) => "item to come",
                (false, false, true, None) => "item waiting",
                (false, false, true, Some(_)) => "item held",
            };
            self.met.insert((place, "cancel item"));
            item.cancelled = true;
        }
        self.input(Input::CancelItem(Key::Ordinal(index)));
    }

    /// Everything that may still arrive after the end changes nothing.
    pub fn nothing_follows(&mut self) {
        let worker = WorkerId(1);
        let lease = LeaseId(1);
        let failure = Failure::fatal("late");
        let report =
            ExitReport { exit: Exit::Unknown, open: vec![], open_known: false, stderr_tail: String::new() };
        let mut builder = ChunkBuilder::default();
        builder.push::<()>(|_| Ok(())).unwrap();
        let chunk =
            Arc::new(builder.finish(ItemIndex(self.fed), Identities::default()).expect("it has an item"));
        let batch = ReplyBatch { lease, offset: 0, count: 1, outputs: Buffer::default().into() };
        let events = [
            WorkerEvent::Spawned { pid: 1 },
            WorkerEvent::Ready,
            WorkerEvent::Replied(batch),
            WorkerEvent::Failed { item: OpenItem { lease, ..OpenItem::default() }, failure: failure.clone() },
            WorkerEvent::StateSaved { lease, offset: 0, state: [0; 1][..].into() },
            WorkerEvent::Returned { lease, from: 0 },
            WorkerEvent::StartFailed(failure),
            WorkerEvent::Lost,
            WorkerEvent::Exited(report),
        ];
        events.into_iter().for_each(|event| self.input(Input::Worker(worker, event)));
        for control in [Control::Pause, Control::Resume, Control::Drain, Control::Cancel] {
            self.input(Input::Control(control));
        }
        self.input(Input::CancelItem(Key::Ordinal(0)));
        self.input(Input::Fed { chunk, priors: vec![] });
        self.input(Input::SourceEnded);
        self.input(Input::SourceFailed("late".into()));
        self.input(Input::Observed(worker, Observation::default()));
        self.input(Input::Committed { through: self.model.durable, lsn: 0 });
        self.input(Input::StoreFull);
        self.input(Input::StoreRecovered);
        self.input(Input::StoreFailed("late".into()));
        self.input(Input::ClockGap(Duration::from_secs(9)));
        self.now = self.now + Duration::from_secs(1_000);
        self.input(Input::Tick);
        assert_eq!(self.supervisor.next_deadline(), None);
    }
}
