//! What kind of file these first bytes and this extension promise.

use super::decode;
use crate::facts::Kind;

/// What it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sniffed {
    pub kind: Kind,
    pub media_type: &'static str,
}

const fn sniffed(kind: Kind, media_type: &'static str) -> Sniffed {
    Sniffed { kind, media_type }
}

const DOCX_TYPE: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const EPUB_TYPE: &str = "application/epub+zip";
const PDF: Sniffed = sniffed(Kind::Pdf, "application/pdf");
const PDF_MAGIC: &[u8] = b"%PDF-";
/// Readers accept junk before the header, within the first KiB.
const PDF_MAGIC_WITHIN: usize = 1024;

/// The content decides; the extension only where the content says nothing, and between kinds of text.
pub fn sniff(head: &[u8], extension: &str) -> Sniffed {
    if head.is_empty() {
        return sniffed(Kind::Empty, "application/x-empty");
    }
    let start = &head[..head.len().min(PDF_MAGIC_WITHIN + PDF_MAGIC.len())];
    if start.windows(PDF_MAGIC.len()).any(|window| window == PDF_MAGIC) {
        return PDF;
    }
    let guess = infer::get(head).map(|guess| guess.mime_type());
    if guess == Some("image/tiff") {
        return sniffed(Kind::Image, "image/tiff"); // before the text: pixels of two bytes look like UTF-16
    }
    if decode::looks_like_text(head) {
        return claimed(extension).unwrap_or_else(|| textual(guess, extension));
    }
    match guess {
        Some(
            mime @ ("image/png"
            | "image/jpeg"
            | "image/gif"
            | "image/webp"
            | "image/bmp"
            | "image/vnd.microsoft.icon"),
        ) => sniffed(Kind::Image, mime),
        Some(DOCX_TYPE) => sniffed(Kind::Docx, DOCX_TYPE),
        Some(EPUB_TYPE) => sniffed(Kind::Epub, EPUB_TYPE),
        // Archives that do not show in their first bytes of what.
        Some("application/zip") if matches!(extension, "docx" | "epub") => {
            claimed(extension).expect("these are claimed below")
        }
        Some(
            mime @ ("audio/mpeg" | "audio/m4a" | "audio/ogg" | "audio/opus" | "audio/x-flac" | "audio/x-wav"
            | "audio/aac" | "audio/x-aiff"),
        ) => sniffed(Kind::Audio, mime),
        // Sound alone in a container that is older than its name; its first bytes say video.
        Some("video/mp4") if matches!(extension, "m4a" | "m4b") => sniffed(Kind::Audio, "audio/m4a"),
        Some(
            mime @ ("video/mp4" | "video/x-m4v" | "video/quicktime" | "video/webm" | "video/x-matroska"),
        ) => sniffed(Kind::Video, mime),
        Some(mime) => sniffed(Kind::Other, mime),
        None => claimed(extension).unwrap_or(sniffed(Kind::Other, "application/octet-stream")),
    }
}

/// A file that claims to be of a binary kind and does not look like it: reading it as that kind says what is wrong.
fn claimed(extension: &str) -> Option<Sniffed> {
    Some(match extension {
        "pdf" => PDF,
        "png" => sniffed(Kind::Image, "image/png"),
        "jpg" | "jpeg" => sniffed(Kind::Image, "image/jpeg"),
        "gif" => sniffed(Kind::Image, "image/gif"),
        "webp" => sniffed(Kind::Image, "image/webp"),
        "bmp" => sniffed(Kind::Image, "image/bmp"),
        "tif" | "tiff" => sniffed(Kind::Image, "image/tiff"),
        "docx" => sniffed(Kind::Docx, DOCX_TYPE),
        "epub" => sniffed(Kind::Epub, EPUB_TYPE),
        "mp3" => sniffed(Kind::Audio, "audio/mpeg"),
        "m4a" => sniffed(Kind::Audio, "audio/m4a"),
        "ogg" | "oga" => sniffed(Kind::Audio, "audio/ogg"),
        "opus" => sniffed(Kind::Audio, "audio/opus"),
        "flac" => sniffed(Kind::Audio, "audio/x-flac"),
        "wav" => sniffed(Kind::Audio, "audio/x-wav"),
        "aac" => sniffed(Kind::Audio, "audio/aac"),
        "aiff" | "aif" => sniffed(Kind::Audio, "audio/x-aiff"),
        "mp4" => sniffed(Kind::Video, "video/mp4"),
        "m4v" => sniffed(Kind::Video, "video/x-m4v"),
        "mov" => sniffed(Kind::Video, "video/quicktime"),
        "webm" => sniffed(Kind::Video, "video/webm"),
        "mkv" => sniffed(Kind::Video, "video/x-matroska"),
        _ => return None,
    })
}

fn textual(guess: Option<&'static str>, extension: &str) -> Sniffed {
    match (extension, guess) {
        ("md" | "markdown" | "mdown" | "mkd", _) => sniffed(Kind::Markdown, "text/markdown"),
        ("html" | "htm" | "xhtml" | "shtml", _) | ("", Some("text/html")) => sniffed(Kind::Html, "text/html"),
        (_, Some(mime @ ("text/xml" | "text/x-shellscript"))) => sniffed(Kind::Text, mime),
        _ => sniffed(Kind::Text, "text/plain"),
    }
}
