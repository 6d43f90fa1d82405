//! What the open items of a worker write into files of the host's.

use crate::protocol::{TakeFile, WantFile, WrittenFile};
use crate::sys::files::path_from_bytes;
use cofferdam_ipc::{CheckedFile, Codec, NotWritten};
use cofferdam_pipeline_core::{LeaseId, OUTPUT_FILES_MAX, OutputFile, OutputLost, OutputSink};
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that are written together; what is larger goes past the buffer.
const BUFFER_BYTES: usize = 128 << 10;

/// How long a host may take to give a file. It may be busy with other large outputs of this worker; a dead one ends the worker before.
const GIVE_WALL_MAX: Duration = Duration::from_secs(60);

/// The files of all open items. Nothing is in it for items that write none.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Looked at after every item, so that one that writes no files costs no lock.
    has_any: AtomicBool,
    items: Mutex<Vec<Arc<ItemFiles>>>,
    questions: Mutex<Vec<Question>>,
    answered: Condvar,
}

/// The files of one item; writers may outlive it.
#[derive(Debug)]
pub(crate) struct ItemFiles {
    lease: LeaseId,
    offset: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Files that the host was asked for: the next one's number.
    asked: u32,
    /// Writers that are neither finished nor dropped.
    writing: usize,
    /// Given by the host, emptied again.
    free: Vec<Given>,
    finished: Vec<WrittenFile>,
    has_ended: bool,
}

/// An empty file of the host's.
#[derive(Debug)]
struct Given {
    number: u32,
    path: PathBuf,
}

impl Given {
    fn holds(&self, file: &CheckedFile) -> WrittenFile {
        WrittenFile { number: self.number, len: file.written(), crc32: file.crc32() }
    }
}

/// A file that the host was asked for.
#[derive(Debug)]
struct Question {
    wanted: WantFile,
    answer: Option<TakeFile>,
    /// Nobody waits any more.
    is_given_up: bool,
}

/// The host gave what nobody had asked for.
#[derive(Debug, thiserror::Error)]
#[error("the host gave a file that was not asked for")]
pub(crate) struct NotAsked;

impl Files {
    /// The files of an open item, as it begins to have some.
    pub(crate) fn of(&self, lease: LeaseId, offset: u32) -> Arc<ItemFiles> {
        let mut items = lock(&self.items);
        if let Some(item) = items.iter().find(|item| (item.lease, item.offset) == (lease, offset)) {
            return item.clone();
        }
        let item = Arc::new(ItemFiles { lease, offset, state: Mutex::default() });
        items.push(item.clone());
        self.has_any.store(true, Ordering::Relaxed);
        item
    }

    /// The item has ended: what it finished. Writers that are still at work have written for nothing.
    pub(crate) fn end(&self, lease: LeaseId, offset: u32) -> Vec<WrittenFile> {
        if !self.has_any.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut items = lock(&self.items);
        let of_item = |item: &Arc<ItemFiles>| (item.lease, item.offset) == (lease, offset);
        let Some(at) = items.iter().position(of_item) else { return Vec::new() };
        let item = items.swap_remove(at);
        self.has_any.store(!items.is_empty(), Ordering::Relaxed);
        drop(items);
        let mut state = lock(&item.state);
        state.has_ended = true;
        std::mem::take(&mut state.finished)
    }

    /// Asks the host for a file and waits for it, unless `ask` has the answer at once.
    fn request(&self, wanted: WantFile, ask: Ask<'_>) -> io::Result<PathBuf> {
        lock(&self.questions).push(Question { wanted, answer: None, is_given_up: false });
        match ask(wanted) {
            Ok(Some(answer)) => self.answer(answer).map_err(io::Error::other)?,
            Ok(None) => {}
            Err(error) => {
                lock(&self.questions).retain(|question| question.wanted != wanted);
                return Err(error);
            }
        }
        let is_open = |questions: &mut Vec<Question>| {
            questions.iter().any(|question| question.wanted == wanted && question.answer.is_none())
        };
        let (mut questions, _) = self
            .answered
            .wait_timeout_while(lock(&self.questions), GIVE_WALL_MAX, is_open)
            .unwrap_or_else(PoisonError::into_inner);
        let at = questions
            .iter()
            .position(|question| question.wanted == wanted)
            .expect("only this thread takes it");
        if questions[at].answer.is_none() {
            questions[at].is_given_up = true;
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the host gave no file"));
        }
        let TakeFile { path, refusal, .. } = questions.swap_remove(at).answer.expect("just looked at");
        if path.is_empty() { Err(io::Error::other(refusal)) } else { Ok(path_from_bytes(&path)) }
    }

    /// The host's answer to a question.
    pub(crate) fn answer(&self, answer: TakeFile) -> Result<(), NotAsked> {
        let mut questions = lock(&self.questions);
        let wanted = WantFile { lease: answer.lease, offset: answer.offset, number: answer.number };
        let is_it = |question: &Question| question.wanted == wanted && question.answer.is_none();
        let at = questions.iter().position(is_it).ok_or(NotAsked)?;
        if questions[at].is_given_up {
            questions.swap_remove(at);
        } else {
            questions[at].answer = Some(answer);
        }
        drop(questions);
        self.answered.notify_all();
        Ok(())
    }
}

/// Sends a question to the host, which may answer at once.
pub(crate) type Ask<'a> = &'a mut dyn FnMut(WantFile) -> io::Result<Option<TakeFile>>;

impl ItemFiles {
    /// Begins one of the item's files.
    ///
    /// # Errors
    /// [`OutputLost`] inside, but for items that have too many files.
    pub(crate) fn begin(self: &Arc<Self>, files: &Files, ask: Ask<'_>) -> io::Result<Box<dyn OutputSink>> {
        let mut state = lock(&self.state);
        if state.finished.len() + state.writing >= OUTPUT_FILES_MAX {
            let why = format!("an item has at most {OUTPUT_FILES_MAX} output files");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        state.writing += 1;
        drop(state);
        match self.open(files, ask) {
            Ok((given, file)) => Ok(Box::new(Sink {
                item: self.clone(),
                given: Some(given),
                file: CheckedFile::new(file),
                buffer: Vec::new(),
            })),
            Err(error) => {
                lock(&self.state).writing -= 1;
                Err(lost(error))
            }
        }
    }

    /// Writes the item's output itself.
    pub(crate) fn write_output<T: Serialize + ?Sized>(
        &self,
        files: &Files,
        ask: Ask<'_>,
        (codec, output): (Codec, &T),
    ) -> Result<WrittenFile, NotWritten> {
        let (given, file) = self.open(files, ask)?;
        let mut file = CheckedFile::new(file);
        file.encode(codec, output)?;
        Ok(given.holds(&file))
    }

    fn open(&self, files: &Files, ask: Ask<'_>) -> io::Result<(Given, File)> {
        let mut state = lock(&self.state);
        let given = match state.free.pop() {
            Some(given) => given,
            None => {
                let number = state.asked;
                state.asked += 1;
                drop(state);
                let wanted = WantFile { lease: self.lease.0, offset: self.offset, number };
                Given { number, path: files.request(wanted, ask)? }
            }
        };
        let file = OpenOptions::new().write(true).open(&given.path)?;
        Ok((given, file))
    }
}

/// What a processor's writer writes to.
struct Sink {
    item: Arc<ItemFiles>,
    /// `None` once the file is finished or has failed: then there is nothing to give back.
    given: Option<Given>,
    file: CheckedFile,
    buffer: Vec<u8>,
}

impl Sink {
    /// After an error nobody knows what the file holds: it is given up.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.given.is_none() {
            return Err(lost(io::Error::other("it failed before")));
        }
        let put = self.file.append(bytes);
        put.map_err(|error| {
            self.given = None;
            lost(error)
        })
    }

    fn put_buffer(&mut self) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let put = self.put(&buffer);
        buffer.clear();
        self.buffer = buffer;
        put
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.put_buffer()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            self.put(bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.put_buffer()
    }
}

impl OutputSink for Sink {
    fn finish(&mut self) -> io::Result<OutputFile> {
        self.put_buffer()?;
        let mut state = lock(&self.item.state);
        if state.has_ended {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the item of this output has ended"));
        }
        let Some(given) = self.given.take() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this output is finished"));
        };
        let written = given.holds(&self.file);
        let index = u32::try_from(state.finished.len()).expect("a few files");
        state.finished.push(written);
        Ok(OutputFile { index, len: written.len })
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let mut state = lock(&self.item.state);
        state.writing -= 1;
        let Some(given) = self.given.take().filter(|_| !state.has_ended) else { return };
        drop(state);
        // The disk has its room back at once, and the item's next file need not be asked for.
        if self.file.file().set_len(0).is_ok() {
            lock(&self.item.state).free.push(given);
        }
    }
}

fn lost(error: io::Error) -> io::Error {
    OutputLost(error).into_io()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::files::path_to_bytes;

    const LEASE: LeaseId = LeaseId(3);

    /// A host that gives files of this directory at once.
    fn giving(dir: &tempfile::TempDir) -> impl FnMut(WantFile) -> io::Result<Option<TakeFile>> {
        |WantFile { lease, offset, number }| {
            let path = dir.path().join(number.to_string());
            File::create_new(&path)?;
            let path = path_to_bytes(&path);
            Ok(Some(TakeFile { lease, offset, number, path, refusal: String::new() }))
        }
    }

    #[test]
    fn a_writer_that_outlives_its_item_is_told_that_it_wrote_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::default();
        let mut ask = giving(&dir);
        let item = files.of(LEASE, 0);
        let mut in_time = item.begin(&files, &mut ask).unwrap();
        let mut late = item.begin(&files, &mut ask).unwrap();
        in_time.write_all(b"kept").unwrap();
        assert_eq!(in_time.finish().unwrap(), OutputFile { index: 0, len: 4 });

        let ended = files.end(LEASE, 0);
        late.write_all(b"lost").unwrap();

        assert_eq!(late.finish().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(ended.iter().map(|file| (file.number, file.len)).collect::<Vec<_>>(), [(0, 4)]);
        assert!(files.end(LEASE, 0).is_empty() && !files.has_any.load(Ordering::Relaxed));
    }

    #[test]
    fn the_file_of_a_dropped_writer_is_emptied_and_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::default();
        let mut ask = giving(&dir);
        let item = files.of(LEASE, 0);
        let mut forgotten = item.begin(&files, &mut ask).unwrap();
        forgotten.write_all(&[7; 2 * BUFFER_BYTES]).unwrap();
        drop(forgotten);
        assert_eq!(dir.path().join("0").metadata().unwrap().len(), 0);

        let mut kept = item.begin(&files, &mut ask).unwrap();
        kept.write_all(b"kept").unwrap();
        kept.finish().unwrap();

        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read(dir.path().join("0")).unwrap(), b"kept");
    }
}
