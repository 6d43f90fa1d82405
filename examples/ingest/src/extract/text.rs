//! Plain text.

use super::TITLE_CHARS_MAX;
use crate::facts::Facts;

/// The text as it is; its first line is a title when it looks like one.
pub fn extract(text: String, facts: &mut Facts) {
    let mut lines = text.lines().map(str::trim).skip_while(|line| line.is_empty());
    let first = lines.next().unwrap_or_default();
    let stands_alone = lines.next().is_none_or(|next| next.is_empty() || is_underline(next));
    let has_words = first.chars().filter(|c| c.is_alphabetic()).count() >= 3;
    if stands_alone && has_words && first.chars().count() <= TITLE_CHARS_MAX {
        facts.title = Some(first.to_owned());
    }
    facts.text = text;
}

fn is_underline(line: &str) -> bool {
    line.len() >= 3 && line.bytes().all(|byte| matches!(byte, b'=' | b'-' | b'~' | b'*'))
}
