//! `knowledge.jsonl`: one line for each completed item.

use super::json;
use crate::facts::Facts;
use crate::neutral;
use serde::Serialize;
use std::io;

/// The fields are documented in the README. No times and no counters of attempts: the file is the same however the
/// run went.
#[derive(Serialize)]
struct Line<'a> {
    key: &'a str,
    r#type: &'a str,
    media_type: &'a str,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pages: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Image<'a>>,
    words: u64,
    links: u64,
    headings: &'a [String],
    summary: &'a str,
    keywords: &'a [String],
    notes: &'a [String],
    text: &'a str,
}

#[derive(Serialize)]
struct Image<'a> {
    width: u32,
    height: u32,
    color: &'a str,
    dhash: &'a str,
}

/// The line of one item.
pub fn line(key: &[u8], facts: &Facts) -> io::Result<Vec<u8>> {
    let image = facts.image.as_ref();
    json::to_line(&Line {
        key: &neutral::escape_key(key),
        r#type: facts.kind.name(),
        media_type: &facts.media_type,
        bytes: facts.bytes,
        title: facts.title.as_deref(),
        encoding: facts.encoding.as_deref(),
        pages: facts.pages,
        image: image.map(|image| Image {
            width: image.width,
            height: image.height,
            color: &image.color,
            dhash: &image.dhash,
        }),
        words: facts.words,
        links: facts.links,
        headings: &facts.headings,
        summary: &facts.summary,
        keywords: &facts.keywords,
        notes: &facts.notes,
        text: &facts.text,
    })
}
