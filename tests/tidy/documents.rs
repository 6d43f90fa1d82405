//! Documents: what they promise is there, and nothing stands in them that should not.

use crate::tree::{self, File};
use crate::{assert_none, assert_one};
use std::collections::BTreeMap;

/// The two commands for a stranger.
const COMMANDS: [&str; 2] = ["cargo run --release -p ingest", "cargo test --workspace"];

/// Hosts of package registries, in pieces so that this file does not name them.
const REGISTRY_HOSTS: [&[&str]; 7] = [
    &["crates", "io"],
    &["pypi", "org"],
    &["pythonhosted", "org"],
    &["npmjs", "org"],
    &["npmjs", "com"],
    &["deb", "debian", "org"],
    &["proxy", "golang", "org"],
];

fn registry_problems(file: &File) -> Vec<String> {
    let hosts = REGISTRY_HOSTS.iter().map(|parts| parts.join("."));
    hosts
        .filter(|host| file.text.to_lowercase().contains(host.as_str()))
        .map(|host| format!("{} names the package registry {host}", file.path))
        .collect()
}

/// Each page of docs/spec is compared with the code by a test that names the page.
fn spec_problems(specs: &[&str], sources: &[File]) -> Vec<String> {
    let untested = specs.iter().filter(|spec| {
        let is_named = |file: &File| file.text.contains(*spec) && file.text.contains("#[test]");
        !sources.iter().any(is_named)
    });
    untested.map(|spec| format!("no test names {spec}: nothing compares its tables with the code")).collect()
}

fn decision_problems(paths: &[&str]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut numbers: BTreeMap<&str, &str> = BTreeMap::new();
    for path in paths {
        let name = path.rsplit('/').next().expect("not empty");
        let number = name.split('-').next().expect("not empty");
        if number.len() != 4 || !number.bytes().all(|b| b.is_ascii_digit()) {
            problems.push(format!("{path} does not begin with four digits"));
        } else if let Some(other) = numbers.insert(number, path) {
            problems.push(format!("{other} and {path} have the same number"));
        }
    }
    problems
}

fn command_problems(readme: &str) -> Vec<String> {
    let missing =
        COMMANDS.iter().filter(|command| !readme.lines().any(|line| line.trim().starts_with(*command)));
    missing.map(|command| format!("README.md does not show `{command}`")).collect()
}

/// Rows of docs/promises.md that name no test, or one that is not there.
fn promise_problems(document: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let rows = document.lines().filter(|line| line.starts_with("| ") && !line.ends_with("| tests |"));
    let mut problems = Vec::new();
    for row in rows {
        let (promise, tests) = row.trim_matches([' ', '|']).split_once(" | ").expect("a row has two cells");
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            problems.push(format!("docs/promises.md: no test holds {promise:?}"));
        }
        let missing = names.into_iter().filter(|name| !exists(name));
        problems.extend(missing.map(|name| format!("docs/promises.md: there is no test `{name}`")));
    }
    problems
}

/// Relative links that lead nowhere.
fn link_problems(file: &File, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let targets = file.text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    targets
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.contains(' '))
        .map(|target| resolve(folder, target))
        .filter(|target| !exists(target))
        .map(|target| format!("{} links to {target}, which is not there", file.path))
        .collect()
}

fn resolve(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn files_with(folder: &str, extension: &str) -> Vec<File> {
    tree::files(folder).into_iter().filter(|file| file.path.ends_with(extension)).collect()
}

#[test]
fn no_file_names_a_package_registry() {
    assert_none(&tree::files("").iter().flat_map(registry_problems).collect::<Vec<_>>());
}

#[test]
fn the_registry_check_refuses_a_host() {
    let text = format!("see https://Static.{}/x", ["crates", "io"].join("."));
    assert_one(&registry_problems(&File { path: "a.md".into(), text }), "a.md names the package registry");
}

#[test]
fn every_specification_is_compared_with_the_code_by_a_test() {
    let specs = files_with("docs", ".md").into_iter().map(|file| file.path);
    let specs: Vec<String> = specs.filter(|path| path.starts_with("docs/spec/")).collect();
    let specs: Vec<&str> = specs.iter().map(String::as_str).collect();
    assert_none(&spec_problems(&specs, &files_with("", ".rs")));
}

#[test]
fn the_specification_check_refuses_a_page_without_a_test() {
    let named = File { path: "a.rs".into(), text: "// docs/spec/wire.md\n#[test]\nfn t() {}".into() };
    assert_one(&spec_problems(&["docs/spec/wire.md", "docs/spec/other.md"], &[named]), "docs/spec/other.md");
}

#[test]
fn every_decision_has_a_number_of_its_own() {
    let decisions = files_with("docs/adr", ".md");
    let paths: Vec<&str> = decisions.iter().map(|file| file.path.as_str()).collect();
    assert_none(&decision_problems(&paths));
}

#[test]
fn the_decision_check_refuses_a_number_twice_and_a_name_without_one() {
    assert_one(&decision_problems(&["docs/adr/0001-a.md", "docs/adr/0001-b.md"]), "the same number");
    assert_one(&decision_problems(&["docs/adr/a.md"]), "four digits");
}

#[test]
fn the_readme_shows_both_commands() {
    assert_none(&command_problems(&tree::read("README.md")));
}

#[test]
fn the_command_check_refuses_a_readme_without_one() {
    assert_one(&command_problems("```\ncargo run --release -p ingest\n```"), "cargo test --workspace");
}

#[test]
fn every_promise_names_tests_that_are_there() {
    let sources = files_with("", ".rs");
    let is_test = |file: &File, name: &str| {
        let has_tests = ["#[test]", "libtest_mimic::run("].iter().any(|mark| file.text.contains(mark));
        has_tests && file.text.contains(&format!("fn {name}("))
            || file.text.contains("conformance_tests") && file.text.contains(&format!("pub fn {name}("))
    };
    let exists = |name: &str| sources.iter().any(|file| is_test(file, name));
    assert_none(&promise_problems(&tree::read("docs/promises.md"), exists));
}

#[test]
fn the_promise_check_refuses_a_row_without_a_test_and_a_test_that_is_gone() {
    let table = |tests: &str| format!("| promise | tests |\n|---|---|\n| it holds | {tests} |");
    assert_one(&promise_problems(&table("none"), |_| true), "no test holds \"it holds\"");
    assert_one(&promise_problems(&table("`here`, `gone`"), |name| name == "here"), "no test `gone`");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = tree::root();
    let documents =
        files_with("", ".md").into_iter().filter(|file| !file.path.starts_with("examples/ingest/samples/"));
    let problems = documents.flat_map(|file| link_problems(&file, |target| root.join(target).exists()));
    assert_none(&problems.collect::<Vec<_>>());
}

#[test]
fn the_link_check_refuses_a_link_to_nothing() {
    let file = File {
        path: "docs/a.md".into(),
        text: "[x](../README.md#top) [y](b.md) [z](https://x.y) [w](#here)".into(),
    };
    assert_one(&link_problems(&file, |target| target == "README.md"), "docs/a.md links to docs/b.md");
}
