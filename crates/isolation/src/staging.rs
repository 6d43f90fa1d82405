//! The host's side of large outputs: the files that a worker asked for, until its items end.

use crate::protocol::{Completed, TakeFile, WantFile, WrittenFile};
use crate::sys::files;
use crate::workspace::{StagedOutput, Workspace};
use cofferdam_pipeline_core::{
    BlobRef, Buffer, Failure, LeaseId, OUTPUT_FILES_MAX, OpenItem, OutputBody, Outputs, ReplyBatch,
    StoredOutput, WorkerEvent, entries,
};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Files that one worker may have from its host at a time, each a descriptor of the host's; one that asks for more is told to try again.
const FILES_OPEN_MAX: usize = 256;

/// The worker says something about files that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FileBreach {
    #[error("asks for the same file twice")]
    AskedTwice,
    #[error("names a file that it was not given")]
    Stranger,
    #[error("names {0} files for one item")]
    TooMany(usize),
    #[error(
        "completes an item with a payload that is not one output, or one beside a file that is the output"
    )]
    Payload,
}

/// Files that one worker was given and whose items have not ended. Dropping it removes them.
#[derive(Debug)]
pub(crate) struct Staging {
    workspace: Option<Arc<dyn Workspace>>,
    given: Vec<Given>,
}

#[derive(Debug)]
struct Given {
    lease: u32,
    offset: u32,
    number: u32,
    output: Box<dyn StagedOutput>,
}

impl Staging {
    pub(crate) fn new(workspace: Option<Arc<dyn Workspace>>) -> Self {
        Self { workspace, given: Vec::new() }
    }

    /// Makes a file for a worker that asks for one; what to tell it.
    pub(crate) fn give(&mut self, wanted: &WantFile) -> Result<TakeFile, FileBreach> {
        let WantFile { lease, offset, number } = *wanted;
        let is_it = |given: &Given| (given.lease, given.offset, given.number) == (lease, offset, number);
        if self.given.iter().any(is_it) {
            return Err(FileBreach::AskedTwice);
        }
        let (path, refusal) = match self.make() {
            Ok(output) => {
                let path = files::path_to_bytes(output.path());
                self.given.push(Given { lease, offset, number, output });
                (path, String::new())
            }
            Err(error) => (Vec::new(), error.to_string()),
        };
        Ok(TakeFile { lease, offset, number, path, refusal })
    }

    fn make(&self) -> io::Result<Box<dyn StagedOutput>> {
        if self.given.len() >= FILES_OPEN_MAX {
            let why = format!("the worker has {FILES_OPEN_MAX} files open");
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, why));
        }
        self.workspace.as_ref().ok_or(io::ErrorKind::Unsupported)?.stage()
    }

    /// The items have ended without a word of their files.
    pub(crate) fn forget(&mut self, lease: u32, offsets: Range<u32>) {
        self.given.retain(|given| given.lease != lease || !offsets.contains(&given.offset));
    }

    /// The worker has ended: nothing of what it wrote is wanted any more.
    pub(crate) fn forget_all(&mut self) {
        self.given.clear();
    }

    /// An item is completed with files: they go into the store if they hold what the worker says, else the attempt has failed. Blocks for
    /// as long as reading and syncing them takes.
    pub(crate) fn complete(
        &mut self,
        completed: &Completed,
        payload: Buffer,
    ) -> Result<WorkerEvent, FileBreach> {
        let Completed { lease, slot, offset, output, files } = completed;
        if files.len() > OUTPUT_FILES_MAX {
            return Err(FileBreach::TooMany(files.len()));
        }
        let inline = output_of(output.is_some(), payload)?;
        let named: Vec<_> = files
            .iter()
            .chain(output)
            .map(|file| self.take(*lease, *offset, file).map(|given| (given, *file)))
            .collect::<Result<_, _>>()?;
        self.forget(*lease, *offset..offset.saturating_add(1));
        let kept: Result<Vec<BlobRef>, Failure> =
            named.into_iter().map(|(given, file)| keep(given, &file)).collect();
        Ok(match kept {
            Ok(mut files) => {
                let body = match inline {
                    Some(bytes) => OutputBody::Inline(bytes),
                    None => OutputBody::Blob(files.pop().expect("the output's own file came last")),
                };
                let outputs = Outputs::Stored(StoredOutput { body, files });
                WorkerEvent::Replied(ReplyBatch {
                    lease: LeaseId(*lease),
                    offset: *offset,
                    count: 1,
                    outputs,
                })
            }
            Err(failure) => {
                let item =
                    OpenItem { slot: *slot, lease: LeaseId(*lease), offset: *offset, ..OpenItem::default() };
                WorkerEvent::Failed { item, failure }
            }
        })
    }

    fn take(&mut self, lease: u32, offset: u32, file: &WrittenFile) -> Result<Given, FileBreach> {
        let is_it = |given: &Given| (given.lease, given.offset, given.number) == (lease, offset, file.number);
        let at = self.given.iter().position(is_it).ok_or(FileBreach::Stranger)?;
        Ok(self.given.swap_remove(at))
    }
}

/// The output's bytes, unless it is a file of its own.
fn output_of(is_file: bool, mut payload: Buffer) -> Result<Option<Buffer>, FileBreach> {
    if is_file {
        return if payload.is_empty() { Ok(None) } else { Err(FileBreach::Payload) };
    }
    let prefix = {
        let mut found = entries(&payload);
        let (Some(Ok(output)), None) = (found.next(), found.next()) else { return Err(FileBreach::Payload) };
        payload.len() - output.len()
    };
    payload.drain(..prefix);
    Ok(Some(payload))
}

/// What does not hold what was said of it is a matter of this attempt: whatever broke it, the next one may fare better, and one item must not
/// cost the job its workers.
fn keep(given: Given, file: &WrittenFile) -> Result<BlobRef, Failure> {
    given
        .output
        .keep(file.len, file.crc32)
        .map_err(|error| Failure::transient(format!("an output file: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    /// Keeps what is said of it, and holds it if the checksum is 7.
    #[derive(Debug)]
    struct Shop;

    #[derive(Debug)]
    struct Paper(PathBuf);

    impl Workspace for Shop {
        fn scratch(&self) -> Option<&Path> {
            None
        }

        fn stages(&self) -> bool {
            true
        }

        fn stage(&self) -> io::Result<Box<dyn StagedOutput>> {
            Ok(Box::new(Paper("/staging/1".into())))
        }
    }

    impl StagedOutput for Paper {
        fn path(&self) -> &Path {
            &self.0
        }

        fn keep(self: Box<Self>, len: u64, crc32: u32) -> io::Result<BlobRef> {
            if crc32 == 7 {
                Ok(BlobRef { len, hash: [1; 32] })
            } else {
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }

    fn staging() -> Staging {
        Staging::new(Some(Arc::new(Shop)))
    }

    fn want(offset: u32, number: u32) -> WantFile {
        WantFile { lease: 3, offset, number }
    }

    fn written(number: u32, len: u64) -> WrittenFile {
        WrittenFile { number, len, crc32: 7 }
    }

    fn completed(output: Option<WrittenFile>, files: Vec<WrittenFile>) -> Completed {
        Completed { lease: 3, slot: 0, offset: 0, output, files }
    }

    fn entry(text: &[u8]) -> Buffer {
        [&[text.len() as u8], text].concat().into()
    }

    fn stored(event: WorkerEvent) -> (Option<Vec<u8>>, Vec<u64>) {
        let WorkerEvent::Replied(batch) = event else { panic!("{event:?}") };
        assert_eq!((batch.lease, batch.offset, batch.count), (LeaseId(3), 0, 1));
        let Outputs::Stored(StoredOutput { body, files }) = batch.outputs else { panic!("entries") };
        let lens = files.iter().map(|file| file.len);
        match body {
            OutputBody::Inline(bytes) => (Some(bytes.to_vec()), lens.collect()),
            OutputBody::Blob(blob) => (None, lens.chain([blob.len]).collect()),
        }
    }

    #[test]
    fn files_are_kept_in_the_order_in_which_the_worker_names_them_and_the_rest_is_forgotten() {
        let mut staging = staging();
        for number in 0..4 {
            assert_eq!(staging.give(&want(0, number)).unwrap().path, b"/staging/1");
        }
        staging.give(&want(1, 0)).unwrap();
        let event = staging.complete(&completed(None, vec![written(2, 20), written(0, 10)]), entry(b"out"));
        assert_eq!(stored(event.unwrap()), (Some(b"out".to_vec()), vec![20, 10]));
        assert_eq!(staging.given.len(), 1, "of another item");
    }

    #[test]
    fn an_output_that_is_a_file_comes_without_a_payload() {
        let mut staging = staging();
        staging.give(&want(0, 0)).unwrap();
        staging.give(&want(0, 1)).unwrap();
        let event =
            staging.complete(&completed(Some(written(0, 99)), vec![written(1, 5)]), Buffer::default());
        assert_eq!(stored(event.unwrap()), (None, vec![5, 99]));
    }

    #[test]
    fn a_file_that_does_not_hold_what_was_said_fails_the_attempt_alone() {
        let mut staging = staging();
        staging.give(&want(0, 0)).unwrap();
        staging.give(&want(0, 1)).unwrap();
        let broken = WrittenFile { crc32: 8, ..written(0, 10) };
        let event = staging.complete(&completed(None, vec![broken, written(1, 1)]), entry(b"")).unwrap();
        let WorkerEvent::Failed { item, failure } = event else { panic!("{event:?}") };
        assert_eq!((item.lease, item.offset), (LeaseId(3), 0));
        assert_eq!(failure.kind, cofferdam_pipeline_core::FailureKind::Transient);
        assert!(staging.given.is_empty());
    }

    #[test]
    fn what_was_never_given_or_is_named_twice_or_too_much_is_a_breach() {
        let mut staging = staging();
        staging.give(&want(0, 0)).unwrap();
        assert_eq!(staging.give(&want(0, 0)), Err(FileBreach::AskedTwice));
        let many = vec![written(0, 1); OUTPUT_FILES_MAX + 1];
        let cases = [
            (completed(None, vec![written(1, 1)]), entry(b""), FileBreach::Stranger),
            (completed(None, many), entry(b""), FileBreach::TooMany(OUTPUT_FILES_MAX + 1)),
            (completed(None, vec![]), Buffer::default(), FileBreach::Payload),
            (completed(None, vec![]), [0, 0].to_vec().into(), FileBreach::Payload),
            (completed(Some(written(0, 1)), vec![]), entry(b"x"), FileBreach::Payload),
            (completed(Some(written(0, 1)), vec![written(0, 1)]), Buffer::default(), FileBreach::Stranger),
        ];
        for (completed, payload, breach) in cases {
            assert_eq!(staging.complete(&completed, payload).unwrap_err(), breach);
        }
    }

    #[test]
    fn who_asks_for_more_files_than_may_be_open_is_refused_and_so_is_who_asks_where_there_are_none() {
        let mut staging = staging();
        for offset in 0..FILES_OPEN_MAX as u32 {
            assert_eq!(staging.give(&want(offset, 0)).unwrap().refusal, "");
        }
        assert_ne!(staging.give(&want(FILES_OPEN_MAX as u32, 0)).unwrap().refusal, "");
        staging.forget(3, 0..1);
        assert_eq!(staging.give(&want(FILES_OPEN_MAX as u32, 0)).unwrap().refusal, "");
        assert_ne!(Staging::new(None).give(&want(0, 0)).unwrap().refusal, "");
    }
}
