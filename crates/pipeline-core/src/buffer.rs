//! Byte buffers that go back to a pool, so that large replies do not fault in fresh pages each time.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Keeps a few used buffers that together are no larger than a bound.
#[derive(Debug)]
pub struct BufferPool {
    spare: Mutex<Spare>,
    spares_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Spare {
    buffers: Vec<Vec<u8>>,
    /// Capacity of all of them.
    bytes: usize,
}

impl BufferPool {
    /// A pool that keeps at most `spares_max` buffers of at most `bytes_max` bytes in all.
    #[must_use]
    pub fn new(spares_max: usize, bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { spare: Mutex::default(), spares_max, bytes_max })
    }

    /// A buffer, perhaps a used one: its length and content are unspecified.
    #[must_use]
    pub fn take(self: &Arc<Self>) -> Buffer {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = spare.buffers.pop().unwrap_or_default();
        spare.bytes -= bytes.capacity();
        drop(spare);
        Buffer { bytes, pool: Some(self.clone()) }
    }

    fn give_back(&self, bytes: Vec<u8>) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let together = spare.bytes.saturating_add(bytes.capacity());
        if bytes.capacity() > 0 && together <= self.bytes_max && spare.buffers.len() < self.spares_max {
            spare.bytes = together;
            spare.buffers.push(bytes);
        }
    }
}

/// Bytes that return to their pool when dropped.
#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    pool: Option<Arc<BufferPool>>,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.give_back(std::mem::take(&mut self.bytes));
        }
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, pool: None }
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.bytes.len())
    }
}
