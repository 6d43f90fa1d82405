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
    if decode::looks_like_text(head) {
        return claimed(extension).unwrap_or_else(|| textual(guess, extension));
    }
    match guess {
        Some(mime @ ("image/png" | "image/jpeg" | "image/gif" | "image/webp" | "image/bmp")) => {
            sniffed(Kind::Image, mime)
        }
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
