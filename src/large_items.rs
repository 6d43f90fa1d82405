//! Items that are too large to wait in memory go to their workers through files.

use crate::feeder::Feed;
use crate::shared::Shared;
use crate::workspace::Lent;
use cofferdam_ipc::{Checksum, Codec, CodecError};
use cofferdam_pipeline_core::{Event, EventKind, SourceError, StagedItem};
use serde::Serialize;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SendError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// The longest encoding that is held in memory and travels in a frame, where a saved state must fit in beside it. Files are faster than
/// frames from somewhere below 16 MiB on (`cargo bench --bench payload`), and what is in memory is there once for each lease and chunk.
pub(crate) const IN_MEMORY_BYTES_MAX: usize = 8 << 20;

/// What is written at once.
const WRITE_BYTES: usize = 256 << 10;

/// Files that wait for their removal while another one is written.
const GOING_MAX: usize = 4;

/// How often it is looked whether files have gone.
const GOING_TICK: Duration = Duration::from_millis(2);

/// How often it is tried again when the disk is full.
const ROOM_TICK: Duration = Duration::from_millis(500);

/// Writes large items into files, on the feeder's thread.
pub(crate) struct Stager {
    lent: Arc<Lent>,
    shared: Arc<Shared>,
    codec: Codec,
    /// Files that go, to the thread that removes them: 36 ms for 200 MiB were measured, which is not the driver's time. No new one is written
    /// while more than [`GOING_MAX`] go.
    removed: OnceLock<Sender<PathBuf>>,
    going: Arc<AtomicUsize>,
}

/// Why there is no file.
enum NotStaged {
    /// No room; later there may be some.
    Full(io::Error),
    Failed(SourceError),
}

impl From<io::Error> for NotStaged {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(error),
            _ => Self::Failed(SourceError::new(format!(
                "a large item cannot be written for its worker: {error}"
            ))),
        }
    }
}

impl Stager {
    pub fn new(lent: Arc<Lent>, shared: Arc<Shared>, codec: Codec) -> Self {
        Self { lent, shared, codec, removed: OnceLock::new(), going: Arc::default() }
    }

    /// Writes an item's encoding into a file; `None` when nothing is wanted any more. While the disk is full the source waits, which no
    /// item is charged for: what is under way goes on, and gives its room back when it is done.
    pub fn stage<T: Serialize>(&self, item: &T, feed: &Feed) -> Result<Option<StagedItem>, SourceError> {
        let mut is_told = false;
        loop {
            while self.going.load(Ordering::Acquire) > GOING_MAX {
                if !feed.wait_while_open(GOING_TICK) {
                    return Ok(None);
                }
            }
            match self.write(item) {
                Ok(staged) => return Ok(staged),
                Err(NotStaged::Failed(error)) => return Err(error),
                Err(NotStaged::Full(error)) => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(%error, "a large item waits for room on the disk");
                        self.tell(EventKind::NoRoomForItem(error.to_string()));
                    }
                }
            }
            if !feed.wait_while_open(ROOM_TICK) {
                return Ok(None);
            }
        }
    }

    fn write<T: Serialize>(&self, item: &T) -> Result<Option<StagedItem>, NotStaged> {
        let Some((file, path)) = self.lent.create_item_file()? else { return Ok(None) };
        let keeper = Keeper { path: path.clone(), to: self.remover(), going: self.going.clone() };
        let mut to = BufWriter::with_capacity(WRITE_BYTES, Checked::new(file));
        let written = self.codec.encode_to(item, &mut to);
        let (checked, rest) = match written {
            // What it could not write is the reason, not what the codec made of that.
            Err(error) => (to.into_parts().0, Err(error)),
            Ok(()) => match to.into_inner() {
                Ok(checked) => (checked, Ok(())),
                Err(error) => {
                    let (error, to) = error.into_parts();
                    let mut checked = to.into_parts().0;
                    checked.error.get_or_insert(error);
                    (checked, Ok(()))
                }
            },
        };
        if let Some(error) = checked.error {
            return Err(error.into());
        }
        rest.map_err(|error: CodecError| NotStaged::Failed(SourceError::new(error)))?;
        let Checked { len, crc, .. } = checked;
        Ok(Some(StagedItem { path, len, crc32: crc.value(), keeper: Box::new(keeper) }))
    }

    /// The thread is there from the first large item on, and ends with the last.
    fn remover(&self) -> Sender<PathBuf> {
        let start = || {
            let (to, removed) = channel::<PathBuf>();
            let remover = thread::Builder::new().name("cofferdam-remover".into());
            let going = self.going.clone();
            if let Err(error) = remover.spawn(move || removed.iter().for_each(|path| remove(&path, &going))) {
                tracing::warn!(%error, "files of large items are removed by whoever is done with them");
            }
            to
        };
        self.removed.get_or_init(start).clone()
    }

    fn tell(&self, kind: EventKind) {
        self.shared.publisher.publish(&Event { lsn: self.shared.durable(), kind });
    }
}

/// Has its file removed.
struct Keeper {
    path: PathBuf,
    to: Sender<PathBuf>,
    going: Arc<AtomicUsize>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.going.fetch_add(1, Ordering::AcqRel);
        if let Err(SendError(path)) = self.to.send(std::mem::take(&mut self.path)) {
            remove(&path, &self.going);
        }
    }
}

fn remove(path: &Path, going: &AtomicUsize) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "the file of a large item is left");
        }
        Ok(()) | Err(_) => {}
    }
    going.fetch_sub(1, Ordering::AcqRel);
}

/// Counts and checksums what goes into a file, and keeps its first error.
struct Checked {
    file: File,
    len: u64,
    crc: Checksum,
    error: Option<io::Error>,
}

impl Checked {
    fn new(file: File) -> Self {
        Self { file, len: 0, crc: Checksum::crc32(), error: None }
    }
}

impl Write for Checked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Not more than the processor's cache holds, where the checksum finds it.
        let bytes = &bytes[..bytes.len().min(WRITE_BYTES)];
        match self.file.write(bytes) {
            Ok(written) => {
                self.len += written as u64;
                self.crc.update(&bytes[..written]);
                Ok(written)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.error.get_or_insert(error);
                Err(kind.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
