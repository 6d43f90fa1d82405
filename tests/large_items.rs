//! Items that are too large for memory and for a frame: they arrive whole, the right one is blamed, and no file stays.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]

mod support;

use cofferdam::{
    AddError, AsyncProcessor, Codec, Concurrent, Context, Ended, Failure, Isolation, Job, JobHandle, Outcome,
    OutcomeResult, Processor, RetryPolicy, StartContext, Work, dense, keyed,
};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{assert_complete, wait_until};

cofferdam::worker_test!(workers: Weigher, Concurrent<AsyncWeigher>);

/// No healthy job takes this long.
const PATIENCE: Duration = Duration::from_secs(120);
/// Beyond what travels in a frame.
const LARGE: usize = 9 << 20;

/// What is done when the item has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Deed {
    Weigh,
    /// Only if it is the first attempt, else it weighs.
    AbortOnce,
    Abort,
    FailOnce,
    /// Saves `half` and fails; the next attempt says what it got.
    SaveOnce,
    /// Cuts the files of all large items to half their length, then crashes.
    CutFiles,
    /// Removes them, then crashes.
    RemoveFiles,
    Wait,
    /// Saves `half` and waits; an attempt that got something weighs.
    SaveAndWait,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Load {
    deed: Deed,
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Weight {
    len: usize,
    checksum: u64,
    attempt: u32,
    state: String,
}

fn load(deed: Deed, len: usize) -> Load {
    let mut bytes = Vec::with_capacity(len);
    let mut block = [7; 64 << 10];
    while bytes.len() < len {
        block[..8].copy_from_slice(&bytes.len().to_le_bytes());
        bytes.extend_from_slice(&block[..block.len().min(len - bytes.len())]);
    }
    Load { deed, bytes }
}

fn weight(load: &Load, attempt: u32) -> Weight {
    // Another one than that of the files.
    let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &load.bytes);
    Weight { len: load.bytes.len(), checksum, attempt, state: String::new() }
}

struct Weigher;

impl Processor for Weigher {
    const NAME: &'static str = "weigher";
    const VERSION: u32 = 1;
    type Item = Load;
    type Output = Weight;
    type Config = ();

    fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, load: Load, cx: &Context<'_>) -> Result<Weight, Failure> {
        process(&load, cx)
    }
}

struct AsyncWeigher;

impl AsyncProcessor for AsyncWeigher {
    const NAME: &'static str = "async-weigher";
    const VERSION: u32 = 1;
    type Item = Load;
    type Output = Weight;
    type Config = ();

    async fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn process(&self, load: Load, cx: &Context<'_>) -> Result<Weight, Failure> {
        process(&load, cx)
    }
}

fn process(load: &Load, cx: &Context<'_>) -> Result<Weight, Failure> {
    let is_first = cx.attempt() == 1;
    match load.deed {
        Deed::Abort => std::process::abort(),
        Deed::AbortOnce if is_first => std::process::abort(),
        Deed::FailOnce if is_first => return Err(Failure::transient("told to fail")),
        Deed::SaveOnce if is_first => {
            cx.save_state(b"half")?;
            return Err(Failure::transient("told to fail"));
        }
        Deed::CutFiles => each_file(cx, |file| {
            let len = file.metadata()?.len();
            fs::OpenOptions::new().write(true).open(file)?.set_len(len / 2)
        }),
        Deed::RemoveFiles => each_file(cx, |file| fs::remove_file(file)),
        Deed::SaveAndWait if cx.saved_state().is_none() => {
            cx.save_state(b"half")?;
            wait(cx)?;
        }
        Deed::Wait => wait(cx)?,
        Deed::Weigh | Deed::AbortOnce | Deed::FailOnce | Deed::SaveOnce | Deed::SaveAndWait => {}
    }
    let state = String::from_utf8_lossy(cx.saved_state().unwrap_or_default()).into_owned();
    Ok(Weight { state, ..weight(load, cx.attempt()) })
}

fn wait(cx: &Context<'_>) -> Result<(), Failure> {
    loop {
        cx.check()?;
        support::pause(Duration::from_millis(1));
    }
}

/// A hostile worker finds them: they lie beside its own directory.
fn each_file(cx: &Context<'_>, deed: impl Fn(&Path) -> std::io::Result<()>) -> ! {
    let own = cx.scratch_dir().expect("a directory");
    let files = files_in(&own.join("../../items"));
    assert!(!files.is_empty(), "its own is among them");
    files.iter().for_each(|file| deed(file).expect("nobody forbids it"));
    std::process::abort()
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The files of large items of the only job in a store.
fn item_files(store: &Path) -> Vec<PathBuf> {
    files_in(&store.join("jobs-2")).iter().flat_map(|job| files_in(&job.join("scratch/items"))).collect()
}

fn job<P: Work<Config = ()>>(store: &Path, isolation: Isolation) -> Job<P> {
    let retry =
        RetryPolicy { attempts_max: 2, backoff_first: Duration::from_millis(1), ..RetryPolicy::default() };
    Job::<P>::new(store, "job", ())
        .workers(2)
        .isolation(isolation)
        .worker_program(workers::program())
        .retry(retry)
}

fn source(loads: &[(Deed, usize)]) -> impl cofferdam::ItemSource<Item = Load> {
    let loads = loads.to_vec();
    dense(move || loads.clone().into_iter().map(|(deed, len)| load(deed, len)))
}

fn end(handle: JobHandle<impl Work<Output = Weight>>, store: &Path) -> Vec<Outcome<Weight>> {
    let report = handle.wait_timeout(PATIENCE).expect("the job ends").expect("a report");
    assert_complete(&report);
    let mut outcomes: Vec<_> =
        handle.outcomes().map(|outcome| outcome.expect("a readable outcome")).collect();
    outcomes.sort_by_key(|outcome| outcome.key.clone());
    assert_eq!(item_files(store), [] as [PathBuf; 0]);
    outcomes
}

fn weighed(outcome: &Outcome<Weight>) -> &Weight {
    match &outcome.result {
        OutcomeResult::Completed(weight) => weight,
        other => panic!("{}: {other:?}", outcome.key),
    }
}

fn run(isolation: Isolation, codec: Codec, loads: &[(Deed, usize)]) -> Vec<Outcome<Weight>> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let handle =
        job::<Weigher>(dir.path(), isolation).codec(codec).start(source(loads)).expect("the job starts");
    end(handle, dir.path())
}

/// Small ones beside it, which wait for nobody.
const AMONG_SMALL: [(Deed, usize); 4] =
    [(Deed::Weigh, 10), (Deed::Weigh, 200 << 20), (Deed::Weigh, 1 << 20), (Deed::Weigh, LARGE)];

fn assert_whole(outcomes: &[Outcome<Weight>]) {
    let expected: Vec<_> = AMONG_SMALL.iter().map(|&(deed, len)| weight(&load(deed, len), 1)).collect();
    assert_eq!(outcomes.iter().map(weighed).cloned().collect::<Vec<_>>(), expected);
}

#[test]
fn an_item_of_200_mebibytes_arrives_whole_in_a_process() {
    assert_whole(&run(Isolation::Process, Codec::Bincode, &AMONG_SMALL));
}

#[test]
fn an_item_of_200_mebibytes_arrives_whole_in_a_thread() {
    assert_whole(&run(Isolation::Thread, Codec::Bincode, &AMONG_SMALL));
}

#[test]
fn an_item_of_200_mebibytes_arrives_whole_in_an_asynchronous_worker() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let job = job::<Concurrent<AsyncWeigher>>(dir.path(), Isolation::Process);
    let handle = job.start(source(&AMONG_SMALL)).expect("the job starts");
    assert_whole(&end(handle, dir.path()));
}

#[test]
fn large_and_small_items_keep_their_keys() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let len_of = |nth: usize| if nth < 12 && nth % 3 == 1 { LARGE + nth } else { nth };
    let loads = move || (0..12).map(move |nth| (nth.to_string(), load(Deed::Weigh, len_of(nth))));
    let handle = job::<Weigher>(dir.path(), Isolation::Process).start(keyed(loads)).expect("the job starts");
    for nth in 100..110 {
        handle.add(nth.to_string(), &load(Deed::Weigh, nth)).expect("it is added");
    }
    let outcomes = end(handle, dir.path());
    assert_eq!(outcomes.len(), 22);
    for outcome in &outcomes {
        let nth = outcome.key.to_string().parse().expect("a number");
        assert_eq!(weighed(outcome).len, len_of(nth), "{}", outcome.key);
    }
}

#[test]
fn a_large_item_arrives_as_json_too() {
    let outcomes = run(Isolation::Process, Codec::Json, &[(Deed::Weigh, LARGE / 2)]);
    assert_eq!(weighed(&outcomes[0]), &weight(&load(Deed::Weigh, LARGE / 2), 1));
}

#[test]
fn a_crash_on_a_large_item_is_charged_to_it_alone_and_it_is_tried_alone() {
    let loads = [(Deed::Weigh, LARGE), (Deed::Abort, LARGE), (Deed::AbortOnce, LARGE), (Deed::Weigh, 5)];
    let outcomes = run(Isolation::Process, Codec::Bincode, &loads);
    let OutcomeResult::Quarantined(evidence) = &outcomes[1].result else {
        panic!("{:?}", outcomes[1].result)
    };
    assert_eq!((&*evidence.kind, outcomes[1].attempts), ("SIGABRT", 2));
    assert_eq!((weighed(&outcomes[0]).attempt, weighed(&outcomes[3]).attempt), (1, 1));
    assert_eq!(weighed(&outcomes[2]), &weight(&load(Deed::AbortOnce, LARGE), 2));
}

#[test]
fn a_large_item_is_tried_again_with_what_it_saved() {
    for isolation in [Isolation::Process, Isolation::Thread] {
        let outcomes = run(
            isolation,
            Codec::Bincode,
            &[(Deed::FailOnce, LARGE), (Deed::SaveOnce, LARGE), (Deed::SaveOnce, 7)],
        );
        assert_eq!(weighed(&outcomes[0]), &weight(&load(Deed::FailOnce, LARGE), 2), "{isolation:?}");
        let saved = Weight { state: "half".into(), ..weight(&load(Deed::SaveOnce, LARGE), 2) };
        assert_eq!(weighed(&outcomes[1]), &saved, "{isolation:?}");
    }
}

#[test]
fn a_large_item_goes_on_from_what_it_saved_in_the_next_session() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let loads = [(Deed::Weigh, 5), (Deed::SaveAndWait, LARGE)];
    let handle =
        job::<Weigher>(dir.path(), Isolation::Process).start(source(&loads)).expect("the job starts");
    wait_until("it is open", PATIENCE, || {
        handle.snapshot().workers.iter().any(|worker| worker.item.as_deref() == Some("#1"))
    });
    support::pause(Duration::from_millis(300)); // longer than a state may wait
    handle.cancel();
    handle.wait_timeout(PATIENCE).expect("the job ends").expect("a report");

    let handle =
        job::<Weigher>(dir.path(), Isolation::Process).start(source(&loads)).expect("the job starts");

    let outcomes = end(handle, dir.path());
    assert_eq!((weighed(&outcomes[1]).len, &*weighed(&outcomes[1]).state), (LARGE, "half"));
}

/// The hostile item comes first and is alone with its file; the others' are written behind it.
fn assert_hurts_itself_alone(deed: Deed, says: &str) {
    let outcomes = run(Isolation::Process, Codec::Bincode, &[(deed, LARGE), (Deed::Weigh, 5)]);
    let OutcomeResult::Failed(evidence) = &outcomes[0].result else { panic!("{:?}", outcomes[0].result) };
    assert!(evidence.message.contains(says), "{evidence:?}");
    assert_eq!(weighed(&outcomes[1]).len, 5);
}

#[test]
fn a_worker_that_cuts_the_file_of_its_item_hurts_that_item_alone() {
    assert_hurts_itself_alone(Deed::CutFiles, "bytes and had");
}

#[test]
fn a_worker_that_removes_the_file_of_its_item_hurts_that_item_alone() {
    assert_hurts_itself_alone(Deed::RemoveFiles, "cannot be read");
}

#[test]
fn a_job_that_is_cancelled_leaves_no_file_of_a_large_item() {
    for isolation in [Isolation::Process, Isolation::Thread] {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let handle = job::<Weigher>(dir.path(), isolation)
            .start(source(&[(Deed::Wait, LARGE); 6]))
            .expect("the job starts");
        wait_until("a worker has it open", PATIENCE, || {
            handle.snapshot().workers.iter().any(|worker| worker.item.is_some())
        });
        assert!(!item_files(dir.path()).is_empty());
        handle.cancel();
        let report = handle.wait_timeout(PATIENCE).expect("the job ends").expect("a report");
        assert_eq!(report.ended, Ended::Cancelled);
        assert_eq!(item_files(dir.path()), [] as [PathBuf; 0], "{isolation:?}");
    }
}

/// A source of any length may have large items: few of them are on the disk at a time.
#[test]
fn no_more_files_lie_on_the_disk_than_workers_can_soon_use() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let handle = job::<Weigher>(dir.path(), Isolation::Process)
        .start(source(&[(Deed::Weigh, LARGE); 40]))
        .expect("the job starts");
    let mut most = 0;
    while handle.wait_timeout(Duration::from_millis(1)).is_none() {
        most = most.max(item_files(dir.path()).len());
    }
    assert_eq!(end(handle, dir.path()).len(), 40);
    // Two leases for each of two workers, what is ready and asked for (four chunks), one that is being written, and some about to be removed.
    assert!((1..=16).contains(&most), "{most}");
}

#[test]
fn an_item_that_is_too_large_to_be_added_is_refused_and_the_job_goes_on() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let loads = || [(b"first".to_vec(), load(Deed::Wait, 5))];
    let handle = job::<Weigher>(dir.path(), Isolation::Process).start(keyed(loads)).expect("the job starts");
    let refused = handle.add(b"large", &load(Deed::Weigh, 33 << 20));
    assert!(matches!(refused, Err(AddError::TooLarge { max }) if max == 32 << 20), "{refused:?}");
    handle.add(b"small", &load(Deed::Weigh, 20 << 20)).expect("it is added");
    let outcome = handle.outcomes().next().expect("an outcome").expect("a readable one");
    assert_eq!(weighed(&outcome).len, 20 << 20);
    handle.cancel();
    handle.wait_timeout(PATIENCE).expect("the job ends").expect("a report");
}

const STORE: &str = "COFFERDAM_TEST_STORE";

/// Not a test of its own: the host that dies. The test below starts this binary again with the store's place.
#[test]
fn host_entry() {
    let Some(store) = std::env::var_os(STORE) else { return };
    let store = Path::new(&store);
    let handle = job::<Weigher>(store, Isolation::Process)
        .start(source(&[(Deed::Wait, LARGE); 2]))
        .expect("the job starts");
    wait_until("a worker has it open", PATIENCE, || {
        handle.snapshot().workers.iter().any(|worker| worker.item.is_some())
    });
    cofferdam_testkit::kill_this_process();
}

#[test]
fn files_of_large_items_that_a_killed_host_leaves_are_removed_by_the_next_start() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let mut host = support::command(std::env::current_exe().expect("this binary"));
    host.args(["--exact", "host_entry", "--nocapture"]).env(STORE, dir.path());
    let status = host.status().expect("a host");
    assert!(!status.success(), "it kills itself");
    let left = item_files(dir.path());
    assert!(!left.is_empty(), "nobody was there to remove them");

    let handle = job::<Weigher>(dir.path(), Isolation::Process)
        .start(source(&[(Deed::Weigh, 5)]))
        .expect("the job starts");

    assert_eq!(item_files(dir.path()), [] as [PathBuf; 0]);
    assert_eq!(end(handle, dir.path()).len(), 1);
}
