//! The gallery of seeded bugs: places where a build for testing the tests can be told to do wrong.
//!
//! `.ci/gallery` builds with `--cfg cofferdam_seeded_bugs` and runs the tests once for each name that is asked for here;
//! a bug that no test notices is a hole in the proof. Public for the facade alone, which has bugs of its own. In every other build the answer is a constant, and nothing is left of it.

/// Whether this run is to have the bug.
#[cfg(cofferdam_seeded_bugs)]
#[expect(clippy::disallowed_methods, reason = "a build that nobody ships")]
#[must_use]
pub fn has_bug(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("COFFERDAM_SEEDED_BUG").unwrap_or_default()) == name
}

/// Whether this run is to have the bug: never.
#[cfg(not(cofferdam_seeded_bugs))]
#[must_use]
pub const fn has_bug(_name: &str) -> bool {
    false
}

/// The bug of stores that repair in place.
#[cfg(cofferdam_seeded_bugs)]
pub(crate) fn cut_tail(disk: &dyn crate::Disk, dir: &std::path::Path, torn: Option<(u64, u64)>) {
    let Some((seq, at)) = torn else { return };
    let path = dir.join(crate::format::segment::file_name(seq));
    if let Ok(file) = disk.open(&path, crate::OpenMode::ReadWrite) {
        let _ = file.write_at(&[0; 64], at);
    }
}
