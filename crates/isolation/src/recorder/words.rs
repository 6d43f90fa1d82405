//! Memory of atomic words: a mapped file in a child process, the heap in a thread worker.
#![expect(unsafe_code, reason = "maps files that another process reads or writes meanwhile")]

use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::atomic::AtomicU64;

/// A fixed number of words that live as long as this value.
#[derive(Debug)]
pub(crate) enum Words {
    /// A shared mapping of a file.
    Mapped(MmapRaw),
    /// Nobody else's memory.
    Heap(Box<[AtomicU64]>),
}

impl Words {
    /// Maps the first `len` bytes of a file that is at least that long.
    pub(crate) fn map(file: &File, len: usize, writable: bool) -> io::Result<Self> {
        if file.metadata()?.len() < len as u64 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than its layout"));
        }
        let mut options = MmapOptions::new();
        options.len(len);
        let map = if writable { options.map_raw(file)? } else { options.map_raw_read_only(file)? };
        assert!(map.as_ptr().cast::<AtomicU64>().is_aligned(), "a mapping starts on a page");
        Ok(Self::Mapped(map))
    }

    /// `len` bytes of zeros.
    pub(crate) fn heap(len: usize) -> Self {
        Self::Heap((0..len / 8).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Deref for Words {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        match self {
            Self::Heap(words) => words,
            // SAFETY: `map` checked the alignment and the mapping stays in place, `len` bytes long, for the lifetime of
            // `self`. Every access in this process is atomic; what other processes do to the file reaches these words
            // as whole or torn values of a plain integer, and no value is invalid. A read-only mapping is only loaded
            // from: `Control` has no method that stores into a mapping. If somebody truncates the file, the access
            // faults, which ends this worker and no other process.
            Self::Mapped(map) => unsafe {
                std::slice::from_raw_parts(map.as_ptr().cast::<AtomicU64>(), map.len() / 8)
            },
        }
    }
}
