//! An open file of the simulated disk.

use super::SimDisk;
use super::fault::{Fault, SyncFailure};
use cofferdam_checkpoint::DiskFile;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug)]
pub(super) struct SimFile {
    disk: SimDisk,
    id: u64,
    has_lock: AtomicBool,
}

impl SimFile {
    pub(super) fn new(disk: SimDisk, id: u64) -> Self {
        Self { disk, id, has_lock: AtomicBool::new(false) }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.call(|state| {
            let content = &state.file(self.id)?.live;
            let from = content.get(offset as usize..).unwrap_or_default();
            let len = from.len().min(buf.len());
            buf[..len].copy_from_slice(&from[..len]);
            Ok(len)
        })
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.lock();
        if state.faults.refusal == Some(io::ErrorKind::ReadOnlyFilesystem) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let half = &buf[..buf.len().div_ceil(2)];
        match state.faults.next()? {
            None => state.write_what_fits(self.id, buf, offset),
            Some(Fault::ShortWrite) => Ok(state.file_mut(self.id)?.write(half, offset)),
            Some(fault @ (Fault::Enospc | Fault::Edquot)) => {
                state.file_mut(self.id)?.write(half, offset);
                Err(fault.error())
            }
            Some(fault @ (Fault::Eio | Fault::Eintr)) => Err(fault.error()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        let model = state.faults.sync_failure;
        let fault = state.faults.next()?;
        let file = state.file_mut(self.id)?;
        match (fault, model) {
            (None | Some(Fault::ShortWrite), _) => {
                file.sync();
                return Ok(());
            }
            (Some(_), SyncFailure::StaysDirty) => {}
            (Some(_), SyncFailure::CleanWithNew) => file.dirty.clear(),
            (Some(_), SyncFailure::CleanWithOld) => {
                file.dirty.clear();
                file.live = file.durable.clone();
            }
        }
        Err(fault.expect("the arms without one have returned").error())
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.call(|state| Ok(state.file(self.id)?.live.len() as u64))
    }

    fn try_lock(&self) -> io::Result<bool> {
        let got = self.disk.call(|state| Ok(state.locked.insert(self.id)))?;
        if got {
            self.has_lock.store(true, Ordering::Relaxed);
        }
        Ok(got)
    }

    /// No call that is counted: a local file system answers it from memory.
    fn is_linked(&self) -> io::Result<bool> {
        Ok(self.disk.lock().is_linked(self.id))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if self.has_lock.load(Ordering::Relaxed) {
            self.disk.lock().locked.remove(&self.id);
        }
    }
}
