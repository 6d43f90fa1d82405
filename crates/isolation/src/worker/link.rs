//! The way from a worker to its host: a socket, or a function call.

use crate::protocol::{
    Completed, Failed, Message, Ready, Replies, Returned, SaveState, StartFailed, Stopped, TakeFile, WantFile,
};
use cofferdam_ipc::{FrameSender, SendError};
use cofferdam_pipeline_core::{Failure, LeaseId, OpenItem};

/// Nobody listens any more.
#[derive(Debug, thiserror::Error)]
#[error("the host is gone: {0}")]
pub(crate) struct LinkLost(pub(crate) Box<dyn std::error::Error + Send + Sync>);

/// Tells the host what the messages of [`crate::protocol`] tell. Calls are serialized by the session.
pub(crate) trait Link: Send + 'static {
    /// [`Ready`]
    fn ready(&mut self) -> Result<(), LinkLost>;
    /// [`Replies`]; `outputs` are the entries.
    fn replies(&mut self, batch: Replies, outputs: &[u8]) -> Result<(), LinkLost>;
    /// [`Completed`]; `output` is an entry, or nothing.
    fn completed(&mut self, completed: Completed, output: &[u8]) -> Result<(), LinkLost>;
    /// [`WantFile`]; the answer, if it does not come some other way.
    fn want_file(&mut self, wanted: WantFile) -> Result<Option<TakeFile>, LinkLost>;
    /// [`Failed`]
    fn failed(&mut self, item: OpenItem, failure: Failure) -> Result<(), LinkLost>;
    /// [`SaveState`]
    fn save_state(&mut self, lease: LeaseId, offset: u32, state: &[u8]) -> Result<(), LinkLost>;
    /// [`Returned`]
    fn returned(&mut self, lease: LeaseId, from: u32) -> Result<(), LinkLost>;
    /// [`StartFailed`]
    fn start_failed(&mut self, failure: Failure) -> Result<(), LinkLost>;
    /// [`Stopped`]
    fn stopped(&mut self) -> Result<(), LinkLost>;
}

/// The link of a child process. Sends without a deadline: a host that stands still is waited for, and a dead one is an error.
#[derive(Debug)]
pub(crate) struct SocketLink(pub(crate) FrameSender);

impl SocketLink {
    fn send<M: Message>(&mut self, message: &M, payload: &[u8]) -> Result<(), LinkLost> {
        self.0.send(M::KIND, message, payload, None).map_err(LinkLost::from)
    }
}

impl Link for SocketLink {
    fn ready(&mut self) -> Result<(), LinkLost> {
        self.send(&Ready {}, &[])
    }

    fn replies(&mut self, batch: Replies, outputs: &[u8]) -> Result<(), LinkLost> {
        self.send(&batch, outputs)
    }

    fn completed(&mut self, completed: Completed, output: &[u8]) -> Result<(), LinkLost> {
        self.send(&completed, output)
    }

    fn want_file(&mut self, wanted: WantFile) -> Result<Option<TakeFile>, LinkLost> {
        self.send(&wanted, &[])?;
        Ok(None)
    }

    fn failed(&mut self, item: OpenItem, failure: Failure) -> Result<(), LinkLost> {
        self.send(&Failed::new(item, failure), &[])
    }

    fn save_state(&mut self, lease: LeaseId, offset: u32, state: &[u8]) -> Result<(), LinkLost> {
        self.send(&SaveState { lease: lease.0, offset }, state)
    }

    fn returned(&mut self, lease: LeaseId, from: u32) -> Result<(), LinkLost> {
        self.send(&Returned { lease: lease.0, from }, &[])
    }

    fn start_failed(&mut self, failure: Failure) -> Result<(), LinkLost> {
        self.send(&StartFailed::new(failure), &[])
    }

    fn stopped(&mut self) -> Result<(), LinkLost> {
        self.send(&Stopped {}, &[])
    }
}

impl From<SendError> for LinkLost {
    fn from(error: SendError) -> Self {
        Self(Box::new(error))
    }
}
