//! From a file to [`Facts`].

mod decode;
mod docx;
mod epub;
mod html;
mod image;
mod markdown;
mod media;
mod package;
mod pdf;
mod sniff;
mod text;

use crate::engine::{Context, Failure, FailureKind};
use crate::facts::{Facts, Kind};
use crate::item::Config;
use crate::{keywords, neutral, summary, sys};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

/// At most this much of a text, web page or Markdown file is read.
const TEXT_READ_MAX: u64 = 4 << 20;
/// A larger PDF or image is refused: half a file of these is worth nothing.
const WHOLE_READ_MAX: u64 = 64 << 20;
/// At most this much extracted text is kept, summarised and searched for keywords.
const TEXT_LEN_MAX: usize = 256 << 10;
/// At most this much of the start of a file decides about its kind.
const HEAD_LEN: u64 = 8 << 10;
/// The first headings that are kept.
const HEADINGS_MAX: usize = 20;
/// Titles and headings are cut to this many characters.
const TITLE_CHARS_MAX: usize = 160;

/// Reads a file and says what is in it.
///
/// # Errors
/// `InvalidInput` when the file cannot be opened or is damaged; `Transient` when reading it failed in a way that may pass.
pub fn extract(path: &Path, config: &Config, cx: &Context<'_>) -> Result<Facts, Failure> {
    cx.stage("open");
    let mut file = sys::open_regular(path).map_err(|error| read_failure(&error))?;
    let len = file.metadata().map_err(|error| read_failure(&error))?.len();
    cx.stage("read");
    let mut bytes = Vec::new();
    read_some(&mut file, HEAD_LEN, &mut bytes)?;
    let extension =
        path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
    let sniffed = sniff::sniff(&bytes, &extension);
    let mut facts = Facts::new(sniffed.kind, sniffed.media_type, len);
    match sniffed.kind {
        Kind::Empty => facts.notes.push("the file is empty".to_owned()),
        Kind::Other => {}
        Kind::Pdf => {
            read_whole(&mut file, len, &mut bytes)?;
            pdf::extract(&bytes, &mut facts, cx)?;
        }
        Kind::Image => {
            read_whole(&mut file, len, &mut bytes)?;
            image::extract(&bytes, &mut facts, cx)?;
        }
        Kind::Docx => docx::extract(rewound(file)?, &mut facts, cx)?,
        Kind::Epub => epub::extract(rewound(file)?, &mut facts, cx)?,
        Kind::Audio | Kind::Video => media::extract(rewound(file)?, &extension, &mut facts, cx)?,
        Kind::Html | Kind::Markdown | Kind::Text => {
            read_start(&mut file, len, &mut bytes, &mut facts)?;
            extract_textual(&bytes, &mut facts, cx)?;
        }
    }
    cx.check()?;
    finish(&mut facts, config, cx);
    Ok(facts)
}

fn extract_textual(bytes: &[u8], facts: &mut Facts, cx: &Context<'_>) -> Result<(), Failure> {
    cx.stage("decode");
    let decoded = decode::decode(bytes, facts.kind == Kind::Html);
    facts.encoding = Some(decoded.encoding.to_owned());
    if decoded.had_errors {
        facts.notes.push(format!("some bytes are not valid {}", decoded.encoding));
    }
    cx.check()?;
    cx.stage("parse");
    match facts.kind {
        Kind::Html => html::extract(decoded.text, facts),
        Kind::Markdown => markdown::extract(&decoded.text, facts),
        Kind::Text => text::extract(decoded.text, facts),
        Kind::Pdf | Kind::Docx | Kind::Epub | Kind::Image | Kind::Audio | Kind::Video => {
            unreachable!("these are read by their own extractors")
        }
        Kind::Empty | Kind::Other => unreachable!("these hold no text"),
    }
    Ok(())
}

/// What all kinds have in common: cleaning, cutting, counting, summary and keywords.
fn finish(facts: &mut Facts, config: &Config, cx: &Context<'_>) {
    cx.stage("analyse");
    let (text, is_cut) = neutral::paragraphs(&facts.text, TEXT_LEN_MAX);
    if is_cut {
        facts.notes.push(format!("the text is cut at {TEXT_LEN_MAX} bytes"));
    }
    facts.text = text;
    for line in [&mut facts.title, &mut facts.author, &mut facts.album] {
        *line = line
            .take()
            .map(|line| neutral::short_line(&line, TITLE_CHARS_MAX))
            .filter(|line| !line.is_empty());
    }
    facts.headings = facts
        .headings
        .iter()
        .map(|text| neutral::short_line(text, TITLE_CHARS_MAX))
        .filter(|text| !text.is_empty())
        .take(HEADINGS_MAX)
        .collect();
    facts.notes.iter_mut().for_each(|note| *note = neutral::short_line(note, 2 * TITLE_CHARS_MAX));
    if !facts.kind.has_text() {
        return;
    }
    let words = keywords::Words::of(&facts.text);
    facts.words = words.total();
    facts.keywords = words.keywords(config.keywords as usize);
    facts.summary = summary::summarize(&facts.text, &words, config.summary_sentences as usize);
}

/// For libraries that read where they please.
fn rewound(mut file: File) -> Result<File, Failure> {
    file.rewind().map_err(|error| read_failure(&error))?;
    Ok(file)
}

fn read_some(file: &mut File, max: u64, bytes: &mut Vec<u8>) -> Result<(), Failure> {
    file.take(max).read_to_end(bytes).map_err(|error| read_failure(&error))?;
    Ok(())
}

/// The rest of a file that is useful only as a whole.
fn read_whole(file: &mut File, len: u64, bytes: &mut Vec<u8>) -> Result<(), Failure> {
    read_some(file, WHOLE_READ_MAX + 1 - bytes.len() as u64, bytes)?;
    if bytes.len() as u64 > WHOLE_READ_MAX {
        return Err(Failure::invalid_input(format!(
            "{len} bytes are more than the {WHOLE_READ_MAX} that are read of such a file"
        )));
    }
    Ok(())
}

/// The rest of a file whose start alone says much.
fn read_start(file: &mut File, len: u64, bytes: &mut Vec<u8>, facts: &mut Facts) -> Result<(), Failure> {
    read_some(file, TEXT_READ_MAX - bytes.len() as u64, bytes)?;
    if bytes.len() as u64 == TEXT_READ_MAX && len > TEXT_READ_MAX {
        facts.notes.push(format!("only the first {TEXT_READ_MAX} of {len} bytes were read"));
    }
    Ok(())
}

/// What is missing, forbidden or of the wrong kind stays so; other errors of devices and networks may pass.
fn read_failure(error: &io::Error) -> Failure {
    use io::ErrorKind::{
        Interrupted, NetworkDown, ResourceBusy, StaleNetworkFileHandle, TimedOut, WouldBlock,
    };
    let kind = match error.kind() {
        Interrupted | NetworkDown | ResourceBusy | StaleNetworkFileHandle | TimedOut | WouldBlock => {
            FailureKind::Transient
        }
        _ => FailureKind::InvalidInput,
    };
    Failure::new(kind, format!("cannot read the file: {error}"))
}

#[cfg(test)]
mod tests;
