//! Fills a segment with zeros ahead of what is written, so that a sync need not allocate.

use super::room::{Reserve, Room};
use crate::disk::{DiskFile, write_all_at};
use crate::limits::{FILL_MAX, FILL_MIN};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// When a segment is filled ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FillAhead {
    /// By a thread of its own, when the file system writes in place.
    #[default]
    Background,
    /// By the thread that writes, after its sync: the same calls in an order that a test can repeat.
    Inline,
    /// Never.
    Off,
}

/// The state that writer and filling thread share for one segment.
#[derive(Debug)]
pub(crate) struct Filler {
    file: Arc<dyn DiskFile>,
    room: Room,
    state: Mutex<State>,
    changed: Condvar,
    step_min: u64,
}

#[derive(Debug)]
struct State {
    /// Everything before is written, with zeros or frames.
    filled_end: u64,
    /// Where the writer is.
    written_end: u64,
    /// The filling thread writes from here on now: the writer stays in front of it.
    claim: Option<u64>,
    /// Bytes beyond what is filled that the writer may write before it asks for room again.
    granted: u64,
    /// There was too little room for a step: none is tried until the writer has found some.
    is_short: bool,
    ended: bool,
}

/// How a step of filling went wrong.
#[derive(Debug)]
pub(crate) enum FillError {
    /// Zeros could not be written: harmless, the writer will see for itself.
    Write,
    /// A sync failed, and it may have been the writer's data that is lost.
    Sync(io::Error),
}

impl Filler {
    pub(crate) fn new(file: Arc<dyn DiskFile>, room: Room, written_end: u64, step_min: u64) -> Arc<Self> {
        let state = State {
            filled_end: written_end,
            written_end,
            claim: None,
            granted: 0,
            is_short: false,
            ended: false,
        };
        Arc::new(Self { file, room, state: Mutex::new(state), changed: Condvar::new(), step_min })
    }

    /// The writer is about to write up to `end`; waits while that is being filled (one step, so milliseconds).
    ///
    /// # Errors
    /// `StorageFull` when that lies beyond what is filled and there is no room for it; nothing was written.
    pub(crate) fn before_append(&self, end: u64, reserve: Reserve) -> io::Result<()> {
        let mut state = self.lock();
        while state.claim.is_some_and(|start| end > start) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let beyond = end.saturating_sub(state.filled_end);
        if beyond > state.granted {
            state.granted = self.room.grant(beyond, reserve)?;
            state.is_short = false;
        }
        state.granted -= beyond;
        state.written_end = end;
        state.filled_end = state.filled_end.max(end);
        let is_due = step(&state, self.step_min).is_some();
        drop(state);
        if is_due {
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Fills one step if it is time.
    pub(crate) fn fill_if_due(&self) -> Result<(), FillError> {
        let mut state = self.lock();
        let Some(len) = step(&state, self.step_min).filter(|_| state.claim.is_none()) else { return Ok(()) };
        if self.room.grant(len, Reserve::Kept).is_err() {
            tracing::debug!("nothing is filled ahead: the disk is getting full");
            state.is_short = true;
            return Ok(());
        }
        let start = state.filled_end;
        state.claim = Some(start);
        drop(state);
        let result = self.write_zeros(start, len);
        let mut state = self.lock();
        state.claim = None;
        if result.is_ok() {
            state.filled_end = state.filled_end.max(start + len);
            // That was granted before this took room.
            state.granted = 0;
        } else {
            state.ended = true;
        }
        drop(state);
        self.changed.notify_all();
        result
    }

    /// The thread's life: fills until [`Self::end`] or the first error.
    pub(crate) fn run(&self) -> Result<(), FillError> {
        loop {
            let mut state = self.lock();
            while !state.ended && step(&state, self.step_min).is_none() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.ended {
                return Ok(());
            }
            drop(state);
            self.fill_if_due()?;
        }
    }

    /// Lets [`Self::run`] return.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    fn write_zeros(&self, start: u64, len: u64) -> Result<(), FillError> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        let mut at = start;
        while at < start + len {
            let part = (start + len - at).min(ZEROS.len() as u64) as usize;
            write_all_at(self.file.as_ref(), &ZEROS[..part], at).map_err(|_| FillError::Write)?;
            at += part as u64;
        }
        self.file.sync_data().map_err(FillError::Sync)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As much again as was written, within bounds, when half of the last step is used up.
fn step(state: &State, step_min: u64) -> Option<u64> {
    let written = state.written_end.saturating_sub(crate::format::segment::FRAMES_START);
    let len = written.next_power_of_two().clamp(step_min, FILL_MAX.max(step_min));
    (!state.ended && !state.is_short && state.filled_end - state.written_end < len / 2).then_some(len)
}

/// The least step of a real disk.
pub(crate) const STEP_MIN: u64 = FILL_MIN;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::segment::FRAMES_START;
    use crate::journal::test_file::TestFile;
    use crate::real_disk::RealDisk;
    use std::time::Duration;

    fn state(written_end: u64, ahead: u64) -> State {
        State {
            filled_end: written_end + ahead,
            written_end,
            claim: None,
            granted: 0,
            is_short: false,
            ended: false,
        }
    }

    fn filler(file: &Arc<TestFile>, step_min: u64) -> Arc<Filler> {
        let room = Room::new(&RealDisk::shared(), &std::env::temp_dir());
        Filler::new(file.clone(), room, FRAMES_START, step_min)
    }

    #[test]
    fn a_step_doubles_what_is_written_when_half_of_the_last_one_is_used_up() {
        let step_at = |written, ahead| step(&state(FRAMES_START + written, ahead), 4096);
        assert_eq!([0, 2047, 2048].map(|ahead| step_at(0, ahead)), [Some(4096), Some(4096), None]);
        assert_eq!([8191, 8192].map(|ahead| step_at(10_000, ahead)), [Some(16_384), None]);
        assert_eq!(step_at(100 << 20, 0), Some(FILL_MAX));
        let ended = State { ended: true, ..state(FRAMES_START, 0) };
        assert_eq!(step(&ended, 4096), None);
        let short = State { is_short: true, ..state(FRAMES_START, 0) };
        assert_eq!(step(&short, 4096), None);
    }

    #[test]
    fn one_step_is_written_in_pieces_without_a_gap_and_once() {
        const STEP: u64 = (3 << 16) + 4096;
        let file = Arc::new(TestFile::default());
        let filler = filler(&file, STEP);
        filler.fill_if_due().unwrap();
        filler.fill_if_due().unwrap();
        let pieces = file.pieces.lock().unwrap().clone();
        assert_eq!(
            pieces.iter().map(|(_, len)| *len as u64).collect::<Vec<_>>(),
            [1 << 16, 1 << 16, 1 << 16, 4096]
        );
        assert_eq!(pieces[0].0, FRAMES_START);
        assert!(pieces.windows(2).all(|pair| pair[0].0 + pair[0].1 as u64 == pair[1].0));
        assert_eq!(filler.lock().filled_end, FRAMES_START + STEP);
    }

    #[test]
    fn the_writer_passes_in_front_of_what_is_being_filled_and_waits_within_it() {
        let filler = filler(&Arc::new(TestFile::default()), 4096);
        filler.lock().claim = Some(FRAMES_START + 100);
        let (passed, is_passed) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                filler.before_append(FRAMES_START + 99, Reserve::Kept).unwrap();
                filler.before_append(FRAMES_START + 100, Reserve::Kept).unwrap();
                passed.send(filler.lock().written_end).unwrap();
                filler.before_append(FRAMES_START + 101, Reserve::Kept).unwrap();
                passed.send(filler.lock().written_end).unwrap();
            });
            let first = is_passed.recv_timeout(Duration::from_secs(60));
            let between = filler.lock().written_end;
            filler.lock().claim = None;
            filler.changed.notify_all();
            assert_eq!((first, between), (Ok(FRAMES_START + 100), FRAMES_START + 100));
            assert_eq!(is_passed.recv_timeout(Duration::from_secs(60)), Ok(FRAMES_START + 101));
        });
    }

    #[test]
    fn the_filling_thread_fills_whenever_a_step_is_due_until_it_is_told_to_end() {
        let filler = filler(&Arc::new(TestFile::default()), 4096);
        let deadline = crate::clock::now() + Duration::from_secs(60);
        let until_filled = |end: u64| {
            while filler.lock().filled_end < end {
                assert!(crate::clock::now() < deadline, "nothing is filled");
                std::thread::yield_now();
            }
        };
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| filler.run().is_ok());
            until_filled(FRAMES_START + 4096);
            filler.before_append(FRAMES_START + 4096, Reserve::Kept).unwrap();
            until_filled(FRAMES_START + 8192);
            filler.end();
            while !thread.is_finished() {
                assert!(crate::clock::now() < deadline, "it does not end");
                std::thread::yield_now();
            }
            assert!(thread.join().unwrap());
        });
    }
}
