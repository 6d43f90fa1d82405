//! The environment of a worker: an allow-list, what the host adds, and the variables that give it its role.
//!
//! A worker parses hostile input, so it gets none of the host's secrets through the environment.

use cofferdam_pipeline_core::WorkerId;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Says that this process is a worker. The worker entry removes it before user code runs, so that a program that user
/// code starts does not take itself for a worker.
pub(crate) const ROLE_VAR: &str = "COFFERDAM_WORKER";
/// The host's pid, which must be the worker's parent. Removed like [`ROLE_VAR`].
pub(crate) const HOST_PID_VAR: &str = "COFFERDAM_HOST_PID";
/// The one-time token of the handshake in hexadecimal digits. Removed like [`ROLE_VAR`].
pub(crate) const TOKEN_VAR: &str = "COFFERDAM_TOKEN";
/// Says that the worker is to stop itself until a debugger lets it go on. Removed like [`ROLE_VAR`].
pub(crate) const WAIT_VAR: &str = "COFFERDAM_WAIT";
/// Names the worker's process tree. It **stays**: descendants inherit it, so that those which left the process group
/// are found, and so that a job started inside a worker is refused.
pub(crate) const TREE_VAR: &str = "COFFERDAM_TREE";

/// Variables that every worker gets when the host has them: what loaders, temporary files, time zones, locales,
/// backtraces and GPUs need. Compared without case where the system does so.
const ALLOWED: &[&str] = &[
    "PATH",
    "HOME",
    "USERPROFILE",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "TMP",
    "TEMP",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TZDIR",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "DYLD_FRAMEWORK_PATH",
    "DYLD_INSERT_LIBRARIES",
    "SystemRoot",
    "SystemDrive",
    "windir",
    "ComSpec",
    "PATHEXT",
    "ProgramData",
    "ProgramFiles",
    "LOCALAPPDATA",
    "APPDATA",
    "NUMBER_OF_PROCESSORS",
    "RUST_BACKTRACE",
    "RUST_LIB_BACKTRACE",
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "LLVM_PROFILE_FILE",
];

/// Prefixes of further allowed variables (locale categories, sanitizer options).
const ALLOWED_PREFIXES: &[&str] = &["LC_", "ASAN_", "UBSAN_", "TSAN_", "LSAN_"];

/// Whether this process is a worker, or was started by one: no job may start here (it would be a fork bomb).
#[must_use]
pub fn is_inside_worker() -> bool {
    variable(TREE_VAR).is_some() || variable(ROLE_VAR).is_some()
}

/// A variable of this process that gives it its role.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the role variables, and no others")]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The host's environment, of which workers inherit what is allowed.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the host's environment, for the allow-list"
)]
pub(crate) fn of_host() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}

/// The value of [`TREE_VAR`] for a worker whose files are in `dir`: unique, since the directory's name is random.
pub(crate) fn mark(dir: &Path, worker: WorkerId) -> String {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}/{}", worker.0)
}

/// What a worker inherits from `host`, with the `added` variables on top (later ones win).
pub(crate) fn inherited(
    host: impl Iterator<Item = (OsString, OsString)>,
    added: &[(OsString, OsString)],
) -> Vec<(OsString, OsString)> {
    host.filter(|(name, _)| is_allowed(name)).chain(added.iter().cloned()).collect()
}

fn is_allowed(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    ALLOWED.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
        || ALLOWED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(names: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        names.iter().map(|(n, v)| (n.into(), v.into())).collect()
    }

    #[test]
    fn the_role_variables_are_those_of_the_spec() {
        let spec = include_str!("../../../docs/spec/other-languages.md");
        let rows = spec.lines().filter_map(|line| line.strip_prefix("| `"));
        let documented: Vec<_> = rows.filter_map(|row| row.split('`').next()).collect();
        assert_eq!(documented, [ROLE_VAR, HOST_PID_VAR, TOKEN_VAR, WAIT_VAR, TREE_VAR]);
    }

    #[test]
    fn secrets_stay_in_the_host_and_loader_paths_travel() {
        let host = pairs(&[
            ("PATH", "/bin"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("LC_ALL", "C"),
            ("COFFERDAM_TREE", "x"),
            ("SSH_AUTH_SOCK", "/tmp/agent"),
        ]);
        let got = inherited(host.into_iter(), &[]);
        assert_eq!(got, pairs(&[("PATH", "/bin"), ("LC_ALL", "C")]));
    }

    #[test]
    fn what_the_host_adds_comes_last_and_so_wins() {
        let got = inherited(pairs(&[("TZ", "UTC")]).into_iter(), &pairs(&[("TZ", "CET"), ("MODEL", "m")]));
        assert_eq!(got, pairs(&[("TZ", "UTC"), ("TZ", "CET"), ("MODEL", "m")]));
    }
}
