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
    author: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    album: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pages: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Image<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<Audio<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<Video<'a>>,
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

#[derive(Serialize)]
struct Audio<'a> {
    codec: &'a str,
    sample_rate: Option<u32>,
    channels: Option<u32>,
    loudness_lufs: Option<f64>,
}

#[derive(Serialize)]
struct Video<'a> {
    codec: &'a str,
    width: Option<u16>,
    height: Option<u16>,
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
        author: facts.author.as_deref(),
        album: facts.album.as_deref(),
        encoding: facts.encoding.as_deref(),
        pages: facts.pages,
        duration_ms: facts.duration_ms,
        image: image.map(|image| Image {
            width: image.width,
            height: image.height,
            color: &image.color,
            dhash: &image.dhash,
        }),
        audio: facts.audio.as_ref().map(|audio| Audio {
            codec: &audio.codec,
            sample_rate: audio.sample_rate,
            channels: audio.channels,
            loudness_lufs: audio.loudness.map(|tenths| f64::from(tenths) / 10.0),
        }),
        video: facts.video.as_ref().map(|video| Video {
            codec: &video.codec,
            width: video.width,
            height: video.height,
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
