//! Which calls fail, and how.

use std::io;

/// Calls that fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultPlan {
    /// The first one, counted from 0 as [`super::SimDisk::calls`] does.
    pub at: u64,
    /// All later ones, too.
    pub for_ever: bool,
    /// How.
    pub fault: Fault,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The device does not work.
    Eio,
    /// No space; a write first puts half of its bytes on the disk.
    Enospc,
    /// No space within a quota; otherwise the same.
    Edquot,
    /// A signal came in between; nothing was done.
    Eintr,
    /// A write does half of its work and says so; other calls work.
    ShortWrite,
}

/// How much fits on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// So many bytes, and the disk tells how many are left.
    Told(u64),
    /// So many bytes, by a quota that nobody hears of before it binds.
    Quota(u64),
}

/// What a failing sync does to the pages that it should have written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncFailure {
    /// They stay dirty: a later sync would write them.
    #[default]
    StaysDirty,
    /// They count as clean but are not on the medium; reads still give the new content.
    CleanWithNew,
    /// They count as clean and reads give what is on the medium.
    CleanWithOld,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) calls: u64,
    pub(super) crash_at: Option<u64>,
    pub(super) plan: Option<FaultPlan>,
    pub(super) sync_failure: SyncFailure,
    /// How much fits; any amount without it.
    pub(super) space: Option<Space>,
    /// Writes that did not fit.
    pub(super) unfit: u64,
    /// Why nothing may be changed, if so.
    pub(super) refusal: Option<io::ErrorKind>,
}

impl Faults {
    /// Counts a call that can only fail as a whole.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        match self.next()? {
            Some(Fault::ShortWrite) | None => Ok(()),
            Some(fault) => Err(fault.error()),
        }
    }

    /// Counts a call that changes something.
    pub(super) fn begin_change(&mut self) -> io::Result<()> {
        self.begin()?;
        self.refusal.map_or(Ok(()), |kind| Err(kind.into()))
    }

    /// Counts a call and says how it is to fail.
    pub(super) fn next(&mut self) -> io::Result<Option<Fault>> {
        let n = self.calls;
        self.calls += 1;
        if self.crash_at.is_some_and(|at| n >= at) {
            return Err(io::Error::other("the machine has stopped"));
        }
        let hit = self.plan.filter(|plan| n == plan.at || (plan.for_ever && n > plan.at));
        Ok(hit.map(|plan| plan.fault))
    }
}

impl Space {
    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::Told(bytes) | Self::Quota(bytes) => bytes,
        }
    }

    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Told(_) => io::ErrorKind::StorageFull.into(),
            Self::Quota(_) => io::ErrorKind::QuotaExceeded.into(),
        }
    }
}

impl Fault {
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Eio => io::Error::other("input/output error"),
            Self::Enospc => io::ErrorKind::StorageFull.into(),
            Self::Edquot => io::ErrorKind::QuotaExceeded.into(),
            Self::Eintr => io::ErrorKind::Interrupted.into(),
            Self::ShortWrite => io::ErrorKind::WriteZero.into(),
        }
    }
}
