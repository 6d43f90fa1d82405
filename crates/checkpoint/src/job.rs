//! One job, open for work.

use crate::disk::DiskFile;
use crate::format::description::Description;
use crate::format::record::{Item, LeaseItems, put_added, put_lease_started, put_note, put_saved_state};
use crate::index::Standing;
use crate::journal::bell::Bell;
use crate::journal::chain::Chain;
use crate::journal::compact::Compaction;
use crate::journal::fill::FillAhead;
use crate::journal::group::State;
use crate::journal::lead::{Journal, OnCommit, lock};
use crate::journal::parts::Parts;
use crate::journal::recovery::{Scope, recover};
use crate::journal::snapshot::Snapshots;
use crate::ours::recover_ours;
use crate::outcomes::{Outcomes, View};
use crate::owner_file::{self, OwnerFile};
use crate::seeded::has_bug;
use crate::{
    AddedItem, Batch, CommitEvent, Counts, DoneOrdinals, JobSpec, JobState, KeyRef, Lookup, Note, OpenLease,
    OwnerInfo, RecoveryReport, Reopened, StoreError, StoreOptions, WorkerEntry, batch, blob,
};
use cofferdam_pipeline_core::{Fingerprint, Identities, SavedState};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// One job, open for work: nobody else can open it before this handle is finished or dropped.
///
/// All methods may be called from any thread. Dropping it makes durable what was submitted, unless that fails.
#[derive(Debug)]
pub struct JobStore {
    pub(crate) journal: Arc<Journal>,
    pub(crate) description: Description,
    previous_owner: Option<OwnerInfo>,
    open_leases: Vec<OpenLease>,
    report: Mutex<RecoveryReport>,
    owner: Mutex<OwnerFile>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Last, so that the lock outlives every write; `None` once the job is closed.
    lock: Mutex<Option<Box<dyn DiskFile>>>,
}

impl JobStore {
    /// Opens the job in `dir`, whose lock the caller has taken.
    pub(crate) fn open(
        dir: &Path,
        options: &StoreOptions,
        lock_file: Box<dyn DiskFile>,
    ) -> Result<Self, StoreError> {
        let disk = options.disk.clone();
        let previous = owner_file::read(disk.as_ref(), dir);
        let recovered = recover(disk.as_ref(), dir, Scope::Accepted)?;
        #[cfg(cofferdam_seeded_bugs)]
        if has_bug("the tail is cut off on opening") {
            crate::seeded::cut_tail(disk.as_ref(), dir, recovered.report.torn);
        }
        blob::empty_staging(disk.as_ref(), dir)?;
        let generation = previous.as_ref().map_or(0, |(generation, _)| *generation);
        let open_leases = recovered.open_leases();
        let description = recovered.content.description.clone();
        let report = recovered.report.clone();
        let parts = Parts::begin(&disk, dir, recovered, fill_for(options, dir))?;
        let owner = OwnerFile::take_over(disk.as_ref(), dir, generation, parts.tip.appender.header.epoch)?;
        let journal = Arc::new(Journal {
            disk,
            dir: dir.to_owned(),
            durability: options.durability,
            fill: fill_for(options, dir),
            idle: options.idle_mark,
            state: Mutex::new(State::new(parts.index, parts.next_lsn, 1)),
            work: std::sync::Condvar::new(),
            done: Bell::default(),
            tip: Mutex::new(parts.tip),
            chain: Mutex::new(parts.chain),
            head: Mutex::new(parts.head),
            on_commit: Mutex::new(None),
            snapshots: Snapshots::new(options.snapshot_after_bytes, parts.behind, parts.snapshot_len),
            compaction: Compaction::default(),
            is_filling: AtomicBool::new(false),
        });
        let writer = Mutex::new(Some(spawn_writer(&journal)?));
        Ok(Self {
            journal,
            description,
            previous_owner: previous.map(|(_, info)| info),
            open_leases,
            report: Mutex::new(report),
            owner: Mutex::new(owner),
            writer,
            lock: Mutex::new(Some(lock_file)),
        })
    }

    /// The job's name, as it was given.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.description.name
    }

    /// Where the job's files are; relative if the store's root is. What others put there under the name `scratch` is not the store's.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.journal.dir
    }

    /// What the job was made with.
    #[must_use]
    pub fn spec(&self) -> &JobSpec {
        &self.description.spec
    }

    /// Durable outcomes by kind.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.journal.counts()
    }

    /// The highest durable lsn, 0 when there is none.
    #[must_use]
    pub fn durable_lsn(&self) -> u64 {
        lock(&self.journal.state).durable_lsn
    }

    /// What the last opening found and did about the traces of an unclean end.
    #[must_use]
    pub fn recovery(&self) -> RecoveryReport {
        lock(&self.report).clone()
    }

    /// What is known about an item, submitted outcomes included.
    #[must_use]
    pub fn lookup(&self, key: KeyRef<'_>, fingerprint: Option<Fingerprint>) -> Lookup {
        lock(&self.journal.state).index.lookup(key, fingerprint)
    }

    /// What is known against an item without an outcome.
    #[must_use]
    pub fn prior(&self, key: KeyRef<'_>) -> Option<Note> {
        lock(&self.journal.state).index.note(key)
    }

    /// Whether anything is known against any item: otherwise nobody need ask.
    #[must_use]
    pub fn has_notes(&self) -> bool {
        lock(&self.journal.state).index.has_notes()
    }

    /// The ordinals that have an outcome now, as a value: no lock is taken to ask it.
    #[must_use]
    pub fn done_ordinals(&self) -> DoneOrdinals {
        DoneOrdinals::new(lock(&self.journal.state).index.done_ordinals().clone())
    }

    /// Keys that have an outcome.
    #[must_use]
    pub fn keys_len(&self) -> u64 {
        lock(&self.journal.state).index.keys_len() as u64
    }

    /// Begins a pass over the keys of a source: no key counts as seen any more.
    pub fn begin_pass(&self) {
        lock(&self.journal.state).index.begin_pass();
    }

    /// [`Self::lookup`] for a key that the pass has come to; outcomes submitted meanwhile count as seen, too.
    pub fn see(&self, key: KeyRef<'_>, fingerprint: Option<Fingerprint>) -> Lookup {
        lock(&self.journal.state).index.see(key, fingerprint)
    }

    /// Keys with an outcome that the pass has not come to: at its end, those that are gone from the source.
    #[must_use]
    pub fn unseen_keys(&self) -> u64 {
        lock(&self.journal.state).index.unseen()
    }

    /// Says who hears of commits from now on. What is called is called by whoever writes, and nothing is written until it returns: neither
    /// [`Self::commit`] nor [`Self::finish`] nor [`Self::reopen`] may be called in it, since they wait for that.
    pub fn on_commit(&self, callback: impl Fn(CommitEvent) + Send + Sync + 'static) {
        let callback: OnCommit = Arc::new(callback);
        *lock(&self.journal.on_commit) = Some(callback);
    }

    /// Takes a batch for the next group and returns its ticket: 1, 2, 3… within this handle.
    ///
    /// Returns at once, but while 32 MiB wait for the disk it blocks. Outputs of more than 1 MiB become blobs here, which
    /// takes a sync each.
    ///
    /// # Errors
    /// [`StoreError::AlreadyDone`] when an item has an outcome for the same input: nothing of the batch is taken.
    /// [`StoreError::Indeterminate`] after a failure, until [`Self::reopen`].
    pub fn submit(&self, batch: Batch<'_>) -> Result<u64, StoreError> {
        self.journal.submit(&self.spill(batch)?)
    }

    /// Takes a batch, and returns the lsn of its last outcome when it is durable. Nothing waits for company meanwhile.
    ///
    /// # Errors
    /// Those of [`Self::submit`], and those of writing: then it is indeterminate whether the batch is durable.
    pub fn commit(&self, batch: Batch<'_>) -> Result<u64, StoreError> {
        self.journal.commit(&self.spill(batch)?)
    }

    fn spill<'a>(&self, batch: Batch<'a>) -> Result<Batch<'a>, StoreError> {
        let batch = batch.spill_large(|output| self.put_blob(output))?;
        if batch.blobs().next().is_some() {
            lock(&self.journal.compaction.fresh_blobs).extend(batch.blobs().map(crate::blob::file_name));
        }
        Ok(batch)
    }

    /// Writes what was submitted without waiting for company; does not wait for the end of that.
    pub fn flush(&self) {
        self.journal.flush();
    }

    /// Waits until an outcome after `lsn` is durable, or the handle fails or closes, or the time is over; says how far it is.
    #[must_use]
    pub fn wait_durable_after(&self, lsn: u64, timeout: Duration) -> u64 {
        let state = lock(&self.journal.state);
        let is_waiting = |state: &mut State| state.durable_lsn <= lsn && state.refusal().is_none();
        self.journal.done.wait_while(state, timeout, is_waiting).durable_lsn
    }

    /// Keeps an item whole that no source has, until it has an outcome; `false` when its key has one, or was added before. Survives
    /// this process at once, a power cut with the next commit.
    ///
    /// # Errors
    /// [`StoreError::TooLong`] for a key that is too long; those of writing, which poison the handle.
    pub fn add_item(&self, key: &[u8], content: &[u8]) -> Result<bool, StoreError> {
        batch::checked_key(KeyRef::Bytes(key))?;
        // First: whoever adds the same key at the same time finds it there.
        if !lock(&self.journal.state).index.add(key, content) {
            return Ok(false);
        }
        let written = self.journal.append_unsynced(|records| put_added(records, key, content));
        if written.is_err() {
            lock(&self.journal.state).index.forget_added(key);
        }
        written.map(|()| true)
    }

    /// The items that were added and have no outcome, oldest first.
    #[must_use]
    pub fn added_items(&self) -> Vec<AddedItem> {
        let owned = |(key, content): (&[u8], &[u8])| AddedItem { key: key.into(), content: content.into() };
        lock(&self.journal.state).index.added().iter().map(owned).collect()
    }

    /// The memory that these items take.
    #[must_use]
    pub fn added_bytes(&self) -> usize {
        lock(&self.journal.state).index.added().bytes()
    }

    /// Items with an outcome that were added and that the source of this pass does not have.
    #[must_use]
    pub fn added_and_done(&self) -> u64 {
        lock(&self.journal.state).index.added_unseen()
    }

    /// Remembers what is known against an item. Survives this process at once, a power cut with the next commit.
    ///
    /// # Errors
    /// Those of writing, which poison the handle.
    pub fn note(&self, key: KeyRef<'_>, note: Note) -> Result<(), StoreError> {
        let key = batch::checked_key(key)?;
        // First, here and below: a snapshot that begins behind the record has it.
        lock(&self.journal.state).index.set_note(key, note);
        self.journal.append_unsynced(|records| put_note(records, key, &note))
    }

    /// What an item without an outcome saved last for this input. An item without a fingerprint counts as unchanged.
    #[must_use]
    pub fn saved_state(&self, key: KeyRef<'_>, fingerprint: Option<Fingerprint>) -> Option<SavedState> {
        lock(&self.journal.state).index.saved_state(key, fingerprint)
    }

    /// Whether any item has a saved state: otherwise nobody need ask.
    #[must_use]
    pub fn has_saved_states(&self) -> bool {
        lock(&self.journal.state).index.has_saved_states()
    }

    /// Remembers what an item saved, in place of what it saved before, until its outcome. Survives this process at once, a
    /// power cut with the next commit or the orderly end.
    ///
    /// # Errors
    /// Those of writing, which poison the handle.
    pub fn save_state(
        &self,
        key: KeyRef<'_>,
        fingerprint: Option<Fingerprint>,
        state: SavedState,
    ) -> Result<(), StoreError> {
        let item = Item { key: batch::checked_key(key)?, fingerprint };
        lock(&self.journal.state).index.set_saved_state(item, state.clone());
        self.journal.append_unsynced(|records| put_saved_state(records, item, &state))
    }

    /// Remembers that a worker is about to get these items; call it before it does. Survives this process at once.
    ///
    /// # Errors
    /// Those of writing, which poison the handle.
    pub fn lease_started(
        &self,
        worker: u32,
        lease: u32,
        identities: &Identities,
        range: Range<u32>,
    ) -> Result<(), StoreError> {
        let items: Vec<LeaseItems<'_>> = match identities {
            Identities::Ordinals(_) => identities
                .ordinal_runs(range)
                .map(|run| LeaseItems::Ordinals { first: run.first, count: run.count })
                .collect(),
            Identities::Keys(table) => range.map(|position| LeaseItems::Key(table.get(position).0)).collect(),
        };
        let epoch = lock(&self.journal.tip).appender.header.epoch;
        let mut record = Vec::new();
        put_lease_started(&mut record, (epoch, worker, lease), items.into_iter());
        {
            let mut state = lock(&self.journal.state);
            let next_lsn = state.durable_lsn + 1;
            state.index.lease_started((epoch, worker, lease), next_lsn, &record);
        }
        self.journal.append_unsynced(|records| records.extend_from_slice(&record))
    }

    /// Leases that were open when the session before this one died, as far as their items have no outcome; none when it
    /// ended in an orderly way. An item among them may have been inside a worker; the recorders of [`Self::previous_owner`]'s workers tell which.
    #[must_use]
    pub fn open_leases(&self) -> &[OpenLease] {
        &self.open_leases
    }

    /// Who had the job open before, and with which workers.
    #[must_use]
    pub fn previous_owner(&self) -> Option<&OwnerInfo> {
        self.previous_owner.as_ref()
    }

    /// The workers of the session before, if they can still live: it was on this machine since its last start.
    #[must_use]
    pub fn previous_workers(&self) -> &[WorkerEntry] {
        match &self.previous_owner {
            Some(owner) if owner.is_this_boot() => &owner.workers,
            Some(_) | None => &[],
        }
    }

    /// Leaves in the owner record who works for this session, for whoever opens the job after our death.
    ///
    /// # Errors
    /// Those of writing; they do not poison the handle.
    pub fn set_workers(&self, workers: &[WorkerEntry]) -> Result<(), StoreError> {
        lock(&self.owner).set_workers(workers)
    }

    /// Durable outcomes after `after_lsn` (0 for all), in order; see [`Outcomes`].
    #[must_use]
    pub fn outcomes(&self, after_lsn: u64) -> Outcomes {
        Outcomes::new(self.journal.disk.clone(), &self.journal.dir, self.journal.clone(), after_lsn)
    }

    /// Writes a snapshot of what is known, so that the next opening need not read the journal up to here; returns the last lsn in
    /// it. The store does this by itself, see [`StoreOptions::snapshot_after_bytes`]. Commits go on meanwhile.
    ///
    /// # Errors
    /// Those of writing the snapshot, which do not poison the handle, and those of the journal and HEAD, which do.
    pub fn snapshot(&self) -> Result<u64, StoreError> {
        self.journal.snapshot()
    }

    /// Goes on after a failure: reads the journal again and continues in a new segment. Nothing was lost that was
    /// acknowledged; submit again what comes after [`Reopened::durable_through`]. Without a failure it changes nothing. Waits for a
    /// commit that another thread is writing.
    ///
    /// # Errors
    /// Those of opening, and [`StoreError::Removed`]; the handle then stays as it was, and this may be called again.
    pub fn reopen(&self) -> Result<Reopened, StoreError> {
        let mut writer = lock(&self.writer);
        if lock(&self.journal.state).failure.is_none() {
            let state = lock(&self.journal.state);
            return Ok(Reopened {
                renewed: false,
                durable_through: state.durable_ticket,
                lsn: state.durable_lsn,
            });
        }
        if let Some(thread) = writer.take() {
            thread.join().expect("the writer turns errors into values");
        }
        let journal = &self.journal;
        journal.wait_for_leader();
        journal.join_snapshot();
        let _turn = lock(&journal.compaction.turn);
        let recovered = recover_ours(journal, &mut lock(&self.lock))?;
        let report = recovered.report.clone();
        let parts = Parts::begin(&journal.disk, &journal.dir, recovered, journal.fill)?;
        lock(&self.owner).set_epoch(parts.tip.appender.header.epoch)?;
        let lsn = parts.next_lsn - 1;
        *lock(&journal.tip) = parts.tip;
        journal.is_filling.store(false, Ordering::Relaxed);
        *lock(&journal.head) = parts.head;
        {
            let mut chain = lock(&journal.chain);
            let version = chain.version;
            *chain = parts.chain;
            chain.version += version;
        }
        let mut state = lock(&journal.state);
        let durable_through = state.ticket_through(lsn);
        let next_ticket = state.next_ticket();
        let before = std::mem::replace(&mut *state, State::new(parts.index, parts.next_lsn, next_ticket));
        drop(state);
        *lock(&self.report) = report;
        *writer = Some(spawn_writer(journal)?);
        journal.done.ring();
        // They were not synced: the journal may have lost them, and nobody else has them.
        for (key, content) in before.index.added().iter() {
            self.add_item(key, content)?;
        }
        Ok(Reopened { renewed: true, durable_through, lsn })
    }

    /// Ends in an orderly way: everything submitted is durable, marked as such, and HEAD says `state`.
    ///
    /// The handle can still be read from; the lock is released, so that the next owner can come.
    ///
    /// # Errors
    /// What kept it from becoming durable.
    pub fn finish(&self, state: JobState) -> Result<(), StoreError> {
        self.close(state);
        match &lock(&self.journal.state).failure {
            None => Ok(()),
            Some(error) => Err(error.clone()),
        }
    }

    fn close(&self, job_state: JobState) {
        if has_bug("the lock is released before the last sync") {
            drop(lock(&self.lock).take());
        }
        lock(&self.journal.state).closing.get_or_insert(job_state);
        self.journal.work.notify_all();
        self.journal.done.ring();
        if let Some(thread) = lock(&self.writer).take() {
            thread.join().expect("the writer turns errors into values");
        }
        self.journal.wait_for_leader();
        self.journal.join_snapshot();
        drop(lock(&self.lock).take());
    }
}

impl Drop for JobStore {
    fn drop(&mut self) {
        self.close(JobState::Running);
    }
}

impl View for Journal {
    fn chain(&self) -> Chain {
        lock(&self.chain).clone()
    }

    fn progress(&self) -> (u64, u64, u64) {
        let chain = lock(&self.chain);
        (chain.version, chain.durable_end, chain.durable_lsn)
    }

    fn standing(&self, outcomes: &[(KeyRef<'_>, u64)]) -> Vec<Standing> {
        let state = lock(&self.state);
        outcomes.iter().map(|&(key, lsn)| state.index.standing(key, lsn)).collect()
    }
}

fn spawn_writer(journal: &Arc<Journal>) -> Result<JoinHandle<()>, StoreError> {
    let writer = journal.clone();
    let spawned = std::thread::Builder::new().name("cofferdam-store".into()).spawn(move || writer.run());
    spawned.map_err(|error| StoreError::io("start the writer of", &journal.dir, error))
}

fn fill_for(options: &StoreOptions, dir: &Path) -> FillAhead {
    match options.disk.kind(dir) {
        crate::FileSystemKind::Local => options.fill_ahead,
        crate::FileSystemKind::CopyOnWrite
        | crate::FileSystemKind::Network
        | crate::FileSystemKind::Memory => FillAhead::Off,
    }
}
