//! A small job on the simulated disk, and what must be true of it afterwards.
#![allow(clippy::unwrap_used, missing_docs, dead_code)]

pub mod proof;

use cofferdam_checkpoint::{
    Batch, Blobs, FillAhead, JobSpec, JobState, JobStore, KeyRef, Note, OutcomeBody, OutputBody, Store,
    StoreError, StoreOptions, StoredOutput,
};
use cofferdam_pipeline_core::{Evidence, Identities, Key, Keying, OutcomeKind, push_entry_len};
use cofferdam_testkit::{ImageLimits, SimDisk};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

pub const JOB: &str = "job";

/// States to look at where there are too many to look at all.
const SAMPLE_MAX: usize = 48;

pub fn spec(keying: Keying) -> JobSpec {
    JobSpec {
        processor: "facts".into(),
        version: 1,
        codec: 1,
        keying,
        config: vec![("lang".into(), [7; 32])],
    }
}

pub fn entries(outputs: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for output in outputs {
        push_entry_len(&mut bytes, output.len());
        bytes.extend_from_slice(output);
    }
    bytes
}

/// The calls come in an order that can be repeated: no thread fills ahead, no clock writes marks.
pub fn options(disk: &SimDisk) -> StoreOptions {
    StoreOptions {
        disk: disk.shared(),
        fill_ahead: FillAhead::Inline,
        idle_mark: Duration::MAX,
        ..StoreOptions::default()
    }
}

pub fn open_store(disk: &SimDisk) -> Result<Store, StoreError> {
    Store::open(Path::new("store"), options(disk))
}

pub fn limits(subsets_max: usize, seed: u64) -> ImageLimits {
    ImageLimits { subsets_max, sample: subsets_max.min(SAMPLE_MAX), seed }
}

/// What the job was told and what it acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub is_created: bool,
    pub submitted: BTreeMap<u64, Vec<u8>>,
    pub acknowledged: BTreeMap<u64, Vec<u8>>,
    /// Says on stdout what happens, for a parent that outlives this process: see [`Model::hear`].
    pub tells: bool,
}

pub fn output(ordinal: u64) -> Vec<u8> {
    format!("output of {ordinal} ").into_bytes().repeat(1 + ordinal as usize * 7 % 40)
}

impl Model {
    fn submit(&mut self, ordinal: u64, output: Vec<u8>) {
        self.tell(format_args!("submitted {ordinal} {}", String::from_utf8_lossy(&output)));
        self.submitted.insert(ordinal, output);
    }

    fn acknowledge(&mut self, ordinal: u64, output: Vec<u8>) {
        self.tell(format_args!("acknowledged {ordinal} {}", String::from_utf8_lossy(&output)));
        self.acknowledged.insert(ordinal, output);
    }

    fn tell(&self, line: std::fmt::Arguments<'_>) {
        if self.tells {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
        }
    }

    /// Takes in a line that a model in another process told.
    pub fn hear(&mut self, line: &str) {
        let mut words = line.splitn(3, ' ');
        let (what, ordinal) = (words.next(), words.next().and_then(|word| word.parse().ok()));
        let told = ordinal.zip(words.next().map(|content| content.as_bytes().to_vec()));
        match (what, told) {
            (Some("created"), _) => self.is_created = true,
            (Some("submitted"), Some((ordinal, content))) => drop(self.submitted.insert(ordinal, content)),
            (Some("acknowledged"), Some((ordinal, content))) => {
                self.acknowledged.insert(ordinal, content);
            }
            _ => {} // what the test harness says
        }
    }

    /// Commits a run in one blocking batch.
    pub fn commit_run(&mut self, job: &JobStore, first: u64, count: u64) -> Result<(), StoreError> {
        let outputs: Vec<_> = (first..first + count).map(output).collect();
        (first..first + count)
            .zip(&outputs)
            .for_each(|(ordinal, output)| self.submit(ordinal, output.clone()));
        let bytes = entries(&outputs.iter().map(Vec::as_slice).collect::<Vec<_>>());
        job.commit(Batch::completed_dense(first, count as u32, 1, &bytes).unwrap())?;
        (first..first + count).zip(outputs).for_each(|(ordinal, output)| self.acknowledge(ordinal, output));
        Ok(())
    }

    pub fn commit_failed(&mut self, job: &JobStore, ordinal: u64) -> Result<(), StoreError> {
        let evidence = Evidence { kind: "panic".into(), ..Evidence::default() };
        self.submit(ordinal, b"panic".to_vec());
        job.commit(
            Batch::set_aside(KeyRef::Ordinal(ordinal), None, OutcomeKind::Failed, 2, &evidence).unwrap(),
        )?;
        self.acknowledge(ordinal, b"panic".to_vec());
        Ok(())
    }

    pub fn commit_blob(&mut self, job: &JobStore, ordinal: u64) -> Result<(), StoreError> {
        let content = output(ordinal);
        self.submit(ordinal, content.clone());
        let blob = job.put_blob(&content)?;
        job.commit(Batch::completed_blob(KeyRef::Ordinal(ordinal), None, 1, blob).unwrap())?;
        self.acknowledge(ordinal, content);
        Ok(())
    }

    /// An output that is in three places: two files and the record.
    pub fn commit_files(&mut self, job: &JobStore, ordinal: u64) -> Result<(), StoreError> {
        let content = output(ordinal);
        self.submit(ordinal, content.clone());
        let stored = with_files(job, &content)?;
        job.commit(Batch::completed_with_files(KeyRef::Ordinal(ordinal), None, 1, stored).unwrap())?;
        self.acknowledge(ordinal, content);
        Ok(())
    }

    /// A small job from nothing to a second session, one disk call after the other.
    pub fn small_job(&mut self, disk: &SimDisk) -> Result<(), StoreError> {
        self.small_job_in(Path::new("store"), options(disk))
    }

    /// The same on any disk.
    pub fn small_job_in(&mut self, root: &Path, options: StoreOptions) -> Result<(), StoreError> {
        let store = Store::open(root, options)?;
        let job = store.create_job(JOB, &spec(Keying::Dense))?;
        self.is_created = true;
        self.tell(format_args!("created"));
        self.commit_run(&job, 0, 3)?;
        lease(&job, 1, 10..13)?;
        job.note(KeyRef::Ordinal(11), Note { crashes: 1, ..Note::default() })?;
        self.commit_failed(&job, 11)?;
        self.commit_blob(&job, 12)?;
        self.commit_files(&job, 13)?;
        self.commit_run(&job, 100, 20)?;
        job.finish(JobState::Interrupted)?;
        drop(job);
        let job = store.open_job(JOB)?;
        self.commit_run(&job, 10, 1)?;
        lease(&job, 2, 50..60)
    }

    /// Everything acknowledged is there, once, and nothing that was never submitted; and the job goes on.
    pub fn check(&self, disk: &SimDisk) {
        self.check_store(&open_store(disk).unwrap());
    }

    /// The same on any disk.
    pub fn check_store(&self, store: &Store) {
        if !store.job_exists(JOB).unwrap() {
            assert!(!self.is_created && self.acknowledged.is_empty(), "a job that was acknowledged is gone");
            return;
        }
        let mut after = self.clone();
        {
            let job = store.open_job(JOB).unwrap();
            assert_eq!(job.recovery().unusable_snapshots, [0u64; 0], "HEAD names only what is durable");
            after.acknowledged = self.check_outcomes(&job);
            after.submitted = after.acknowledged.clone();
            after.commit_run(&job, 1000, 1).unwrap();
        }
        let job = store.open_job(JOB).unwrap();
        assert_eq!(after.check_outcomes(&job), after.acknowledged);
    }

    /// Everything acknowledged is there, once, and nothing that was never submitted. Returns what is there.
    pub fn check_outcomes(&self, job: &JobStore) -> BTreeMap<u64, Vec<u8>> {
        let mut found = BTreeMap::new();
        for (outcome, lsn) in job.outcomes(0).zip(1..) {
            let outcome = outcome.unwrap();
            assert_eq!(outcome.lsn, lsn);
            let Key::Ordinal(ordinal) = outcome.key else { panic!("a dense job has no keys") };
            let content = content_of(&job.blobs(), outcome.body);
            assert!(found.insert(ordinal, content).is_none(), "{ordinal} was committed twice");
        }
        for (ordinal, content) in &self.acknowledged {
            assert_eq!(found.get(ordinal), Some(content), "{ordinal} was acknowledged and is lost");
        }
        for (ordinal, content) in &found {
            assert_eq!(self.submitted.get(ordinal), Some(content), "{ordinal} was never submitted");
        }
        assert_eq!(job.counts().total(), found.len() as u64);
        assert_eq!(job.done_ordinals().iter().collect::<Vec<_>>(), found.keys().copied().collect::<Vec<_>>());
        found
    }
}

/// The parts of a content, the first two as files.
pub fn with_files<'a>(job: &JobStore, content: &'a [u8]) -> Result<StoredOutput<&'a [u8]>, StoreError> {
    let (first, rest) = content.split_at(content.len() / 3);
    let (second, rest) = rest.split_at(rest.len() / 2);
    let files = vec![job.put_blob(first)?, job.put_blob(second)?];
    Ok(StoredOutput { body: OutputBody::Inline(rest), files })
}

/// What an outcome comes to, wherever its parts lie: its files, then its output, or else the kind of its evidence.
pub fn content_of(blobs: &Blobs, body: OutcomeBody) -> Vec<u8> {
    match body {
        OutcomeBody::Output(output) => output,
        OutcomeBody::Blob(blob) => blobs.read(&blob).unwrap(),
        OutcomeBody::WithFiles(StoredOutput { body, files }) => {
            let mut content: Vec<_> = files.iter().flat_map(|file| blobs.read(file).unwrap()).collect();
            content.extend(match body {
                OutputBody::Inline(output) => output,
                OutputBody::Blob(blob) => blobs.read(&blob).unwrap(),
            });
            content
        }
        OutcomeBody::Evidence(evidence) => evidence.kind.into_bytes(),
    }
}

pub fn lease(job: &JobStore, lease: u32, ordinals: std::ops::Range<u64>) -> Result<(), StoreError> {
    let mut identities = Identities::default();
    let count = (ordinals.end - ordinals.start) as u32;
    ordinals.for_each(|ordinal| identities.push_ordinal(ordinal));
    job.lease_started(0, lease, &identities, 0..count)
}
