//! How much a reader that was told to stop may still read, where the kernel does not keep count.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const UNLIMITED: u64 = u64::MAX;

/// Lets the one reader of a stream take what was there when it learned of the stop, and no more: others may hold the
/// peer's end and write for ever.
#[derive(Debug)]
pub(super) struct Allowance {
    stopping: AtomicBool,
    /// Bytes that may still be read. Only the reader touches it.
    left: AtomicU64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { stopping: AtomicBool::new(false), left: AtomicU64::new(UNLIMITED) }
    }
}

impl Allowance {
    /// From any thread; the caller must also wake the reader.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// By the reader, before each read: how many of `wanted` bytes it may take. `buffered` says how many are there. It is the reader
    /// that asks, not the thread that stops it, so that no read can run between question and answer.
    pub(super) fn of(&self, wanted: usize, buffered: impl FnOnce() -> io::Result<u64>) -> io::Result<usize> {
        if !self.stopping.load(Ordering::Acquire) {
            return Ok(wanted);
        }
        let left = match self.left.load(Ordering::Relaxed) {
            UNLIMITED => buffered()?,
            left => left,
        };
        self.left.store(left, Ordering::Relaxed);
        Ok(wanted.min(usize::try_from(left).unwrap_or(usize::MAX)))
    }

    /// By the reader, after each read.
    pub(super) fn count(&self, read: usize) {
        let left = self.left.load(Ordering::Relaxed);
        if left != UNLIMITED {
            self.left.store(left.saturating_sub(read as u64), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Allowance;

    #[test]
    fn a_stopped_reader_gets_what_was_buffered_and_no_more() {
        let allowance = Allowance::default();
        assert_eq!(allowance.of(100, || unreachable!("not asked before the stop")).unwrap(), 100);
        allowance.count(100);
        allowance.stop();
        assert_eq!(allowance.of(8, || Ok(10)).unwrap(), 8);
        allowance.count(8);
        assert_eq!(allowance.of(8, || unreachable!("asked once")).unwrap(), 2);
        allowance.count(2);
        assert_eq!(allowance.of(8, || unreachable!("asked once")).unwrap(), 0);
    }
}
