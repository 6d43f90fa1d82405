//! From bytes of an unknown encoding to text.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// Text and where it came from.
#[derive(Debug)]
pub struct Decoded {
    pub text: String,
    /// The WHATWG name of the encoding.
    pub encoding: &'static str,
    /// Some bytes meant nothing and became U+FFFD.
    pub had_errors: bool,
}

/// A page declares its encoding this early or not at all, says the HTML standard.
const DECLARED_WITHIN: usize = 1024;

/// Decodes by byte order mark, pattern of zeros, declaration (of HTML), validity as UTF-8, and at last by statistics.
pub fn decode(bytes: &[u8], is_html: bool) -> Decoded {
    let encoding = guess(bytes, is_html);
    // `decode` heeds a byte order mark before the guess, and removes it.
    let (text, encoding, had_errors) = encoding.decode(bytes);
    Decoded { text: text.into_owned(), encoding: encoding.name(), had_errors }
}

fn guess(bytes: &[u8], is_html: bool) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return encoding;
    }
    if let Some(encoding) = utf16_without_mark(bytes) {
        return encoding;
    }
    if is_html && let Some(encoding) = declared(&bytes[..bytes.len().min(DECLARED_WITHIN)]) {
        return encoding;
    }
    if is_utf8(bytes) {
        return UTF_8;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    detector.guess(None, Utf8Detection::Deny)
}

/// Valid but for a character that the end of the read may have cut.
fn is_utf8(bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    }
}

/// Western text in UTF-16 has a zero in most pairs, always on the same side.
fn utf16_without_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    const SAMPLE: usize = 4096;
    let pairs = bytes[..bytes.len().min(SAMPLE)].chunks_exact(2);
    let total = pairs.len();
    let (mut high_zero, mut low_zero) = (0, 0);
    for pair in pairs {
        high_zero += usize::from(pair[0] != 0 && pair[1] == 0);
        low_zero += usize::from(pair[0] == 0 && pair[1] != 0);
    }
    let is_most = |zeros: usize, others: usize| total >= 4 && zeros * 10 >= total * 7 && others * 20 <= total;
    if is_most(high_zero, low_zero) {
        Some(UTF_16LE)
    } else if is_most(low_zero, high_zero) {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// The `charset=` of a `<meta>`, as the standard's prescan would find it in all but contrived pages.
fn declared(head: &[u8]) -> Option<&'static Encoding> {
    const NEEDLE: &[u8] = b"charset=";
    let at = head.windows(NEEDLE.len()).position(|window| window.eq_ignore_ascii_case(NEEDLE))?;
    let label = head[at + NEEDLE.len()..].trim_ascii_start();
    let label = label.strip_prefix(b"\"").or(label.strip_prefix(b"'")).unwrap_or(label);
    let end = label.iter().position(|byte| matches!(byte, b'"' | b'\'' | b'>' | b';' | b'/' | b' '))?;
    let encoding = Encoding::for_label(&label[..end])?;
    // The declaration was readable as ASCII, so it cannot be UTF-16.
    Some(if encoding == UTF_16LE || encoding == UTF_16BE { UTF_8 } else { encoding })
}

/// Whether a file that begins like this is text in some encoding.
pub fn looks_like_text(head: &[u8]) -> bool {
    if Encoding::for_bom(head).is_some() || utf16_without_mark(head).is_some() {
        return true;
    }
    // Text of every single- and multi-byte encoding has next to no control bytes; of compressed data every tenth is one.
    let controls = head.iter().filter(|byte| is_binary_control(**byte)).count();
    controls * 100 <= head.len() + 200 && controls * 2 < head.len()
}

fn is_binary_control(byte: u8) -> bool {
    matches!(byte, 0..=8 | 14..=26 | 28..=31 | 127)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    #[test]
    fn marks_decide_first() {
        let bytes = [b"\xff\xfe".to_vec(), utf16("héllo", u16::to_le_bytes)].concat();
        let decoded = decode(&bytes, false);
        assert_eq!((decoded.text.as_str(), decoded.encoding), ("héllo", "UTF-16LE"));
        assert_eq!(decode(b"\xef\xbb\xbfa", false).text, "a");
    }

    #[test]
    fn utf16_is_seen_without_a_mark() {
        let text = "An ordinary sentence.";
        assert_eq!(decode(&utf16(text, u16::to_be_bytes), false).text, text);
        assert_eq!(decode(&utf16(text, u16::to_le_bytes), false).text, text);
    }

    #[test]
    fn a_page_is_decoded_as_it_declares() {
        let page = b"<meta charset=\"windows-1251\"><p>\xcf\xf0\xe8\xe2\xe5\xf2";
        assert!(decode(page, true).text.ends_with("Привет"));
        let old = b"<meta http-equiv=Content-Type content='text/html; charset=iso-8859-1'>caf\xe9";
        assert!(decode(old, true).text.ends_with("café"));
    }

    #[test]
    fn a_cut_character_at_the_end_is_still_utf8() {
        let decoded = decode(&"naïve café".as_bytes()[..11], false);
        assert_eq!((decoded.encoding, decoded.had_errors), ("UTF-8", true));
    }

    #[test]
    fn latin_1_is_recognised_by_its_letters() {
        let (bytes, _, _) =
            encoding_rs::WINDOWS_1252.encode("Où est la bibliothèque? Elle a été fermée très tôt.");
        let decoded = decode(&bytes, false);
        assert!(decoded.text.contains("bibliothèque") && decoded.text.contains("tôt"), "{decoded:?}");
    }

    #[test]
    fn zeros_and_control_bytes_are_no_text() {
        assert!(!looks_like_text(&[0; 512]));
        assert!(!looks_like_text(b"ab\x01\x02\x03\x04cd"));
        assert!(!looks_like_text(b"\x00\x01"));
        assert!(looks_like_text(b"\x1b[1mbold\x1b[0m and plain\r\n\x0c"));
    }
}
