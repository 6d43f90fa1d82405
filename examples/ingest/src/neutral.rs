//! Text that comes from files, workers and file names, made harmless for terminals, Markdown and JSON.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character can move the cursor, colour the screen or reorder the text around it.
pub fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// One line of printable text: active characters become spaces, runs of white space become one.
pub fn line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || is_active(c)).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// A [`line()`] of at most `chars_max` characters, with an ellipsis where something was cut.
pub fn short_line(text: &str, chars_max: usize) -> String {
    let mut line = line(text);
    if let Some((cut, _)) = line.char_indices().nth(chars_max) {
        line.truncate(cut);
        line.truncate(line.trim_end().len());
        line.push('…');
    }
    line
}

/// Several lines of printable text: like [`line()`], but line ends stay, at most one empty line in a row. Tells whether
/// it was cut to `len_max` bytes.
pub fn paragraphs(text: &str, len_max: usize) -> (String, bool) {
    let mut out = String::with_capacity(text.len().min(len_max));
    let mut empty_lines = 0;
    for raw in text.split(['\n', '\u{2028}', '\u{2029}']) {
        let line = line(raw);
        if line.is_empty() {
            empty_lines += 1;
            continue;
        }
        if !out.is_empty() {
            out.push_str(if empty_lines > 0 { "\n\n" } else { "\n" });
        }
        empty_lines = 0;
        out.push_str(&line);
        if out.len() > len_max {
            out.truncate(out.floor_char_boundary(len_max));
            return (out, true);
        }
    }
    (out, false)
}

/// A key as the output files write it: text as it is, `%` and bytes that are not UTF-8 percent-escaped.
pub fn escape_key(key: &[u8]) -> String {
    escape(key, |c| c == '%')
}

/// A key for people: as [`escape_key`], and active characters are escaped as well.
pub fn display_key(key: &[u8]) -> String {
    escape(key, |c| c == '%' || is_active(c))
}

fn escape(key: &[u8], is_escaped: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(key.len());
    for part in key.utf8_chunks() {
        for c in part.valid().chars() {
            if is_escaped(c) {
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| push_escaped(&mut out, byte));
            } else {
                out.push(c);
            }
        }
        part.invalid().iter().for_each(|&byte| push_escaped(&mut out, byte));
    }
    out
}

fn push_escaped(out: &mut String, byte: u8) {
    write!(out, "%{byte:02X}").expect("writing to a String cannot fail");
}

/// Text in Markdown, with everything escaped that Markdown or HTML would read as more than text.
pub fn markdown(text: &str) -> Cow<'_, str> {
    const SPECIAL: &[char] = &['\\', '`', '*', '_', '[', ']', '<', '>', '#', '|', '~', '&', '!'];
    if !text.contains(SPECIAL) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if SPECIAL.contains(&c) {
            out.push('\\');
        }
        out.push(c);
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_direction_marks_lose_their_power() {
        assert_eq!(line("a\u{1b}[31mred\u{7}\u{202E}txt\u{9b}2J"), "a [31mred txt 2J");
    }

    #[test]
    fn paragraphs_keep_lines_and_at_most_one_empty_line() {
        let text = "\r\n one\ttwo \r\nthree\n\n\n\n  \u{c}four";
        assert_eq!(paragraphs(text, 100), ("one two\nthree\n\nfour".to_owned(), false));
    }

    #[test]
    fn paragraphs_are_cut_between_characters() {
        assert_eq!(paragraphs("aé\nb", 2), ("a".to_owned(), true));
        assert_eq!(paragraphs("aé\nb", 4), ("aé\n".to_owned(), true));
        assert_eq!(paragraphs("aé\nb", 5), ("aé\nb".to_owned(), false));
    }

    #[test]
    fn a_short_line_says_that_it_was_cut() {
        assert_eq!(short_line("héllo wörld", 6), "héllo…");
        assert_eq!(short_line("héllo", 5), "héllo");
    }

    #[test]
    fn keys_escape_percent_and_bytes_that_are_not_utf8_and_nothing_else() {
        assert_eq!(escape_key(b"a b/100%\xff\xc3\xa9\n"), "a b/100%25%FFé\n");
    }

    #[test]
    fn keys_for_people_escape_control_characters_too() {
        assert_eq!(display_key("a\n\u{1b}[2J\u{202E}%".as_bytes()), "a%0A%1B[2J%E2%80%AE%25");
    }

    #[test]
    fn different_keys_have_different_escapes() {
        assert_ne!(escape_key(b"%FF"), escape_key(b"\xff"));
    }

    #[test]
    fn markdown_cannot_be_injected() {
        assert_eq!(markdown("[x](y) <b>*z*"), "\\[x\\](y) \\<b\\>\\*z\\*");
    }
}
