//! A processor that does what each item says.

use cofferdam_pipeline_core::{Context, Failure, FailureKind, Processor, StartContext};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// What the processor does with an item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Act {
    /// Returns the number.
    Echo(u32),
    /// Returns this many bytes.
    Bytes(usize),
    /// Returns a failure that asks for patience.
    RateLimited(u64),
    /// Leaves traces, then panics.
    Panic(String),
    /// Tells the test that it is inside, then waits until the test lets it go. Leaves traces first.
    Wait,
    /// As `Wait`, then calls `check`.
    WaitThenCheck,
    /// Calls `check` until it fails.
    CheckForEver,
}

/// How `start` behaves, and which test's gate the processor uses.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub gate: u64,
    pub start: Start,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Start {
    Succeed,
    Fail,
    Panic,
    Wait,
}

/// The test's end of a gate.
pub struct Gate {
    pub number: u64,
    /// Gets a word for each event inside the worker.
    pub inside: Receiver<&'static str>,
    /// Lets one waiting item go.
    pub go: Sender<()>,
}

struct WorkerEnd {
    inside: Sender<&'static str>,
    go: Receiver<()>,
}

static GATES: OnceLock<Mutex<HashMap<u64, WorkerEnd>>> = OnceLock::new();

fn gates() -> std::sync::MutexGuard<'static, HashMap<u64, WorkerEnd>> {
    GATES.get_or_init(Mutex::default).lock().unwrap()
}

impl Gate {
    /// A fresh gate; one worker takes its other end.
    pub fn new() -> Self {
        let (inside, inside_receiver) = channel();
        let (go, go_receiver) = channel();
        let mut gates = gates();
        let number = gates.keys().max().map_or(1, |n| n + 1);
        gates.insert(number, WorkerEnd { inside, go: go_receiver });
        Self { number, inside: inside_receiver, go }
    }

    /// Waits until the worker says this.
    pub fn expect(&self, word: &str) {
        assert_eq!(
            self.inside.recv_timeout(Duration::from_secs(20)).expect("the worker says something"),
            word
        );
    }
}

pub struct Actor {
    inside: Sender<&'static str>,
    go: Receiver<()>,
}

impl Processor for Actor {
    const NAME: &'static str = "actor";
    const VERSION: u32 = 1;
    type Item = Act;
    type Output = Vec<u8>;
    type Config = Plan;

    fn start(plan: Plan, cx: &StartContext<'_>) -> Result<Self, Failure> {
        cx.stage("starting");
        let taken = {
            let mut gates = gates();
            let end = gates.get_mut(&plan.gate).expect("the test made the gate");
            // The number stays taken.
            std::mem::replace(end, WorkerEnd { inside: channel().0, go: channel().1 })
        };
        let actor = Self { inside: taken.inside, go: taken.go };
        match plan.start {
            Start::Succeed => Ok(actor),
            Start::Fail => Err(Failure::transient("no model")),
            Start::Panic => panic!("start is broken"),
            Start::Wait => {
                actor.wait();
                Ok(actor)
            }
        }
    }

    fn process(&mut self, act: Act, cx: &Context<'_>) -> Result<Vec<u8>, Failure> {
        match act {
            Act::Echo(number) => Ok(number.to_le_bytes().to_vec()),
            Act::Bytes(len) => Ok(vec![7; len]),
            Act::RateLimited(ms) => {
                let retry_after = Duration::from_millis(ms);
                Err(Failure::new(FailureKind::RateLimited { retry_after }, "slow down"))
            }
            Act::Panic(message) => {
                trace(cx);
                panic!("{message}")
            }
            Act::Wait => {
                trace(cx);
                self.wait();
                Ok(b"waited".to_vec())
            }
            Act::WaitThenCheck => {
                self.wait();
                cx.check()?;
                Ok(b"checked".to_vec())
            }
            Act::CheckForEver => {
                self.say("checking");
                loop {
                    cx.check()?;
                    std::thread::yield_now();
                }
            }
        }
    }

    fn stop(&mut self) {
        self.say("stopped");
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.say("dropped");
    }
}

impl Actor {
    fn wait(&self) {
        self.say("waiting");
        // A test that is over lets everybody go.
        let _ = self.go.recv();
    }

    fn say(&self, word: &'static str) {
        let _ = self.inside.send(word);
    }
}

fn trace(cx: &Context<'_>) {
    cx.stage("decode");
    cx.progress(3, 14);
    cx.message("page 3");
    cx.breadcrumb("opened");
    cx.breadcrumb("parsed");
}
