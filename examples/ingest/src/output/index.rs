//! `index.md`: the map of content. A pure function of the completed items.

use crate::facts::{Facts, Kind};
use crate::neutral::{display_key, markdown, short_line};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Topics that are listed.
const TOPICS_MAX: usize = 40;
/// Items that are listed under a topic.
const TOPIC_ITEMS_MAX: usize = 12;
/// Distinct keywords that are considered; later ones (in order of keys) are not.
const KEYWORDS_MAX: usize = 200_000;
/// Of a summary.
const SUMMARY_CHARS_MAX: usize = 200;

/// What the map needs to know of an item.
#[derive(Debug, Serialize, Deserialize)]
pub struct Card {
    kind: Kind,
    title: Option<String>,
    summary: String,
    keywords: Vec<String>,
}

impl Card {
    /// Of an item's facts.
    pub fn of(facts: &Facts) -> Self {
        Self {
            kind: facts.kind,
            title: facts.title.clone(),
            summary: short_line(&facts.summary, SUMMARY_CHARS_MAX),
            keywords: facts.keywords.clone(),
        }
    }
}

#[derive(Default)]
struct Topic<'k> {
    items: u64,
    first: Vec<&'k [u8]>,
}

/// Writes the map of the items with these keys, which come in order; `card_of` is called twice for each.
pub fn write(
    out: &mut dyn Write,
    mut keys: Vec<&[u8]>,
    mut card_of: impl FnMut(&[u8]) -> io::Result<Card>,
) -> io::Result<()> {
    let mut kinds: BTreeMap<Kind, u64> = BTreeMap::new();
    let mut topics: BTreeMap<String, Topic<'_>> = BTreeMap::new();
    for key in &keys {
        let card = card_of(key)?;
        *kinds.entry(card.kind).or_default() += 1;
        // Other keywords are only technical.
        if card.kind.has_text() {
            card.keywords.into_iter().for_each(|word| add_topic(&mut topics, word, key));
        }
    }
    writeln!(out, "# Map of content\n")?;
    let kinds: Vec<String> = kinds.iter().map(|(kind, items)| format!("{items} {}", kind.name())).collect();
    let items = if keys.len() == 1 { "item" } else { "items" };
    writeln!(out, "{} {items}{}{}.", keys.len(), if keys.is_empty() { "" } else { ": " }, kinds.join(", "))?;
    write_topics(out, topics)?;
    // By folder, then by name: in the order of the keys the files of a folder lie between those of its subfolders.
    keys.sort_by_key(|key| split(key));
    write_folders(out, &keys, card_of)
}

fn add_topic<'k>(topics: &mut BTreeMap<String, Topic<'k>>, word: String, key: &'k [u8]) {
    if topics.len() >= KEYWORDS_MAX && !topics.contains_key(&word) {
        return;
    }
    let topic = topics.entry(word).or_default();
    topic.items += 1;
    if topic.first.len() < TOPIC_ITEMS_MAX {
        topic.first.push(key);
    }
}

fn write_topics(out: &mut dyn Write, topics: BTreeMap<String, Topic<'_>>) -> io::Result<()> {
    let mut shared: Vec<(String, Topic<'_>)> =
        topics.into_iter().filter(|(_, topic)| topic.items > 1).collect();
    if shared.is_empty() {
        return Ok(());
    }
    // The sort is stable, so equals stay in the order of their words.
    shared.sort_by_key(|(_, topic)| std::cmp::Reverse(topic.items));
    shared.truncate(TOPICS_MAX);
    writeln!(out, "\n## Topics\n")?;
    for (word, topic) in &shared {
        let names: Vec<String> =
            topic.first.iter().map(|key| markdown(&display_key(key)).into_owned()).collect();
        let more = topic.items - names.len() as u64;
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        writeln!(
            out,
            "- **{}** ({}): {}{more}",
            markdown(&short_line(word, SUMMARY_CHARS_MAX)),
            topic.items,
            names.join(", ")
        )?;
    }
    Ok(())
}

fn write_folders(
    out: &mut dyn Write,
    keys: &[&[u8]],
    mut card_of: impl FnMut(&[u8]) -> io::Result<Card>,
) -> io::Result<()> {
    let mut open: Option<&[u8]> = None;
    for key in keys {
        let (folder, name) = split(key);
        if open != Some(folder) {
            open = Some(folder);
            let title = if folder.is_empty() { "(top)".to_owned() } else { display_key(folder) };
            writeln!(out, "\n## {}\n", markdown(&title))?;
        }
        let card = card_of(key)?;
        write!(out, "- **{}** ({})", markdown(&display_key(name)), card.kind.name())?;
        if let Some(title) = &card.title {
            write!(out, ": {}", markdown(&short_line(title, SUMMARY_CHARS_MAX)))?;
        }
        writeln!(out)?;
        if !card.summary.is_empty() {
            writeln!(out, "  {}", markdown(&short_line(&card.summary, SUMMARY_CHARS_MAX)))?;
        }
    }
    Ok(())
}

fn split(key: &[u8]) -> (&[u8], &[u8]) {
    match key.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&key[..at], &key[at + 1..]),
        None => (b"", key),
    }
}
