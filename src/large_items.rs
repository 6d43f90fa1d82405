//! Items that are too large to wait in memory go to their workers through files.

use crate::feeder::Feed;
use crate::shared::Shared;
use crate::workspace::Lent;
use cofferdam_ipc::{CheckedFile, Codec, NotWritten};
use cofferdam_pipeline_core::{Event, EventKind, SourceError, StagedItem};
use serde::Serialize;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SendError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// The longest encoding that is held in memory and travels in a frame, where a saved state must fit in beside it. Files are faster than
/// frames from somewhere below 16 MiB on (`cargo bench --bench payload`), and what is in memory is there once for each lease and chunk.
pub(crate) const IN_MEMORY_BYTES_MAX: usize = 8 << 20;

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

impl From<NotWritten> for NotStaged {
    fn from(error: NotWritten) -> Self {
        match error {
            NotWritten::Io(error) => error.into(),
            NotWritten::Codec(error) => Self::Failed(SourceError::new(error)),
        }
    }
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
        let mut file = CheckedFile::new(file);
        file.encode(self.codec, item)?;
        let (len, crc32) = (file.written(), file.crc32());
        Ok(Some(StagedItem { path, len, crc32, keeper: Box::new(keeper) }))
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
