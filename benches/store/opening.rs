//! Opening large jobs after a crash, each in a process of its own, so that what it takes in memory shows.

use crate::journal::{self, NAME};
use crate::support::case::{Case, Failed, Figure};
use crate::support::store::store;
use cofferdam_checkpoint::{Batch, JobSpec, JobStore};
use cofferdam_pipeline_core::{Keying, push_entry_len};
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The first argument of the process that opens a store and says what that took.
pub const CHILD: &str = "--open-and-tell";

/// Outcomes of one commit.
const GROUP: u64 = 1000;

/// A job of many items that somebody still works on; opened with its snapshots and without. Each time its files are read first: the gates
/// ask for a warm page cache, and a kernel that reclaims what looks cold takes it away between two rounds.
pub struct Opening {
    with: &'static str,
    without: &'static str,
    memory: &'static str,
    keying: Keying,
    items: u64,
    /// Held open, so that it never closes in an orderly way.
    job: Option<(TempDir, JobStore)>,
}

impl Opening {
    /// `names` are those of the figures: seconds with snapshots, seconds without, bytes an item. The job is made when it is first
    /// opened.
    pub fn new([with, without, memory]: [&'static str; 3], keying: Keying, items: u64) -> Self {
        Self { with, without, memory, keying, items, job: None }
    }

    fn make(&self) -> Result<(TempDir, JobStore), Failed> {
        let dir = store()?;
        let spec = JobSpec { keying: self.keying, ..journal::spec() };
        let job = journal::store(&dir.path().join("store"))?.create_job(NAME, &spec)?;
        let mut outputs = Vec::new();
        for _ in 0..GROUP {
            push_entry_len(&mut outputs, 8);
            outputs.extend_from_slice(&[7; 8]);
        }
        for first in (0..self.items).step_by(GROUP as usize) {
            match self.keying {
                Keying::Dense => job.submit(Batch::completed_dense(first, GROUP as u32, 1, &outputs)?)?,
                Keying::Keyed => {
                    let keys: Vec<_> = (first..first + GROUP).map(|n| format!("item-{n:012}")).collect();
                    let keys = keys.iter().map(|key| (key.as_bytes(), None));
                    job.submit(Batch::completed_keyed(keys, 1, &outputs)?)?
                }
            };
        }
        while job.wait_durable_after(self.items - 1, Duration::from_secs(60)) < self.items {}
        Ok((dir, job))
    }

    fn open(&mut self, has_snapshots: bool) -> Result<Told, Failed> {
        if self.job.is_none() {
            self.job = Some(self.make()?);
        }
        let (dir, _) = self.job.as_ref().expect("made above");
        let crashed = store()?;
        link_dir(&dir.path().join("store"), crashed.path(), has_snapshots)?;
        warm(crashed.path())?;
        let child = Command::new(std::env::current_exe()?).arg(CHILD).arg(crashed.path()).output()?;
        let told = String::from_utf8(child.stdout)?;
        let numbers: Result<Vec<_>, _> = told.split_whitespace().map(str::parse::<f64>).collect();
        match (child.status.success(), numbers.as_deref()) {
            (true, Ok(&[seconds, bytes, outcomes, covered, from_disk])) if outcomes == self.items as f64 => {
                Ok(Told { seconds, bytes: bytes / outcomes, behind: outcomes - covered, from_disk })
            }
            _ => {
                Err(format!("the opening process said {told:?}: {}", String::from_utf8_lossy(&child.stderr))
                    .into())
            }
        }
    }
}

/// What opening took.
struct Told {
    seconds: f64,
    /// Of memory, an item.
    bytes: f64,
    /// Outcomes that were read one by one, since no snapshot has them.
    behind: f64,
    /// Bytes that came from the disk: they were not in the page cache.
    from_disk: f64,
}

impl Case for Opening {
    fn name(&self) -> &'static str {
        self.with
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let (with, without) = (self.open(true)?, self.open(false)?);
        Ok(vec![
            Figure::new(self.with, with.seconds, "s"),
            Figure::new(format!("{}.behind", self.with), with.behind, "outcomes"),
            Figure::new(format!("{}.from_disk", self.with), with.from_disk, "B"),
            Figure::new(self.without, without.seconds, "s"),
            Figure::new(format!("{}.from_disk", self.without), without.from_disk, "B"),
            Figure::new(self.memory, with.bytes, "bytes"),
        ])
    }
}

/// The life of the process that opens the store at `root`.
pub fn open_and_tell(root: &Path) -> Result<(), Failed> {
    let (before, read_before) = (resident_bytes()?, bytes_from_disk()?);
    let began = Instant::now();
    let job = journal::store(root)?.open_job(NAME)?;
    let took = began.elapsed().as_secs_f64();
    let bytes = resident_bytes()?.saturating_sub(before);
    let from_disk = bytes_from_disk()? - read_before;
    let covered = job.recovery().snapshot.unwrap_or(0);
    println!("{took} {bytes} {} {covered} {from_disk}", job.counts().completed);
    // An orderly end would write a snapshot, which nobody measures.
    std::process::exit(0);
}

fn resident_bytes() -> Result<u64, Failed> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// Of this process; 0 where the kernel does not count them.
fn bytes_from_disk() -> Result<u64, Failed> {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    Ok(io.lines().find_map(|line| line.strip_prefix("read_bytes: ")).unwrap_or("0").parse()?)
}

/// Reads all files once, so that they are in the page cache.
fn warm(dir: &Path) -> Result<(), Failed> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            warm(&entry.path())?;
        } else {
            std::io::copy(&mut File::open(entry.path())?, &mut std::io::sink())?;
        }
    }
    Ok(())
}

/// A copy in which segments and snapshots, which nobody changes, are the same files.
pub fn link_dir(from: &Path, to: &Path, has_snapshots: bool) -> Result<(), Failed> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            link_dir(&entry.path(), &target, has_snapshots)?;
        } else if name.starts_with("snap-") {
            if has_snapshots {
                std::fs::hard_link(entry.path(), target)?;
            }
        } else if name.starts_with("seg-") {
            std::fs::hard_link(entry.path(), target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
