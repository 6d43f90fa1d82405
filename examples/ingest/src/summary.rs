//! An extractive summary: the sentences whose words occur most in the text, in their order. No crate for this is kept
//! up; integers only, so that every machine gives the same.

use crate::keywords::Words;
use crate::neutral;
use unicode_segmentation::UnicodeSegmentation;

/// Sentences beyond this many are not considered.
const SENTENCES_MAX: usize = 2000;
/// Shorter sentences are headings or fragments.
const SENTENCE_WORDS_MIN: usize = 4;
/// Longer ones are tables or lists.
const SENTENCE_WORDS_MAX: usize = 60;
/// One sentence in the summary is cut to this many characters, as is the summary of a text without sentences.
const SENTENCE_CHARS_MAX: usize = 300;
/// What ends a sentence.
const FULL_STOPS: &[char] = &['.', '!', '?', '…', ';', '。', '！', '？', '।', '؟'];
/// What may follow it.
const CLOSING: &[char] = &['"', '\'', ')', ']', '’', '”', '»', '」'];

/// The `max` most telling sentences of a text; of a text without sentences, its beginning.
pub fn summarize(text: &str, words: &Words, max: usize) -> String {
    let mut best: Vec<(u64, usize, String)> = Vec::new();
    for (position, sentence) in sentences(text).take(SENTENCES_MAX).enumerate() {
        if let Some(score) = score(&sentence, position, words)
            && !best.iter().any(|(_, _, other)| *other == sentence)
        {
            best.push((score, position, sentence));
            best.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
            best.truncate(max);
        }
    }
    if best.is_empty() {
        return neutral::short_line(
            text.get(..text.floor_char_boundary(4 * SENTENCE_CHARS_MAX)).unwrap_or(text),
            SENTENCE_CHARS_MAX,
        );
    }
    best.sort_by_key(|(_, position, _)| *position);
    let sentences: Vec<String> =
        best.iter().map(|(_, _, text)| neutral::short_line(text, SENTENCE_CHARS_MAX)).collect();
    sentences.join(" ")
}

/// Sentences do not cross paragraphs, and line ends within a paragraph are only white space.
fn sentences(text: &str) -> impl Iterator<Item = String> {
    text.split("\n\n").flat_map(|paragraph| {
        let flowing = paragraph.replace('\n', " ");
        flowing.unicode_sentences().map(|sentence| sentence.trim().to_owned()).collect::<Vec<_>>()
    })
}

/// The mean weight of its words, in thousandths; the first sentences of a text count a little more.
fn score(sentence: &str, position: usize, words: &Words) -> Option<u64> {
    // What no full stop ends is a heading, a row of a table or an item of a list.
    if !sentence.trim_end_matches(CLOSING).ends_with(FULL_STOPS) {
        return None;
    }
    let (mut count, mut weight) = (0usize, 0u64);
    for word in sentence.unicode_words() {
        count += 1;
        weight += u64::from(words.weight(&word.to_lowercase()));
    }
    if !(SENTENCE_WORDS_MIN..=SENTENCE_WORDS_MAX).contains(&count) || weight == 0 {
        return None;
    }
    let bonus = if position < 3 { 130 } else { 100 };
    Some(weight * 10 * bonus / count as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(text: &str) -> String {
        summarize(text, &Words::of(text), 2)
    }

    #[test]
    fn the_telling_sentences_are_kept_in_their_order() {
        let text = "Cofferdams keep water out. It rained that day in spring, they say. \
                    Engineers build cofferdams where water is deep. Lunch was served late for everybody.";
        assert_eq!(
            summary(text),
            "Cofferdams keep water out. Engineers build cofferdams where water is deep."
        );
    }

    #[test]
    fn a_text_without_sentences_is_summarised_by_its_beginning() {
        assert_eq!(summary("alpha\nbeta"), "alpha beta");
        assert_eq!(summary(""), "");
    }

    #[test]
    fn lists_and_headings_are_no_sentences() {
        assert_eq!(
            summary("lock gate sluice gate tide gate\n\nA gate holds the water.\n\ngate one gate two gate"),
            "A gate holds the water."
        );
    }

    #[test]
    fn a_sentence_said_twice_is_quoted_once() {
        let text = "Tides rise and fall daily. Tides rise and fall daily.";
        assert_eq!(summary(text), "Tides rise and fall daily.");
    }

    #[test]
    fn a_line_end_within_a_paragraph_does_not_end_a_sentence() {
        assert_eq!(summary("Tides rise\nand fall daily."), "Tides rise and fall daily.");
    }
}
