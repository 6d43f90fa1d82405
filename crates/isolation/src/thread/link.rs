//! The way from a thread worker to its host: the sink, until the worker is over.

use crate::Workspace;
use crate::protocol::{Completed, Replies, TakeFile, WantFile};
use crate::staging::Staging;
use crate::worker::{Link, LinkLost};
use cofferdam_pipeline_core::{
    Buffer, BufferPool, ExitReport, Failure, LeaseId, OpenItem, ReplyBatch, WorkerEvent, WorkerId, WorkerSink,
};
use std::fmt;
use std::sync::Arc;

/// Hands events to the sink. Once the worker has exited nothing passes any more: an abandoned thread that comes back
/// to life learns that nobody listens and leaves.
pub(crate) struct MemoryLink {
    worker: WorkerId,
    sink: WorkerSink,
    buffers: Arc<BufferPool>,
    staging: Staging,
    has_exited: bool,
}

impl MemoryLink {
    pub(super) fn new(
        worker: WorkerId,
        sink: WorkerSink,
        buffers: Arc<BufferPool>,
        workspace: Option<Arc<dyn Workspace>>,
    ) -> Self {
        Self { worker, sink, buffers, staging: Staging::new(workspace), has_exited: false }
    }

    /// The last that is heard of this worker.
    pub(super) fn exited(&mut self, report: ExitReport) {
        if self.emit(WorkerEvent::Lost).is_ok() {
            self.staging.forget_all();
            (self.sink)(self.worker, WorkerEvent::Exited(report));
            self.has_exited = true;
        }
    }

    fn copy(&self, bytes: &[u8]) -> Buffer {
        let mut copy = self.buffers.take();
        copy.clear();
        copy.extend_from_slice(bytes);
        copy
    }

    fn emit(&self, event: WorkerEvent) -> Result<(), LinkLost> {
        if self.has_exited {
            return Err(abandoned());
        }
        (self.sink)(self.worker, event);
        Ok(())
    }
}

impl Link for MemoryLink {
    fn ready(&mut self) -> Result<(), LinkLost> {
        self.emit(WorkerEvent::Ready)
    }

    fn replies(&mut self, batch: Replies, outputs: &[u8]) -> Result<(), LinkLost> {
        let copy = self.copy(outputs);
        let Replies { lease, offset, count, .. } = batch;
        self.staging.forget(lease, offset..offset.saturating_add(count));
        self.emit(WorkerEvent::Replied(ReplyBatch {
            lease: LeaseId(lease),
            offset,
            count,
            outputs: copy.into(),
        }))
    }

    fn completed(&mut self, completed: Completed, output: &[u8]) -> Result<(), LinkLost> {
        if self.has_exited {
            return Err(abandoned());
        }
        let copy = self.copy(output);
        let event = self.staging.complete(&completed, copy).map_err(|breach| LinkLost(breach.into()))?;
        self.emit(event)
    }

    fn want_file(&mut self, wanted: WantFile) -> Result<Option<TakeFile>, LinkLost> {
        if self.has_exited {
            return Err(abandoned());
        }
        self.staging.give(&wanted).map(Some).map_err(|breach| LinkLost(breach.into()))
    }

    fn failed(&mut self, item: OpenItem, failure: Failure) -> Result<(), LinkLost> {
        self.staging.forget(item.lease.0, item.offset..item.offset.saturating_add(1));
        self.emit(WorkerEvent::Failed { item, failure: Failure::new(failure.kind, failure.message) })
    }

    fn save_state(&mut self, lease: LeaseId, offset: u32, state: &[u8]) -> Result<(), LinkLost> {
        self.emit(WorkerEvent::StateSaved { lease, offset, state: state.into() })
    }

    fn returned(&mut self, lease: LeaseId, from: u32) -> Result<(), LinkLost> {
        self.emit(WorkerEvent::Returned { lease, from })
    }

    fn start_failed(&mut self, failure: Failure) -> Result<(), LinkLost> {
        self.emit(WorkerEvent::StartFailed(failure))
    }

    /// The exit that follows says it.
    fn stopped(&mut self) -> Result<(), LinkLost> {
        Ok(())
    }
}

fn abandoned() -> LinkLost {
    LinkLost("the worker was abandoned".into())
}

impl fmt::Debug for MemoryLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryLink({})", self.worker)
    }
}
