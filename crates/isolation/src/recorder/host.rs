//! The host's side of a worker's two files.

use super::layout::{self, Field};
use super::{RecorderError, Recording};
use crate::sys::{dirs, files};
use cofferdam_pipeline_core::{LeaseId, WorkerId};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A directory that only this user can enter, on a memory file system where there is one; removed when dropped.
///
/// After a host's death it stays: the next open of the job reads the recorders named in the owner record, then removes it.
#[derive(Debug)]
pub struct RecorderDir(TempDir);

impl RecorderDir {
    /// A fresh directory below `preferred`, else below the memory file system, else below the temporary directory.
    ///
    /// # Errors
    /// When none of them can hold it.
    pub fn create(preferred: Option<&Path>) -> io::Result<Self> {
        let fresh = |parent: &Path| dirs::private_builder().prefix("cofferdam-").tempdir_in(parent);
        if let Some(parent) = preferred {
            return fresh(parent).map(Self);
        }
        let in_memory = files::memory_directory().and_then(|parent| fresh(parent).ok());
        in_memory.map_or_else(|| fresh(&std::env::temp_dir()), Ok).map(Self)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// One worker's recorder and control page as the host holds them; both files are removed when dropped.
#[derive(Debug)]
pub struct HostRecorder {
    recorder: File,
    control: File,
    recorder_path: PathBuf,
    control_path: PathBuf,
    slots: u32,
}

impl HostRecorder {
    /// Creates both files for a worker that does not exist yet.
    ///
    /// # Errors
    /// When the file system refuses.
    ///
    /// # Panics
    /// When `slots` is 0 or above [`layout::SLOTS_MAX`].
    pub fn create(dir: &RecorderDir, worker: WorkerId, slots: u32) -> io::Result<Self> {
        assert!((1..=layout::SLOTS_MAX).contains(&slots), "{slots} slots");
        let recorder_path = dir.path().join(format!("{}.recorder", worker.0));
        let control_path = dir.path().join(format!("{}.control", worker.0));
        let recorder = create(&recorder_path, layout::recorder_len(slots))?;
        let control = create(&control_path, layout::CONTROL_LEN)?;
        let host = Self { recorder, control, recorder_path, control_path, slots };
        write(&host.recorder, layout::MAGIC, layout::RECORDER_MAGIC)?;
        write(&host.recorder, layout::VERSION, layout::LAYOUT_VERSION)?;
        write(&host.recorder, layout::SLOTS, u64::from(slots))?;
        write(&host.control, layout::CONTROL_MAGIC_FIELD, layout::CONTROL_MAGIC)?;
        write(&host.control, layout::CONTROL_VERSION, layout::LAYOUT_VERSION)?;
        Ok(host)
    }

    /// For [`crate::protocol::Start::recorder`] and the owner record.
    #[must_use]
    pub fn recorder_path(&self) -> &Path {
        &self.recorder_path
    }

    /// For [`crate::protocol::Start::control`].
    #[must_use]
    pub fn control_path(&self) -> &Path {
        &self.control_path
    }

    /// Looks at what the worker has written so far.
    ///
    /// # Errors
    /// [`ReadError`]: what the worker had open is unknown.
    pub fn read(&self) -> Result<Recording, ReadError> {
        read(&self.recorder, self.slots)
    }

    /// The calls that led to the panic that ended the worker; empty when there are none or the file cannot be read.
    #[must_use]
    pub fn read_backtrace(&self) -> String {
        let mut area = vec![0; layout::BACKTRACE_AREA_LEN];
        match files::read_full_at(&self.recorder, &mut area, layout::backtrace_at(self.slots) as u64) {
            Ok(len) if len == area.len() => super::reader::backtrace(&area),
            Ok(_) | Err(_) => String::new(),
        }
    }

    /// Makes `Context::check` block, or go on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_paused(&self, paused: bool) -> io::Result<()> {
        write(&self.control, layout::PAUSE, u64::from(paused))
    }

    /// Makes `Context::check` fail for one item, if it is open in this slot, and for no other.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn cancel(&self, slot: u32, lease: LeaseId, offset: u32) -> io::Result<()> {
        let at = layout::CANCEL.at as u64 + 8 * u64::from(slot.min(layout::SLOTS_MAX - 1));
        files::write_all_at(&self.control, &super::open_word(lease, offset).to_le_bytes(), at)
    }

    /// Makes `Context::check` fail from now on, also where it blocks.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn interrupt(&self) -> io::Result<()> {
        write(&self.control, layout::INTERRUPT, 1)
    }
}

impl Drop for HostRecorder {
    fn drop(&mut self) {
        for path in [&self.recorder_path, &self.control_path] {
            if let Err(error) = std::fs::remove_file(path) {
                tracing::debug!(path = %path.display(), %error, "a worker's file was not removed");
            }
        }
    }
}

/// A recorder says nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("the flight recorder cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The bytes are not a recorder.
    #[error(transparent)]
    Content(#[from] RecorderError),
}

/// Reads the recorder of a worker of an earlier host, whose number of slots is taken from the file's length.
///
/// # Errors
/// [`ReadError`]: what the worker had open is unknown.
pub fn read_recorder(path: &Path) -> Result<Recording, ReadError> {
    let file = File::open(path)?;
    let areas =
        file.metadata()?.len().saturating_sub((layout::WORKER_AREA_LEN + layout::BACKTRACE_AREA_LEN) as u64);
    let slots = (areas / layout::SLOT_AREA_LEN as u64).clamp(1, u64::from(layout::SLOTS_MAX));
    read(&file, slots as u32)
}

fn create(path: &Path, len: usize) -> io::Result<File> {
    let file = File::options().read(true).write(true).create_new(true).open(path)?;
    file.set_len(len as u64)?;
    Ok(file)
}

fn write(file: &File, field: Field, value: u64) -> io::Result<()> {
    files::write_all_at(file, &value.to_le_bytes(), field.at as u64)
}

fn read(file: &File, slots: u32) -> Result<Recording, ReadError> {
    let mut bytes = vec![0; layout::backtrace_at(slots)];
    let len = files::read_full_at(file, &mut bytes, 0)?;
    Ok(Recording::parse(&bytes[..len], slots)?)
}
