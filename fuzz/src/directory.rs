//! A whole store with some bytes of it changed.

use cofferdam_checkpoint::{Disk, FillAhead, Store, StoreOptions};
use cofferdam_testkit::SimDisk;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the golden stores lie.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/checkpoint/tests/golden");
const STORES: [&str; 2] = ["v1", "v1-snapshots"];
/// Of the current version; the last number stands for it, so that older inputs mean what they meant.
const CURRENT: (u8, &str) = (u8::MAX, "v2");
/// Edits of one input; more of them teach nothing.
const EDITS_MAX: usize = 64;
/// An edit: which file, what kind, where, with what.
const EDIT_LEN: usize = 6;

/// Opens, reads and verifies a golden store after the edits that `data` lists: nothing panics or hangs, and an opening that is
/// refused has changed nothing but what its lock needs.
///
/// # Panics
/// When that is not so.
pub fn directory(data: &[u8]) {
    let Some((first, edits)) = data.split_first() else { return };
    let disk = load(if *first == CURRENT.0 { CURRENT.1 } else { STORES[usize::from(*first) % STORES.len()] });
    let mut files = disk.files();
    for edit in edits.chunks_exact(EDIT_LEN).take(EDITS_MAX) {
        apply(&disk, &files[usize::from(edit[0]) % files.len()], edit);
    }
    let _ = Store::verify(&disk, Path::new("store"));
    let options = StoreOptions {
        disk: disk.shared(),
        fill_ahead: FillAhead::Off,
        idle_mark: Duration::MAX,
        ..StoreOptions::default()
    };
    let Ok(mut store) = Store::open(Path::new("store"), options) else { return };
    let names = [&b"dense"[..], b"keyed \xff"];
    for job in names.iter().filter_map(|name| store.read_job(name).ok()) {
        job.outcomes(0).take_while(Result::is_ok).for_each(drop);
    }
    let before = content(&disk, &files);
    if store.migrate().is_err() {
        assert!(content(&disk, &files) == before, "a refused migration has changed a file");
        return;
    }
    files = disk.files();
    for name in names {
        let before = content(&disk, &files);
        match store.open_job(name) {
            Ok(job) => job.outcomes(0).take_while(Result::is_ok).for_each(drop),
            Err(_) => assert!(content(&disk, &files) == before, "a refused opening has changed a file"),
        }
    }
}

fn content(disk: &SimDisk, files: &[PathBuf]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|path| disk.peek(path).ok()).collect()
}

fn apply(disk: &SimDisk, path: &Path, edit: &[u8]) {
    let Ok(mut bytes) = disk.peek(path) else { return };
    let at = usize::from(u16::from_le_bytes([edit[2], edit[3]]));
    match edit[1] % 4 {
        0 => bytes.truncate(at),
        1 => bytes.resize(bytes.len().max(at), edit[4]),
        _ if bytes.is_empty() => {}
        2 => {
            let at = at % bytes.len();
            bytes[at] ^= edit[4].max(1);
        }
        _ => {
            let (from, len) = (at % bytes.len(), usize::from(edit[4]));
            let to = usize::from(edit[5]) * 64 % bytes.len();
            let len = len.min(bytes.len() - from).min(bytes.len() - to);
            bytes.copy_within(from..from + len, to);
        }
    }
    let _ = disk.poke(path, bytes);
}

/// A golden store on a simulated disk; version control keeps no empty directories.
fn load(name: &str) -> SimDisk {
    let disk = SimDisk::new();
    let mut open = vec![PathBuf::new()];
    while let Some(dir) = open.pop() {
        let _ = disk.create_dir(&Path::new("store").join(&dir));
        for entry in
            std::fs::read_dir(Path::new(GOLDEN).join(name).join(&dir)).expect("golden stores are there")
        {
            let entry = entry.expect("a readable folder");
            let path = dir.join(entry.file_name());
            if entry.path().is_dir() {
                open.push(path);
            } else {
                let bytes = std::fs::read(entry.path()).expect("a readable file");
                disk.poke(&Path::new("store").join(&path), bytes).expect("its folder was just made");
            }
            if entry.file_name() == "HEAD" {
                for missing in ["blobs", "staging"] {
                    let _ = disk.create_dir(&Path::new("store").join(&dir).join(missing));
                }
            }
        }
    }
    disk
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_of_directories_is_opened() {
        let mut files = 0;
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/directory")).unwrap() {
            directory(&std::fs::read(entry.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files > 0, "there is no corpus");
    }

    #[test]
    fn a_golden_store_without_edits_opens() {
        for (name, jobs) in STORES.map(|name| (name, 2)).into_iter().chain([(CURRENT.1, 1)]) {
            let disk = load(name);
            let reports = Store::verify(&disk, Path::new("store")).unwrap();
            assert!(reports.len() == jobs && reports.iter().all(|report| report.is_intact()), "{reports:?}");
        }
    }
}
