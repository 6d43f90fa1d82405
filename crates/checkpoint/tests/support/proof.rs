//! How much a proof searches: little in `cargo test`, the whole of it in CI, more on demand.
#![allow(missing_docs, dead_code, clippy::disallowed_methods)]

/// Chosen by `COFFERDAM_PROOF`, which `.ci/run` and `.ci/soak` set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Small,
    Ci,
    Soak,
}

pub fn size() -> Size {
    match std::env::var("COFFERDAM_PROOF").as_deref() {
        Err(_) => Size::Small,
        Ok("ci") => Size::Ci,
        Ok("soak") => Size::Soak,
        Ok(other) => panic!("COFFERDAM_PROOF is ci, soak or nothing, not {other}"),
    }
}

pub fn pick<T>(small: T, ci: T, soak: T) -> T {
    match size() {
        Size::Small => small,
        Size::Ci => ci,
        Size::Soak => soak,
    }
}
