//! Keeps the tree as ARCHITECTURE.md and CONTRIBUTING.md say it is. Each check is a pure function over texts, and each
//! has a companion test that shows it failing on a bad example.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]

mod documents;
mod manifests;
mod sources;
mod tree;

/// Fails with one line for each problem, so that one run shows them all.
#[track_caller]
fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "{} problem(s):\n{}", problems.len(), problems.join("\n"));
}

/// Fails unless exactly one problem was found and says `wanted`: proof that the check can fail.
#[track_caller]
fn assert_one(problems: &[String], wanted: &str) {
    assert_eq!(problems.len(), 1, "expected one problem, found {problems:?}");
    assert!(problems[0].contains(wanted), "{:?} does not say {wanted:?}", problems[0]);
}
