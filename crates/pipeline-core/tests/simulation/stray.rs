//! A worker that says what nobody asked for: in any state, about any lease.

use crate::world::World;
use cofferdam_pipeline_core::supervisor::Input;
use cofferdam_pipeline_core::{
    Buffer, Exit, ExitReport, Failure, LeaseId, Observation, OpenItem, ReplyBatch, WorkerEvent, WorkerId,
};

impl World {
    pub fn stray(&mut self) {
        let all: Vec<WorkerId> = self.workers.keys().copied().collect();
        if all.is_empty() {
            return;
        }
        let worker = self.random.pick(&all);
        let leases: Vec<LeaseId> = self.leases.keys().copied().chain([LeaseId(0), LeaseId(9_999)]).collect();
        let lease = self.random.pick(&leases);
        let offset = self.random.below(3) as u32;
        // What it holds may be held against its items from now on, and counts as said by them.
        for index in self.may_be_unsettled(worker) {
            let item = &mut self.model.items[index as usize];
            item.lied_about = true;
            item.replied = true;
            item.failed = true;
        }
        self.fake(worker).violated = true;
        let event = match self.random.below(9) {
            0 => WorkerEvent::Ready,
            1 => WorkerEvent::Replied(ReplyBatch {
                lease,
                offset,
                count: 1,
                outputs: Buffer::from(vec![0]).into(),
            }),
            2 => {
                let item = OpenItem { lease, offset, ..OpenItem::default() };
                WorkerEvent::Failed { item, failure: Failure::transient("a lie") }
            }
            3 => WorkerEvent::Returned { lease, from: offset },
            4 => WorkerEvent::StartFailed(Failure::transient("a lie")),
            5 => WorkerEvent::Lost,
            6 => WorkerEvent::Spawned { pid: 1 },
            7 => {
                let open = vec![OpenItem { lease, offset, ..OpenItem::default() }];
                return self.input(Input::Observed(worker, Observation { open, ..Observation::default() }));
            }
            // The verdict is the host's own: it comes once. A late one is of a worker that is gone.
            _ if self.supervisor.workers().any(|view| view.worker == worker) => {
                WorkerEvent::StateSaved { lease, offset, state: [0; 4][..].into() }
            }
            _ => {
                let open = Vec::new();
                let report =
                    ExitReport { exit: Exit::Unknown, open, open_known: false, stderr_tail: String::new() };
                return self.input(Input::Worker(worker, WorkerEvent::Exited(report)));
            }
        };
        if matches!(event, WorkerEvent::Ready) && !self.fake(worker).said_ready {
            return; // it would be believed, and the true one would not
        }
        self.deliver(worker, event);
    }
}
