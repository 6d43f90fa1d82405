//! Runs the built program and looks at what it leaves behind.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests end on surprises and start processes"
)]
#![allow(dead_code, reason = "each test file uses a part of it")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// No run of these tests takes nearly as long; beyond it something hangs.
const RUN_MAX: Duration = Duration::from_secs(120);
/// Between two looks at a child.
const LOOK: Duration = Duration::from_millis(2);

/// A folder of inputs beside an out folder, gone with the test.
pub struct Bench {
    dir: tempfile::TempDir,
    out: PathBuf,
}

/// What a run left behind.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Bench {
    /// `count` small text files `00.txt`, `01.txt`, … with different words.
    pub fn with_texts(count: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bench = Self { out: dir.path().join("out"), dir };
        fs::create_dir(bench.inputs()).unwrap();
        for i in 0..count {
            bench.put(
                &format!("{i:02}.txt"),
                &format!("Note {i}\n\nThe tide of day {i} reached the gate. Word{i} is its own."),
            );
        }
        bench
    }

    pub fn put(&self, name: &str, content: &str) {
        fs::write(self.inputs().join(name), content).unwrap();
    }

    pub fn inputs(&self) -> PathBuf {
        self.dir.path().join("in")
    }

    pub fn out(&self) -> PathBuf {
        self.out.clone()
    }

    /// From now on the out folder is another one.
    pub fn set_out(&mut self, out: PathBuf) {
        self.out = out;
    }

    /// The program on the inputs, with two workers.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ingest"));
        command.arg(self.inputs()).arg("--out").arg(self.out()).args(["--workers", "2", "--json"]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        finish(self.command(args).spawn().unwrap())
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.out().join(name)).unwrap()
    }

    pub fn lines(&self, name: &str) -> Vec<Value> {
        self.read(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The keys in one of the outputs.
    pub fn keys(&self, name: &str) -> Vec<String> {
        self.lines(name).iter().map(|line| line["key"].as_str().unwrap().to_owned()).collect()
    }

    /// What was set aside, by key: outcome and kind.
    pub fn failures(&self) -> BTreeMap<String, (String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let lines = self.lines("failures.jsonl");
        lines.iter().map(|line| (text(&line["key"]), (text(&line["outcome"]), text(&line["kind"])))).collect()
    }

    /// All that must not depend on how a run went.
    pub fn results(&self) -> (String, String, BTreeMap<String, (String, String)>) {
        (self.read("knowledge.jsonl"), self.read("index.md"), self.failures())
    }
}

impl Ran {
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("ended by a signal: {self:?}"))
    }

    /// The last line of stdout.
    pub fn json(&self) -> Value {
        let last = self.stdout.lines().last().unwrap_or_else(|| panic!("nothing on stdout: {self:?}"));
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that it ran to its end.
    pub fn complete(self) -> Self {
        assert_eq!(self.code(), 0, "{}", self.stderr);
        self
    }
}

/// Waits for a child, reading what it says; kills it and fails when it hangs.
pub fn finish(mut child: Child) -> Ran {
    let stdout = child.stdout.take().unwrap();
    let stderr = child.stderr.take().unwrap();
    let stdout = std::thread::spawn(|| std::io::read_to_string(stdout).unwrap());
    let stderr = std::thread::spawn(|| std::io::read_to_string(stderr).unwrap());
    let status = wait(&mut child, RUN_MAX);
    if status.is_none() {
        child.kill().unwrap();
    }
    let status_now = child.wait().unwrap();
    let ran = Ran { status: status_now, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() };
    assert!(status.is_some(), "hung: {ran:?}");
    ran
}

/// The child's status, if it ends within `max`.
pub fn wait(child: &mut Child, max: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + max;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(LOOK);
    }
}

/// The children of a process; empty once it is gone.
#[cfg(target_os = "linux")]
pub fn children_of(pid: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let list = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        children.extend(list.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    children
}

/// Sends a signal; a process that is gone already is no error.
#[cfg(unix)]
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill")
        .args([&format!("-{name}"), "--", &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// Where a test wants randomness: splitmix64 from a printed seed.
pub struct Random(pub u64);

impl Random {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
