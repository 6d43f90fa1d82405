//! The limits: a length and bytes over a blocking stream, there and back.

use crate::PAYLOAD_BYTES;
use crate::support::case::{Case, Failed, Figure};
use crate::sys;
use crc_fast::CrcAlgorithm;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::Instant;

/// The argument with which this program is the child of this yardstick.
const CHILD: &str = "--stream-child";
/// Behind it: both sides checksum what they send and what they receive, and the child makes a value of what it got and its answer of that value,
/// as a channel that carries types does: two copies.
const TYPED: &str = "--typed";

/// A child that sends back what it gets.
struct Peer {
    child: Child,
    stream: Option<sys::Stream>,
    answer: Vec<u8>,
}

impl Peer {
    fn start(is_typed: bool) -> Result<Self, Failed> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(CHILD);
        if is_typed {
            command.arg(TYPED);
        }
        let (child, stream) = sys::child_with_stream(command)?;
        Ok(Self { child, stream: Some(stream), answer: Vec::new() })
    }

    /// There and back; the answer is in the peer's buffer.
    fn echo(&mut self, payload: &[u8]) -> Result<&[u8], Failed> {
        let stream = self.stream.as_mut().expect("open until dropped");
        send(stream, payload)?;
        if receive(stream, &mut self.answer)? {
            Ok(&self.answer)
        } else {
            Err("the child of the stream ended early".into())
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stream = None; // the end of its input is the end of the child
        // A benchmark has nobody to tell.
        let _ = self.child.wait();
    }
}

/// One round trip after the other.
pub struct Stream {
    peer: Peer,
    is_typed: bool,
    echoes: u64,
    payload: Vec<u8>,
}

impl Stream {
    pub fn start(echoes: u64, is_typed: bool) -> Result<Self, Failed> {
        Ok(Self { peer: Peer::start(is_typed)?, is_typed, echoes, payload: vec![7; PAYLOAD_BYTES] })
    }
}

impl Case for Stream {
    fn name(&self) -> &'static str {
        if self.is_typed { "echo16m.stream_typed" } else { "echo16m.stream" }
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let began = Instant::now();
        for _ in 0..self.echoes {
            if self.is_typed {
                checksum(&self.payload);
            }
            let answer = self.peer.echo(&self.payload)?;
            if self.is_typed {
                checksum(answer);
            }
        }
        let took = began.elapsed();
        if self.peer.answer != self.payload {
            return Err("the stream returned something else".into());
        }
        Ok(vec![Figure::new(self.name(), took.as_secs_f64() * 1e6 / self.echoes as f64, "us/item")])
    }
}

/// What is done beside writing, syncing and renaming.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Care {
    None,
    /// A checksum of what is sent and of what is received, the hash of the answer, and a sync of the directory after the renaming.
    AsTheStore,
}

/// Two streams at a time; each answer becomes a file, synced and renamed.
pub struct WriteSyncRename {
    peers: [Peer; 2],
    items: u64,
    payload: Vec<u8>,
    care: Care,
}

impl WriteSyncRename {
    pub fn start(items: u64, care: Care) -> Result<Self, Failed> {
        let peers = [Peer::start(false)?, Peer::start(false)?];
        Ok(Self { peers, items, payload: vec![7; PAYLOAD_BYTES], care })
    }
}

impl Case for WriteSyncRename {
    fn name(&self) -> &'static str {
        match self.care {
            Care::None => "echo16m.stream_write_sync_rename",
            Care::AsTheStore => "echo16m.stream_careful",
        }
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let (dir, payload, items, care) = (dir.path(), &self.payload, self.items, self.care);
        let began = Instant::now();
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for (number, peer) in (0u64..).zip(&mut self.peers) {
                let mut items = (number..items).step_by(2);
                threads.push(
                    scope.spawn(move || {
                        items.try_for_each(|item| keep_answer(peer, item, payload, dir, care))
                    }),
                );
            }
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| "a thread of the stream panicked")?)
        })?;
        let took = began.elapsed();
        if fs::read_dir(dir)?.count() as u64 != items {
            return Err("the stream lost files".into());
        }
        Ok(vec![Figure::new(self.name(), took.as_secs_f64() * 1e6 / items as f64, "us/item")])
    }
}

fn keep_answer(peer: &mut Peer, item: u64, payload: &[u8], dir: &Path, care: Care) -> Result<(), Failed> {
    if care == Care::AsTheStore {
        checksum(payload);
    }
    let answer = peer.echo(payload)?;
    if care == Care::AsTheStore {
        checksum(answer);
        black_box(blake3::hash(answer));
    }
    let staged = dir.join(format!("staged-{item}"));
    let mut file = File::create_new(&staged)?;
    file.write_all(answer)?;
    file.sync_data()?;
    drop(file);
    fs::rename(&staged, dir.join(format!("output-{item}")))?;
    if care == Care::AsTheStore {
        sys::sync_dir(dir)?;
    }
    Ok(())
}

/// In the child: serves the stream and does not return.
pub fn child_line() -> Result<(), Failed> {
    if std::env::args().nth(1).as_deref() != Some(CHILD) {
        return Ok(());
    }
    let mut stream = sys::stream_of_child()?;
    let (mut payload, mut answer) = (Vec::new(), Vec::new());
    let is_typed = std::env::args().nth(2).as_deref() == Some(TYPED);
    while receive(&mut stream, &mut payload)? {
        if is_typed {
            checksum(&payload);
            let value = black_box(payload.to_vec());
            answer.clear();
            answer.extend_from_slice(&value);
            checksum(&answer);
            send(&mut stream, &answer)?;
        } else {
            send(&mut stream, &payload)?;
        }
    }
    std::process::exit(0)
}

fn checksum(bytes: &[u8]) {
    black_box(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes));
}

fn send(to: &mut impl Write, payload: &[u8]) -> Result<(), Failed> {
    to.write_all(&(payload.len() as u64).to_le_bytes())?;
    Ok(to.write_all(payload)?)
}

/// False at the end of the stream.
fn receive(from: &mut impl Read, payload: &mut Vec<u8>) -> Result<bool, Failed> {
    let mut len = [0; 8];
    match from.read_exact(&mut len) {
        Err(end) if end.kind() == ErrorKind::UnexpectedEof => return Ok(false),
        other => other?,
    }
    payload.resize(usize::try_from(u64::from_le_bytes(len))?, 0);
    from.read_exact(payload)?;
    Ok(true)
}
