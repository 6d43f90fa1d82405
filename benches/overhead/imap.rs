//! Python's multiprocessing with hand-made chunks: the fastest of the pools that people use. It keeps nothing, and its pool is warm.

use crate::support::case::{Case, Failed, Figure};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub struct Imap {
    items: u64,
    python: Child,
    ask: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Imap {
    /// Starts Python; an error says why this machine cannot run the case.
    pub fn start(items: u64) -> Result<Self, Failed> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/overhead/imap.py");
        let mut python = Command::new("python3")
            .args([script, &items.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("python3 cannot be started ({e})"))?;
        let ask = python.stdin.take();
        let answers = BufReader::new(python.stdout.take().expect("piped"));
        let mut imap = Self { items, python, ask, answers };
        match imap.answer()?.trim() {
            "ready" => Ok(imap),
            other => Err(format!("python3 answered {other:?}").into()),
        }
    }

    fn answer(&mut self) -> Result<String, Failed> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.is_empty() { Err("python3 ended".into()) } else { Ok(line) }
    }
}

impl Case for Imap {
    fn name(&self) -> &'static str {
        "trivial_u64.imap_chunked"
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        self.ask.as_mut().expect("open until dropped").write_all(b"round\n")?;
        let seconds: f64 = self.answer()?.trim().parse()?;
        Ok(vec![Figure::new(self.name(), seconds * 1e6 / self.items as f64, "us/item")])
    }
}

impl Drop for Imap {
    fn drop(&mut self) {
        self.ask = None; // the end of its input is the end of its rounds
        // A benchmark has nobody to tell.
        let _ = self.python.wait();
    }
}
