use super::*;
use std::fs;

fn tree(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    dir
}

fn keys(folders: &mut Folders) -> Vec<String> {
    folders
        .open()
        .unwrap()
        .map(|item| String::from_utf8_lossy(&item.unwrap().key.unwrap()).into_owned())
        .collect()
}

fn keys_of(dir: &Path) -> Vec<String> {
    keys(&mut Folders::new(&[dir.to_owned()], &[], Vec::new()).unwrap())
}

fn skipped(folders: &Folders) -> Skipped {
    *folders.skipped.lock().unwrap()
}

#[test]
fn keys_are_relative_paths_in_a_fixed_order() {
    let dir = tree(&["b.txt", "a/z.txt", "a/b/c.txt", "a.txt"]);
    assert_eq!(keys_of(dir.path()), ["a/b/c.txt", "a/z.txt", "a.txt", "b.txt"]);
}

#[test]
fn opening_twice_gives_the_same() {
    let dir = tree(&["a", "b/.hidden"]);
    let mut folders = Folders::new(&[dir.path().to_owned()], &[], Vec::new()).unwrap();

    assert_eq!(keys(&mut folders), keys(&mut folders));
    assert_eq!(skipped(&folders).hidden, 1);
}

#[test]
fn hidden_files_and_folders_are_skipped_but_a_hidden_root_is_not() {
    let dir = tree(&[".root/a", ".root/.b", ".root/.c/d", ".root/e/.f"]);
    let mut folders = Folders::new(&[dir.path().join(".root")], &[], Vec::new()).unwrap();

    assert_eq!(keys(&mut folders), ["a"]);
    assert_eq!(skipped(&folders).hidden, 3);
}

#[test]
fn several_folders_put_their_names_before_their_keys() {
    let dir = tree(&["x/one/a", "y/two/a"]);
    let roots = [dir.path().join("y/two"), dir.path().join("x/one/")];

    assert_eq!(keys(&mut Folders::new(&roots, &[], Vec::new()).unwrap()), ["two/a", "one/a"]);
}

#[test]
fn folders_of_one_name_clash() {
    let dir = tree(&["x/docs/a", "y/docs/b"]);
    let roots = [dir.path().join("x/docs"), dir.path().join("y/docs")];

    let error = Folders::new(&roots, &[], Vec::new()).unwrap_err();

    assert!(matches!(&error, FolderError::Clash { name, .. } if name == "docs"), "{error}");
}

#[test]
fn the_out_and_jobs_folders_are_never_inputs() {
    let dir = tree(&["a", "out/knowledge.jsonl", "out/.jobs/x", "deep/jobs/y", "outer/b"]);
    let (out, jobs) = (dir.path().join("out"), dir.path().join("deep/jobs"));

    let mut folders = Folders::new(&[dir.path().to_owned()], &[&out, &jobs], Vec::new()).unwrap();

    assert_eq!(keys(&mut folders), ["a", "outer/b"]);
}

#[test]
fn a_folder_inside_the_out_folder_is_refused() {
    let dir = tree(&["out/in/a"]);
    let out = dir.path().join("out");

    let error = Folders::new(&[out.join("in")], &[&out], Vec::new()).unwrap_err();

    assert!(matches!(error, FolderError::InsideOutputs { .. }), "{error}");
}

#[test]
fn folders_that_are_missing_or_files_are_refused_by_name() {
    let dir = tree(&["file"]);
    let error = |name| Folders::new(&[dir.path().join(name)], &[], Vec::new()).unwrap_err().to_string();

    assert!(error("missing").contains("missing"));
    assert!(error("file").contains("is not a folder"));
}

#[test]
fn a_changed_file_has_another_fingerprint() {
    let dir = tree(&["a"]);
    let mut folders = Folders::new(&[dir.path().to_owned()], &[], Vec::new()).unwrap();
    let mut fingerprint = || folders.open().unwrap().next().unwrap().unwrap().fingerprint.unwrap();
    let before = fingerprint();
    assert_eq!(before, fingerprint());

    fs::write(dir.path().join("a"), "longer than before").unwrap();

    assert_ne!(before, fingerprint());
}

#[test]
fn rules_travel_with_the_items_they_match() {
    let dir = tree(&["bad", "good"]);
    let rules = vec!["abort:bad".parse().unwrap()];
    let mut folders = Folders::new(&[dir.path().to_owned()], &[], rules).unwrap();

    let mischief: Vec<_> = folders.open().unwrap().map(|item| item.unwrap().item.mischief).collect();

    assert_eq!(mischief, [Some(crate::inject::Mischief::Abort), None]);
}

#[cfg(unix)]
mod on_unix {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn loops_of_links_end_and_links_to_files_are_read() {
        let dir = tree(&["sub/a"]);
        symlink("..", dir.path().join("sub/up")).unwrap();
        symlink("round", dir.path().join("round")).unwrap();
        symlink("nowhere", dir.path().join("dangling")).unwrap();
        symlink("sub/a", dir.path().join("link")).unwrap();
        let mut folders = Folders::new(&[dir.path().to_owned()], &[], Vec::new()).unwrap();

        assert_eq!(keys(&mut folders), ["link", "sub/a"]);
        let expected = Skipped { folder_links: 1, broken_links: 2, ..Skipped::default() };
        assert_eq!(skipped(&folders), expected);
    }

    #[test]
    fn a_link_into_the_out_folder_is_no_way_in() {
        let dir = tree(&["out/knowledge.jsonl"]);
        symlink("out/knowledge.jsonl", dir.path().join("link")).unwrap();
        let out = dir.path().join("out");

        assert!(keys(&mut Folders::new(&[dir.path().to_owned()], &[&out], Vec::new()).unwrap()).is_empty());
    }

    #[test]
    fn fifos_and_sockets_are_counted_and_never_opened() {
        let dir = tree(&["a"]);
        let made = std::process::Command::new("mkfifo").arg(dir.path().join("fifo")).status().unwrap();
        assert!(made.success());
        let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
        symlink("fifo", dir.path().join("link-to-fifo")).unwrap();
        symlink("/dev/zero", dir.path().join("link-to-zero")).unwrap();
        let mut folders = Folders::new(&[dir.path().to_owned()], &[], Vec::new()).unwrap();

        assert_eq!(keys(&mut folders), ["a"]);
        assert_eq!(skipped(&folders).special, 4);
    }

    #[test]
    fn names_that_are_not_utf8_are_kept_byte_for_byte() {
        let dir = tree(&["a"]);
        fs::write(dir.path().join(OsStr::from_bytes(b"caf\xe9\n.txt")), "x").unwrap();
        let mut folders = Folders::new(&[dir.path().to_owned()], &[], Vec::new()).unwrap();

        let last = folders.open().unwrap().last().unwrap().unwrap();

        assert_eq!(&*last.key.unwrap(), b"caf\xe9\n.txt");
        assert_eq!(fs::read(sys::path_from_bytes(&last.item.path)).unwrap(), b"x");
    }

    #[test]
    fn a_folder_that_vanishes_during_the_walk_ends_nothing() {
        let dir = tree(&["a", "gone/b", "z"]);
        let mut folders = Folders::new(&[dir.path().to_owned()], &[], Vec::new()).unwrap();
        let mut items = folders.open().unwrap();
        assert_eq!(&*items.next().unwrap().unwrap().key.unwrap(), b"a");

        fs::remove_dir_all(dir.path().join("gone")).unwrap();

        let rest: Vec<_> = items.map(|item| item.unwrap()).collect();
        assert_eq!(rest[0].key.as_deref().unwrap(), b"gone");
        assert_eq!(rest[0].fingerprint, Some(UNEXAMINED));
        assert_eq!(rest[1].key.as_deref().unwrap(), b"z");
    }
}
