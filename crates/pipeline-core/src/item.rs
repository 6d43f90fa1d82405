//! Names of things: items, workers, leases.

use std::fmt;

/// Position of an item among those fed to the supervisor in this session: 0, 1, 2, … without gaps.
///
/// It is not the item's identity (that is its [`Key`]); it exists so that the hot path handles ranges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemIndex(pub u64);

/// One worker (child process or thread) of a session; never reused within it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u32);

/// The stable number of a worker's place, `0..workers`: a replacement inherits it (for example to choose a GPU).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotNumber(pub u32);

/// A worker's exclusive right to some attempts; never reused within a session, never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u32);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {}", self.0)
    }
}

/// What identifies an item across runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The item's position in a source whose order never changes.
    Ordinal(u64),
    /// A key chosen by the source: any bytes, at most [`Key::LEN_MAX`].
    Bytes(Box<[u8]>),
}

impl Key {
    /// The longest key in bytes.
    pub const LEN_MAX: usize = 64 * 1024 - 1;
}

impl fmt::Display for Key {
    /// An ordinal as `#12`; bytes as text, with `%` and everything that is not printable UTF-8 percent-escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = match self {
            Key::Ordinal(n) => return write!(f, "#{n}"),
            Key::Bytes(bytes) => bytes,
        };
        for part in bytes.utf8_chunks() {
            for c in part.valid().chars() {
                if c == '%' || c.is_control() {
                    let mut utf8 = [0; 4];
                    c.encode_utf8(&mut utf8).bytes().try_for_each(|b| write!(f, "%{b:02X}"))?;
                } else {
                    write!(f, "{c}")?;
                }
            }
            part.invalid().iter().try_for_each(|b| write!(f, "%{b:02X}"))?;
        }
        Ok(())
    }
}

/// Tells whether an item's input is still the one that was processed (size and mtime, or a content hash, folded to 16 bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 16]);
