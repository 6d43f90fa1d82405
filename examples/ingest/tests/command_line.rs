//! Arguments, exit codes, outputs: what a user and a script see.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests end on surprises and start processes"
)]

mod support;

use std::fs;
use std::process::{Command, Stdio};
use support::{Bench, finish};

#[test]
fn without_a_folder_the_samples_become_a_knowledge_base() {
    let dir = tempfile::tempdir().unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_ingest"))
        .args(["--json", "--out"])
        .arg(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();

    let json = finish(child).complete().json();

    // One sample panics in the library that reads it; the others complete or fail with a reason.
    assert_eq!(json["quarantined"], 1, "{json}");
    assert_eq!(json["failed"], 17, "{json}");
    assert!(json["completed"].as_u64().unwrap() >= 40, "{json}");
    let failures = fs::read_to_string(dir.path().join("failures.jsonl")).unwrap();
    let panicked = failures.lines().find(|line| line.contains("no-media-box.pdf")).unwrap();
    assert!(panicked.contains(r#""kind":"panic""#), "{panicked}");
}

#[test]
fn the_json_has_the_fields_of_the_manual() {
    let bench = Bench::with_texts(3);

    let json = bench.run(&["--inject", "fail:01.txt"]).complete().json();

    let mut fields: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    let expected = "attempts completed crashes elapsed_s failed host_peak_rss_bytes isolation items job quarantined \
                    resumed workers_started";
    assert_eq!(fields.join(" "), expected);
    assert_eq!(
        (&json["job"], &json["items"], &json["isolation"]),
        (&"ingest".into(), &3.into(), &"process".into())
    );
    assert_eq!((&json["completed"], &json["failed"], &json["resumed"]), (&2.into(), &1.into(), &0.into()));
    assert!(json["host_peak_rss_bytes"].as_u64().unwrap() > 1 << 20);
    let report: serde_json::Value = serde_json::from_str(&bench.read("report.json")).unwrap();
    assert_eq!(report["items"], 3);
    assert_eq!(report["set_aside"]["invalid-input"], 1);
}

#[test]
fn strict_exits_with_3_only_when_something_was_set_aside() {
    let bench = Bench::with_texts(2);
    assert_eq!(bench.run(&["--strict"]).code(), 0);
    assert_eq!(bench.run(&["--strict", "--on-existing", "restart", "--inject", "fail:*"]).code(), 3);
    assert_eq!(bench.run(&["--on-existing", "restart", "--inject", "fail:*"]).code(), 0);
}

#[test]
fn whatever_else_goes_wrong_exits_with_1_and_says_why() {
    let bench = Bench::with_texts(1);
    for (args, reason) in [
        (&["--memory-limit", "1GiB"][..], "memory limits do not exist yet"),
        (&["--inject", "oom:*"], "'oom' comes later"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["/no/such/folder"], "/no/such/folder"),
        (&["--isolation", "thread", "--inject", "abort:*"], "--isolation process"),
    ] {
        let ran = bench.run(args);
        assert_eq!(ran.code(), 1, "{args:?}");
        assert!(ran.stderr.contains(reason), "{args:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{args:?}");
    }
    assert!(!bench.out().join("knowledge.jsonl").exists());
}

#[test]
fn an_existing_job_is_resumed_restarted_or_refused() {
    let bench = Bench::with_texts(3);
    bench.run(&["--on-existing", "fail"]).complete();

    let refused = bench.run(&["--on-existing", "fail"]);
    assert_eq!(refused.code(), 1);
    assert!(refused.stderr.contains("'ingest' is there already"), "{}", refused.stderr);

    let resumed = bench.run(&[]).complete().json();
    assert_eq!((&resumed["resumed"], &resumed["attempts"]), (&3.into(), &0.into()));

    let restarted = bench.run(&["--on-existing", "restart"]).complete().json();
    assert_eq!((&restarted["resumed"], &restarted["attempts"]), (&0.into(), &3.into()));
}

#[test]
fn changed_new_and_gone_files_are_what_a_resumed_run_finds() {
    let bench = Bench::with_texts(4);
    bench.run(&[]).complete();
    bench.put("01.txt", "Changed\n\nIt says something else now, and at another length.");
    bench.put("99.txt", "New\n\nIt was not there before.");
    fs::remove_file(bench.inputs().join("02.txt")).unwrap();

    let json = bench.run(&[]).complete().json();

    assert_eq!((&json["resumed"], &json["attempts"]), (&2.into(), &2.into()), "{json}");
    assert_eq!(bench.keys("knowledge.jsonl"), ["00.txt", "01.txt", "03.txt", "99.txt"]);
    assert_eq!(bench.lines("knowledge.jsonl")[1]["title"], "Changed");
}

#[test]
fn the_default_out_folder_inside_an_input_is_no_input() {
    let bench = Bench::with_texts(2);
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ingest"));
        command.args([".", "--json"]).current_dir(bench.inputs());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().unwrap()).complete().json()
    };

    assert_eq!(run()["items"], 2);
    assert_eq!(run()["items"], 2);
}

#[test]
fn quiet_says_nothing_but_the_json() {
    let ran = Bench::with_texts(2).run(&["--quiet"]).complete();
    assert_eq!((ran.stdout.lines().count(), ran.stderr.as_str()), (1, ""));
}

#[cfg(unix)]
mod on_unix {
    use super::*;
    use std::ffi::OsStr;
    use std::io::{BufRead, BufReader};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_folder_full_of_traps_is_read_to_its_end() {
        let bench = Bench::with_texts(1);
        let inputs = bench.inputs();
        fs::create_dir(inputs.join("sub")).unwrap();
        symlink("..", inputs.join("sub/loop")).unwrap();
        symlink("self", inputs.join("self")).unwrap();
        symlink("/dev/zero", inputs.join("endless")).unwrap();
        assert!(Command::new("mkfifo").arg(inputs.join("fifo")).status().unwrap().success());
        let _socket = UnixListener::bind(inputs.join("socket")).unwrap();
        bench.put("empty.pdf", "");
        for name in ["sparse.txt", "sparse.pdf", "sparse.jpg", "sparse"] {
            fs::File::create(inputs.join(name)).unwrap().set_len(1 << 40).unwrap();
        }
        fs::write(inputs.join(OsStr::from_bytes(b"caf\xe9 100%\n.txt")), "A name that is not UTF-8.")
            .unwrap();

        let json = bench.run(&["--item-timeout", "60s"]).complete().json();

        assert_eq!(json["items"], 7, "{json}");
        assert_eq!(
            bench.keys("knowledge.jsonl"),
            ["00.txt", "caf%E9 100%25\n.txt", "empty.pdf", "sparse", "sparse.txt"]
        );
        assert_eq!(bench.failures().keys().collect::<Vec<_>>(), ["sparse.jpg", "sparse.pdf"]);
        let report: serde_json::Value = serde_json::from_str(&bench.read("report.json")).unwrap();
        assert_eq!(report["skipped"]["special"], 3);
        assert_eq!(report["skipped"]["broken_links"], 1);
        assert_eq!(report["skipped"]["folder_links"], 1);
    }

    #[test]
    fn a_file_that_vanishes_during_the_run_spoils_nothing_else() {
        const FILES: usize = 30;
        let bench = Bench::with_texts(FILES);
        let mut child = bench.command(&["--inject", "slow:*"]).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut plan = String::new();
        stderr.read_line(&mut plan).unwrap();
        assert!(plan.contains("30 new"), "{plan}");
        // At 50 ms each, the last file is most of a second away.
        fs::remove_file(bench.inputs().join("29.txt")).unwrap();
        child.stderr = Some(stderr.into_inner());

        finish(child).complete();

        assert_eq!(bench.keys("knowledge.jsonl").len(), FILES - 1);
        // Whether it still became an item depends on how far the walk had come.
        assert!(bench.failures().keys().all(|key| key == "29.txt"), "{:?}", bench.failures());
    }
}
