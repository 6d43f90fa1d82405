//! Rust sources, read as tokens, so that a word in a comment or a string is never mistaken for code.

use crate::tree::{self, File};
use crate::{assert_none, assert_one};
use proc_macro2::{Group, TokenStream, TokenTree};
use std::collections::BTreeMap;

/// A library file may not have more lines of code that is not a test.
const LIBRARY_LINES_MAX: usize = 500;

/// Words in a `cfg` that name a system.
const PLATFORM_WORDS: [&str; 7] =
    ["unix", "windows", "target_os", "target_family", "target_vendor", "target_env", "target_abi"];

/// One token, in the order of the text; a group gives its delimiters' content after its own entry.
enum Token {
    Word(String),
    Punct(char),
    Literal(String),
    Group,
}

/// All tokens of a file with the line each stands on.
fn tokens(file: &File) -> Vec<(Token, usize)> {
    let mut flat = Vec::new();
    flatten(parse(file), &mut flat);
    flat
}

fn parse(file: &File) -> TokenStream {
    let text = file.text.strip_prefix("#!/").map_or(file.text.as_str(), |_| "");
    text.parse().unwrap_or_else(|e| panic!("{} does not lex: {e}", file.path))
}

fn flatten(stream: TokenStream, flat: &mut Vec<(Token, usize)>) {
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Ident(ident) => flat.push((Token::Word(ident.to_string()), line)),
            TokenTree::Punct(punct) => flat.push((Token::Punct(punct.as_char()), line)),
            TokenTree::Literal(literal) => flat.push((Token::Literal(literal.to_string()), line)),
            TokenTree::Group(group) => {
                flat.push((Token::Group, line));
                flatten(group.stream(), flat);
            }
        }
    }
}

fn word(token: Option<&(Token, usize)>) -> Option<&str> {
    match token {
        Some((Token::Word(word), _)) => Some(word),
        _ => None,
    }
}

fn is_punct(token: Option<&(Token, usize)>, wanted: char) -> bool {
    matches!(token, Some((Token::Punct(c), _)) if *c == wanted)
}

/// Sources of the libraries: the members' and the facade's.
fn library_sources() -> Vec<File> {
    let members = tree::files("crates").into_iter().filter(|file| file.path.contains("/src/"));
    let facade = tree::files("src");
    members.chain(facade).filter(|file| file.path.ends_with(".rs")).collect()
}

fn all_sources() -> Vec<File> {
    tree::files("").into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

fn is_under_sys(path: &str) -> bool {
    path.contains("/sys/") || path.ends_with("/sys.rs")
}

fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}

fn platform_problems(file: &File) -> Vec<String> {
    if is_under_sys(&file.path) {
        return vec![];
    }
    let mut problems = Vec::new();
    platform_cfgs(parse(file), &mut |line, name| {
        problems.push(format!("{}:{line}: a cfg on `{name}` outside sys/", file.path));
    });
    problems
}

/// Finds `cfg(…)`, `cfg_attr(…)` and `cfg!(…)` with a platform word inside.
fn platform_cfgs(stream: TokenStream, found: &mut impl FnMut(usize, &str)) {
    let mut inside_cfg = false;
    for tree in stream {
        match tree {
            TokenTree::Ident(ident) => {
                inside_cfg = ident == "cfg" || ident == "cfg_attr" || ident == "cfg_select"
            }
            TokenTree::Punct(punct) => inside_cfg = inside_cfg && punct.as_char() == '!',
            TokenTree::Literal(_) => inside_cfg = false,
            TokenTree::Group(group) if inside_cfg => {
                platform_words(&group, found);
                inside_cfg = false;
            }
            TokenTree::Group(group) => platform_cfgs(group.stream(), found),
        }
    }
}

fn platform_words(group: &Group, found: &mut impl FnMut(usize, &str)) {
    for tree in group.stream() {
        match tree {
            TokenTree::Ident(ident) if PLATFORM_WORDS.iter().any(|word| ident == word) => {
                found(ident.span().start().line, &ident.to_string());
            }
            TokenTree::Group(inner) => platform_words(&inner, found),
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn unsafe_problems(file: &File) -> Vec<String> {
    if is_under_sys(&file.path) || file.path.starts_with("crates/isolation/src/recorder/") {
        return vec![];
    }
    let tokens = tokens(file);
    let found = tokens.iter().filter(|token| word(Some(token)) == Some("unsafe"));
    found
        .map(|(_, line)| format!("{}:{line}: unsafe outside sys/ and the flight recorder", file.path))
        .collect()
}

/// Clippy sees only the code of the system it runs on; this sees every system's. A test may be ignored only when another runs it.
fn unfinished_problems(file: &File) -> Vec<String> {
    let tokens = tokens(file);
    let marks = (0..tokens.len()).filter_map(|at| {
        let name = word(tokens.get(at))?;
        let is_macro = matches!(name, "todo" | "unimplemented") && is_punct(tokens.get(at + 1), '!');
        let is_skip =
            name == "ignore" && at >= 2 && is_punct(tokens.get(at - 2), '#') && !is_part(tokens.get(at + 2));
        (is_macro || is_skip).then(|| format!("{}:{}: `{name}`", file.path, tokens[at].1))
    });
    marks.collect()
}

/// Whether this is the reason of a test that is the other half of one: a host to be killed, say.
fn is_part(reason: Option<&(Token, usize)>) -> bool {
    matches!(reason, Some((Token::Literal(text), _)) if text.starts_with("\"a part of "))
}

/// Lines before the test module, if there is one.
fn library_lines(text: &str) -> usize {
    text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count()
}

fn length_problems(file: &File) -> Vec<String> {
    let lines = library_lines(&file.text);
    if lines <= LIBRARY_LINES_MAX || is_test_file(&file.path) {
        return vec![];
    }
    vec![format!("{}: {lines} lines; a file is one noun of at most {LIBRARY_LINES_MAX}", file.path)]
}

/// The banned methods of clippy.toml as (type or module, method), such as (`Instant`, `now`).
fn banned(clippy_toml: &str) -> Vec<(String, String)> {
    let table: toml::Table = clippy_toml.parse().expect("clippy reads it, so it is TOML");
    let methods = table["disallowed-methods"].as_array().expect("a list");
    let paths = methods.iter().map(|method| method["path"].as_str().expect("a path"));
    paths
        .map(|path| {
            let mut parts = path.rsplit("::");
            let (method, owner) =
                (parts.next().expect("not empty"), parts.next().expect("at least two parts"));
            (owner.to_owned(), method.to_owned())
        })
        .collect()
}

/// Where each banned method is named in one crate's code that is not a test, on any system.
fn uses(files: &[&File], banned: &[(String, String)]) -> BTreeMap<String, Vec<String>> {
    let mut uses: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| !is_test_file(&file.path)) {
        let lines = library_lines(&file.text);
        let tokens = tokens(file);
        for at in 0..tokens.len() {
            let Some((owner, method)) =
                banned.iter().find(|(owner, method)| names(&tokens, at, owner, method))
            else {
                continue;
            };
            if tokens[at].1 <= lines {
                uses.entry(format!("{owner}::{method}"))
                    .or_default()
                    .push(format!("{}:{}", file.path, tokens[at].1));
            }
        }
    }
    uses
}

/// Whether `owner::method` begins at `at`. Calls on a value (`file.sync_all()`) have no type here: those are left to clippy.
fn names(tokens: &[(Token, usize)], at: usize, owner: &str, method: &str) -> bool {
    word(tokens.get(at)) == Some(owner)
        && is_punct(tokens.get(at + 1), ':')
        && is_punct(tokens.get(at + 2), ':')
        && word(tokens.get(at + 3)) == Some(method)
}

/// A crate may use a banned method in one place, and besides under sys/, where each system has its own.
fn place_problems(krate: &str, files: &[&File], banned: &[(String, String)]) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, places) in uses(files, banned) {
        let elsewhere: Vec<&String> = places.iter().filter(|place| !place.contains("/sys/")).collect();
        if elsewhere.len() > 1 {
            let places: Vec<&str> = elsewhere.iter().map(|place| place.as_str()).collect();
            problems.push(format!("{krate} uses {name} in more than one place: {}", places.join(", ")));
        }
    }
    problems
}

fn crate_of(path: &str) -> &str {
    path.split("/src/").next().filter(|krate| krate.starts_with("crates/")).unwrap_or("src")
}

fn each(files: &[File], check: impl Fn(&File) -> Vec<String>) -> Vec<String> {
    files.iter().flat_map(check).collect()
}

fn sample(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

#[test]
fn platforms_are_named_only_under_sys() {
    assert_none(&each(&library_sources(), platform_problems));
}

#[test]
fn the_platform_check_refuses_a_cfg_elsewhere_and_ignores_comments() {
    let bad = sample(
        "crates/x/src/a.rs",
        "// #[cfg(unix)]\n#[cfg(test)]\nfn f() { let s = \"cfg(unix)\"; if cfg!(not(windows)) {} }",
    );
    assert_one(&platform_problems(&bad), "a.rs:3: a cfg on `windows`");
    let attribute = sample("crates/x/src/a.rs", "#[cfg(all(test, target_os = \"linux\"))] mod a;");
    assert_one(&platform_problems(&attribute), "target_os");
    let fine = sample("crates/x/src/sys/mod.rs", "#[cfg(unix)] mod unix;");
    assert_none(&platform_problems(&fine));
}

#[test]
fn unsafe_code_stands_only_under_sys_and_in_the_flight_recorder() {
    assert_none(&each(&library_sources(), unsafe_problems));
}

#[test]
fn the_unsafe_check_refuses_a_block_elsewhere() {
    let bad = sample("crates/x/src/a.rs", "#![expect(unsafe_code)]\n/* unsafe */\nfn f() { unsafe { g() } }");
    assert_one(&unsafe_problems(&bad), "a.rs:3");
}

#[test]
fn nothing_is_left_unfinished_or_skipped() {
    assert_none(&each(&all_sources(), unfinished_problems));
}

#[test]
fn the_unfinished_check_refuses_the_macros_and_skipped_tests() {
    assert_one(&unfinished_problems(&sample("a.rs", "fn f() { todo /* later */ !() } // todo!()")), "`todo`");
    assert_one(&unfinished_problems(&sample("a.rs", "fn f() { unimplemented!(\"w\") }")), "`unimplemented`");
    assert_one(
        &unfinished_problems(&sample("a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() { ignore(x) }")),
        "a.rs:2",
    );
}

#[test]
fn library_files_stay_short() {
    assert_none(&each(&library_sources(), length_problems));
}

#[test]
fn the_length_check_refuses_a_long_file_but_not_long_tests() {
    let long = "fn f() {}\n".repeat(LIBRARY_LINES_MAX + 1);
    assert_one(&length_problems(&sample("crates/x/src/a.rs", &long)), "501 lines");
    let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert_none(&length_problems(&sample("crates/x/src/a.rs", &tested)));
}

#[test]
fn a_banned_method_stands_in_one_place_of_a_crate() {
    let banned = banned(&tree::read("clippy.toml"));
    let sources = library_sources();
    let mut crates: BTreeMap<&str, Vec<&File>> = BTreeMap::new();
    // The testkit only breaks things: it aborts and exits in as many places as there are ways to misbehave.
    for file in sources.iter().filter(|file| !file.path.starts_with("crates/testkit/")) {
        crates.entry(crate_of(&file.path)).or_default().push(file);
    }
    assert_none(
        &crates.iter().flat_map(|(krate, files)| place_problems(krate, files, &banned)).collect::<Vec<_>>(),
    );
}

#[test]
fn the_place_check_refuses_a_second_place() {
    let banned = banned(
        "disallowed-methods = [{ path = \"std::time::Instant::now\" }, { path = \"std::fs::File::sync_all\" }]",
    );
    let first = sample("crates/x/src/a.rs", "fn a() { Instant::now(); }");
    let second = sample("crates/x/src/b.rs", "fn b() { std::time::Instant::now(); }");
    assert_one(
        &place_problems("crates/x", &[&first, &second], &banned),
        "Instant::now in more than one place",
    );
    let test = sample("crates/x/src/b.rs", "#[cfg(test)]\nmod tests { fn b() { Instant::now(); } }");
    assert_none(&place_problems("crates/x", &[&first, &test], &banned));
}
