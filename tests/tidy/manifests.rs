//! Cargo.toml files: who may import whom, which lints hold, why each dependency is there.

use crate::{assert_none, assert_one, tree};
use std::collections::BTreeSet;

const PREFIX: &str = "cofferdam-";

/// The members that a crate imports from this workspace, by folder name.
fn own_imports(manifest: &toml::Table, section: &str) -> BTreeSet<String> {
    let dependencies = manifest.get(section).and_then(toml::Value::as_table);
    let names = dependencies.into_iter().flat_map(toml::Table::keys);
    names.filter_map(|name| name.strip_prefix(PREFIX)).map(str::to_owned).collect()
}

/// Each row of the crate table in ARCHITECTURE.md: a folder in backquotes, then what it may import.
fn edges_table(document: &str) -> Vec<(String, BTreeSet<String>)> {
    let rows = document.lines().filter(|line| line.starts_with("| `crates/"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let folder = cells[1].trim_matches('`').trim_start_matches("crates/").to_owned();
        let imports = cells[2].split(',').map(|cell| cell.trim().trim_matches('`').to_owned());
        (folder, imports.filter(|name| !name.is_empty() && name != "nothing of ours").collect())
    })
    .collect()
}

fn edge_problems(folder: &str, allowed: &BTreeSet<String>, manifest: &toml::Table) -> Vec<String> {
    let mut problems = Vec::new();
    for section in ["dependencies", "build-dependencies"] {
        for extra in own_imports(manifest, section).difference(allowed) {
            problems.push(format!(
                "crates/{folder} imports {extra} ({section}), which ARCHITECTURE.md does not allow"
            ));
        }
    }
    for missing in allowed.difference(&own_imports(manifest, "dependencies")) {
        problems.push(format!("crates/{folder} no longer imports {missing}: take it out of ARCHITECTURE.md"));
    }
    // Tests may use what the crate itself may, and the crate that breaks things.
    for extra in own_imports(manifest, "dev-dependencies").difference(allowed) {
        if extra != "testkit" {
            problems.push(format!(
                "crates/{folder} imports {extra} in its tests, which ARCHITECTURE.md does not allow"
            ));
        }
    }
    problems
}

fn lint_problems(path: &str, manifest: &toml::Table) -> Vec<String> {
    let lints = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
    if lints == Some(true) { vec![] } else { vec![format!("{path} does not take the workspace's lints")] }
}

/// One line for each dependency, so that its reason stands beside it.
fn reason_problems(manifest: &str) -> Vec<String> {
    let section =
        manifest.split("[workspace.dependencies]").nth(1).expect("the root manifest has the section");
    let lines = section.lines().skip(1).take_while(|line| !line.starts_with('['));
    lines
        .filter(|line| line.contains('=') && !line.trim_start().starts_with('#'))
        .filter(|line| !line.contains("path = "))
        .filter(|line| line.split_once("# ").is_none_or(|(_, reason)| reason.trim().len() < 10))
        .map(|line| format!("Cargo.toml: no reason beside `{}`", line.trim()))
        .collect()
}

/// Versions are chosen once, at the root.
fn version_problems(path: &str, manifest: &toml::Table) -> Vec<String> {
    let mut tables: Vec<&toml::Table> = vec![manifest];
    tables.extend(
        manifest
            .get("target")
            .and_then(toml::Value::as_table)
            .into_iter()
            .flat_map(|targets| targets.values().filter_map(toml::Value::as_table)),
    );
    let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
    let entries =
        tables.iter().flat_map(|table| sections.iter().filter_map(|section| table.get(*section)?.as_table()));
    entries
        .flatten()
        .filter(|(_, spec)| spec.get("workspace").and_then(toml::Value::as_bool) != Some(true))
        .map(|(name, _)| format!("{path}: {name} does not come from [workspace.dependencies]"))
        .collect()
}

fn manifests() -> Vec<(String, toml::Table)> {
    let files = tree::files("").into_iter().filter(|file| file.path.ends_with("Cargo.toml"));
    files.map(|file| (file.path, file.text.parse().expect("cargo reads it, so it is TOML"))).collect()
}

#[test]
fn crates_import_exactly_what_the_table_in_the_architecture_says() {
    let table = edges_table(&tree::read("ARCHITECTURE.md"));
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, manifest) in manifests() {
        let Some(folder) = path.strip_prefix("crates/").and_then(|path| path.strip_suffix("/Cargo.toml"))
        else {
            continue;
        };
        seen.insert(folder.to_owned());
        match table.iter().find(|(name, _)| name == folder) {
            Some((_, allowed)) => problems.extend(edge_problems(folder, allowed, &manifest)),
            None => problems.push(format!("crates/{folder} has no row in ARCHITECTURE.md")),
        }
    }
    let rows: BTreeSet<String> = table.into_iter().map(|(folder, _)| folder).collect();
    problems.extend(
        rows.difference(&seen)
            .map(|folder| format!("ARCHITECTURE.md names crates/{folder}, which is not there")),
    );
    assert_none(&problems);
}

#[test]
fn the_edge_check_refuses_an_import_that_the_table_does_not_list() {
    let document = "| `crates/ipc` | nothing of ours | frames |\n| `crates/isolation` | `pipeline-core`, `ipc` | processes |";
    let table = edges_table(document);
    let bad =
        "[dependencies]\ncofferdam-checkpoint.workspace = true\nserde.workspace = true".parse().unwrap();
    assert_one(&edge_problems("ipc", &table[0].1, &bad), "crates/ipc imports checkpoint");
    let fewer = "[dependencies]\ncofferdam-ipc.workspace = true".parse().unwrap();
    assert_one(&edge_problems("isolation", &table[1].1, &fewer), "no longer imports pipeline-core");
    let in_tests = "[dev-dependencies]\ncofferdam-testkit.workspace = true\ncofferdam-ipc.workspace = true"
        .parse()
        .unwrap();
    assert_one(&edge_problems("checkpoint", &BTreeSet::new(), &in_tests), "imports ipc in its tests");
}

#[test]
fn every_package_takes_the_lints_of_the_workspace() {
    assert_none(
        &manifests().iter().flat_map(|(path, manifest)| lint_problems(path, manifest)).collect::<Vec<_>>(),
    );
}

#[test]
fn the_lint_check_refuses_a_package_without_them() {
    let bad = "[package]\nname = \"x\"\n[lints.rust]\nunsafe_code = \"allow\"".parse().unwrap();
    assert_one(&lint_problems("x/Cargo.toml", &bad), "does not take the workspace's lints");
}

#[test]
fn every_dependency_of_the_workspace_has_its_reason_beside_it() {
    assert_none(&reason_problems(&tree::read("Cargo.toml")));
}

#[test]
fn the_reason_check_refuses_a_bare_dependency() {
    let bad = "[workspace.dependencies]\nours = { path = \"x\" }\nserde = \"1\" # items are serde types\nrand = \"1\"\n[next]\nx = 1";
    assert_one(&reason_problems(bad), "rand");
}

#[test]
fn every_dependency_gets_its_version_from_the_workspace() {
    assert_none(
        &manifests().iter().flat_map(|(path, manifest)| version_problems(path, manifest)).collect::<Vec<_>>(),
    );
}

#[test]
fn the_version_check_refuses_a_version_of_a_members_own() {
    let bad = "[target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"\n[dependencies]\nserde.workspace = true"
        .parse()
        .unwrap();
    assert_one(&version_problems("x/Cargo.toml", &bad), "libc");
}
