use super::*;
use crate::facts::Kind;
use serde_json::Value;

fn facts(title: &str, keywords: &[&str]) -> Facts {
    let mut facts = Facts::new(Kind::Text, "text/plain", 7);
    facts.title = Some(title.to_owned());
    facts.summary = format!("{title} in short.");
    facts.keywords = keywords.iter().map(|&word| word.to_owned()).collect();
    facts
}

fn evidence(kind: &str) -> Evidence {
    Evidence {
        kind: kind.to_owned(),
        message: "why".to_owned(),
        stage: "parse".to_owned(),
        ..Evidence::default()
    }
}

fn written(fill: impl FnOnce(&mut Outputs)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut outputs = Outputs::new(dir.path()).unwrap();
    fill(&mut outputs);
    outputs.write().unwrap();
    dir
}

fn lines(dir: &tempfile::TempDir, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(dir.path().join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn keys(dir: &tempfile::TempDir, name: &str) -> Vec<String> {
    lines(dir, name).iter().map(|line| line["key"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn lines_are_in_the_order_of_the_raw_bytes_of_their_keys() {
    let raw: &[&[u8]] = &[b"b", b"a/b", b"a.txt", b"\xff", "é".as_bytes(), b"%", b"a"];

    let dir = written(|outputs| raw.iter().for_each(|key| outputs.completed(key, &facts("t", &[])).unwrap()));

    assert_eq!(keys(&dir, "knowledge.jsonl"), ["%25", "a", "a.txt", "a/b", "b", "é", "%FF"]);
}

#[test]
fn the_order_of_commits_leaves_no_trace() {
    let keys: Vec<String> = (0..50).map(|i| format!("dir{}/{i}", i % 7)).collect();
    let fill = |outputs: &mut Outputs, key: &String| {
        outputs.completed(key.as_bytes(), &facts(key, &["tide", key])).unwrap()
    };

    let forward = written(|outputs| keys.iter().for_each(|key| fill(outputs, key)));
    let backward = written(|outputs| keys.iter().rev().for_each(|key| fill(outputs, key)));

    for name in ["knowledge.jsonl", "index.md"] {
        assert_eq!(
            fs::read(forward.path().join(name)).unwrap(),
            fs::read(backward.path().join(name)).unwrap()
        );
    }
}

#[test]
fn a_later_outcome_replaces_an_earlier_one_of_either_kind() {
    let dir = written(|outputs| {
        outputs.completed(b"a", &facts("old", &[])).unwrap();
        outputs.completed(b"a", &facts("new", &[])).unwrap();
        outputs.completed(b"b", &facts("b", &[])).unwrap();
        outputs.set_aside(b"b", SetAside::Quarantined, 2, &evidence("SIGSEGV")).unwrap();
        outputs.set_aside(b"c", SetAside::Failed, 1, &evidence("invalid-input")).unwrap();
        outputs.completed(b"c", &facts("c", &[])).unwrap();
    });

    assert_eq!(keys(&dir, "knowledge.jsonl"), ["a", "c"]);
    assert_eq!(lines(&dir, "knowledge.jsonl")[0]["title"], "new");
    assert_eq!(keys(&dir, "failures.jsonl"), ["b"]);
}

#[test]
fn what_was_set_aside_is_counted_by_kind() {
    let dir = tempfile::tempdir().unwrap();
    let mut outputs = Outputs::new(dir.path()).unwrap();
    for (key, kind) in [("a", "SIGSEGV"), ("b", "invalid-input"), ("c", "SIGSEGV")] {
        outputs.set_aside(key.as_bytes(), SetAside::Failed, 1, &evidence(kind)).unwrap();
    }
    outputs.completed(b"d", &facts("t", &[])).unwrap();

    assert_eq!(
        outputs.set_aside_by_kind().into_iter().collect::<Vec<_>>(),
        [("SIGSEGV".to_owned(), 2), ("invalid-input".to_owned(), 1)]
    );
}

#[test]
fn failures_carry_their_evidence() {
    let mut evidence = evidence("panic");
    evidence.progress = Some((3, 9));
    evidence.breadcrumbs = vec!["page 3".to_owned()];
    evidence.backtrace = "0: parse".to_owned();
    evidence.stderr_tail = "thread panicked\u{1b}[0m".to_owned();

    let dir = written(|outputs| outputs.set_aside(b"x\xfe", SetAside::Quarantined, 2, &evidence).unwrap());

    let expected = serde_json::json!({
        "key": "x%FE", "outcome": "quarantined", "kind": "panic", "message": "why", "stage": "parse", "progress": [3, 9],
        "breadcrumbs": ["page 3"], "attempts": 2, "backtrace": "0: parse", "stderr_tail": "thread panicked\u{1b}[0m",
    });
    assert_eq!(lines(&dir, "failures.jsonl"), [expected]);
    assert!(!fs::read(dir.path().join("failures.jsonl")).unwrap().contains(&0x1b));
}

#[test]
fn the_map_groups_items_by_folder_and_by_shared_keyword() {
    let dir = written(|outputs| {
        outputs.completed(b"sea/tides.md", &facts("Tides", &["tide", "moon"])).unwrap();
        outputs.completed(b"sea/deep/gate_1.md", &facts("Gates <b>", &["tide"])).unwrap();
        outputs.completed(b"sea/deep.txt", &facts("Deep", &["gate"])).unwrap();
        outputs.completed(b"top\n.txt", &facts("Top", &[])).unwrap();
        outputs.set_aside(b"sea/bad.pdf", SetAside::Failed, 1, &evidence("invalid-input")).unwrap();
    });

    let map = fs::read_to_string(dir.path().join("index.md")).unwrap();

    let expected = "# Map of content\n\n4 items: 4 text.\n\n## Topics\n\n- **tide** (2): sea/deep/gate\\_1.md, sea/tides.md\n\n\
        ## (top)\n\n- **top%0A.txt** (text): Top\n  Top in short.\n\n\
        ## sea\n\n- **deep.txt** (text): Deep\n  Deep in short.\n- **tides.md** (text): Tides\n  Tides in short.\n\n\
        ## sea/deep\n\n- **gate\\_1.md** (text): Gates \\<b\\>\n  Gates \\<b\\> in short.\n";
    assert_eq!(map, expected);
}

#[test]
fn nothing_at_all_is_still_three_files() {
    let dir = written(|_| ());

    assert_eq!(fs::read_to_string(dir.path().join("knowledge.jsonl")).unwrap(), "");
    assert_eq!(fs::read_to_string(dir.path().join("failures.jsonl")).unwrap(), "");
    assert_eq!(fs::read_to_string(dir.path().join("index.md")).unwrap(), "# Map of content\n\n0 items.\n");
}

#[test]
fn the_headline_has_the_fields_of_the_manual_in_their_order() {
    let line = Headline { job: "j".to_owned(), ..Headline::default() }.to_line().unwrap();
    let expected = r#"{"job":"j","items":0,"completed":0,"failed":0,"quarantined":0,"resumed":0,"attempts":0,"crashes":{},"workers_started":0,"elapsed_s":0.0,"host_peak_rss_bytes":null,"isolation":""}"#;
    assert_eq!(line, expected);
}
