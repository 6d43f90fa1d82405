//! The end of an unbounded stream of bytes, in bounded memory.

/// Bytes that a tail remembers.
pub(crate) const TAIL_BYTES_MAX: usize = 8 * 1024;

/// Bytes held before old ones are dropped: dropping costs a copy, so not with each read.
const HELD_BYTES_MAX: usize = 64 * 1024;

/// Remembers the last [`TAIL_BYTES_MAX`] bytes.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
}

impl Tail {
    pub(crate) fn push(&mut self, more: &[u8]) {
        let more = &more[more.len().saturating_sub(TAIL_BYTES_MAX)..];
        if self.bytes.len() + more.len() > HELD_BYTES_MAX {
            self.cut();
        }
        self.bytes.extend_from_slice(more);
    }

    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.cut();
        std::mem::take(&mut self.bytes)
    }

    fn cut(&mut self) {
        self.bytes.drain(..self.bytes.len().saturating_sub(TAIL_BYTES_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_and_memory_is_bounded() {
        let mut tail = Tail::default();
        for i in 0..100_000u32 {
            tail.push(format!("line {i}\n").as_bytes());
            assert!(tail.bytes.len() <= HELD_BYTES_MAX);
        }
        let bytes = tail.take();
        assert_eq!(bytes.len(), TAIL_BYTES_MAX);
        assert!(bytes.ends_with(b"line 99998\nline 99999\n"));
    }

    #[test]
    fn one_huge_push_leaves_its_end() {
        let mut tail = Tail::default();
        let huge: Vec<u8> = (0..1_000_000u32).map(|i| i as u8).collect();
        tail.push(&huge);
        assert_eq!(tail.take(), huge[1_000_000 - TAIL_BYTES_MAX..]);
        assert!(tail.take().is_empty());
    }
}
