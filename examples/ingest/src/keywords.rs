//! The most telling words and pairs of words, by frequency: the published crates for this are under the LGPL or take
//! seconds for a text of the size that is kept here. Same text, same result, on every machine.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use unicode_segmentation::UnicodeSegmentation;

/// The languages whose stop words are known, by their ISO 639-1 codes.
const LANGUAGES: &[&str] = &["en", "de", "fr", "es", "it", "pt", "nl"];
/// So many words decide about the language.
const LANGUAGE_SAMPLE: usize = 2000;
/// Shorter words say too little.
const WORD_CHARS_MIN: usize = 3;
/// Longer ones are not words.
const WORD_CHARS_MAX: usize = 40;

static STOP_WORDS: LazyLock<Vec<HashSet<&'static str>>> = LazyLock::new(|| {
    LANGUAGES
        .iter()
        .map(|language| stop_words::lookup(language).unwrap_or_default().iter().copied().collect())
        .collect()
});

/// How often each telling word and pair occurs in a text.
pub struct Words {
    total: u64,
    singles: HashMap<String, Count>,
    pairs: HashMap<(String, String), Count>,
}

#[derive(Clone, Copy)]
struct Count {
    times: u32,
    /// Breaks ties: what comes first in the text comes first in the result.
    first: u32,
}

impl Words {
    /// Counts the words of a text.
    pub fn of(text: &str) -> Self {
        let stop = language_of(text);
        let mut words = Self { total: 0, singles: HashMap::new(), pairs: HashMap::new() };
        let mut previous: Option<String> = None;
        for (at, part) in text.split_word_bound_indices() {
            if part.chars().all(char::is_whitespace) {
                previous = previous.filter(|_| !part.contains('\n'));
                continue;
            }
            if !part.contains(char::is_alphanumeric) {
                previous = None;
                continue;
            }
            words.total += 1;
            let word = without_elision(part).to_lowercase();
            if !is_telling(&word, stop) {
                previous = None;
                continue;
            }
            if let Some(before) = previous.take() {
                count(&mut words.pairs, (before, word.clone()), at);
            }
            count(&mut words.singles, word.clone(), at);
            previous = Some(word);
        }
        words
    }

    /// Words in the text, of all sorts.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How often this word (in lower case) occurs; 0 for words that say nothing.
    pub fn weight(&self, word: &str) -> u32 {
        self.singles.get(word).map_or(0, |count| count.times)
    }

    /// The best words and pairs, best first.
    pub fn keywords(&self, max: usize) -> Vec<String> {
        // A pair that occurs again is worth more than its words: it is rarer and says more.
        let pairs = self.pairs.iter().filter(|(_, count)| count.times > 1);
        let pairs = pairs.map(|((a, b), count)| (count.times * 3, count.first, format!("{a} {b}")));
        let singles = self.singles.iter().map(|(word, count)| (count.times * 2, count.first, word.clone()));
        let mut candidates: Vec<(u32, u32, String)> = pairs.chain(singles).collect();
        candidates.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        let mut chosen: Vec<String> = Vec::with_capacity(max);
        for (_, _, candidate) in candidates {
            if chosen.len() == max {
                break;
            }
            if !chosen.iter().any(|word| says_the_same(word, &candidate)) {
                chosen.push(candidate);
            }
        }
        chosen
    }
}

fn count<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, Count>, key: K, at: usize) {
    // The text is far shorter than 4 GiB.
    counts.entry(key).or_insert(Count { times: 0, first: at as u32 }).times += 1;
}

/// French and Italian: `l'eau` is `eau`.
fn without_elision(word: &str) -> &str {
    match word.split_once(['\'', '’']) {
        Some((article, rest)) if article.chars().count() <= 2 && rest.chars().count() >= WORD_CHARS_MIN => {
            rest
        }
        _ => word,
    }
}

fn is_telling(word: &str, stop: &HashSet<&str>) -> bool {
    let chars = word.chars().count();
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    (WORD_CHARS_MIN..=WORD_CHARS_MAX).contains(&chars)
        && letters * 2 > chars
        && !stop.contains(word.replace('’', "'").as_str())
}

/// One is the plural of the other, or a word of it.
fn says_the_same(chosen: &str, candidate: &str) -> bool {
    let is_plural = |a: &str, b: &str| a.strip_suffix('s') == Some(b);
    let is_part =
        |a: &str, b: &str| a.split(' ').any(|word| word == b || is_plural(word, b) || is_plural(b, word));
    is_part(chosen, candidate) || is_part(candidate, chosen)
}

/// The stop words of the language that has most of them in the text.
fn language_of(text: &str) -> &'static HashSet<&'static str> {
    let mut hits = [0u32; LANGUAGES.len()];
    for word in text.unicode_words().take(LANGUAGE_SAMPLE) {
        let word = word.to_lowercase();
        for (hits, stop) in hits.iter_mut().zip(STOP_WORDS.iter()) {
            *hits += u32::from(stop.contains(word.as_str()));
        }
    }
    // The first of equals, so English where nothing speaks for another.
    let most = hits.iter().copied().max().unwrap_or_default();
    let language = hits.iter().position(|hits| *hits == most).unwrap_or_default();
    &STOP_WORDS[language]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keywords(text: &str) -> Vec<String> {
        Words::of(text).keywords(4)
    }

    #[test]
    fn a_pair_that_returns_beats_its_words() {
        let text =
            "The tidal basin fills twice a day. A tidal basin needs a gate. Without the gate, water leaves.";
        assert_eq!(keywords(text)[..2], ["tidal basin", "gate"]);
    }

    #[test]
    fn pairs_do_not_cross_punctuation_or_lines() {
        let words = Words::of("red, green. red, green. red\ngreen");
        assert!(words.pairs.is_empty());
        assert_eq!(words.weight("red"), 3);
    }

    #[test]
    fn words_that_say_nothing_are_left_out_in_several_languages() {
        assert_eq!(
            keywords("Das Wetter ist heute und morgen nicht so schön wie das Wetter von gestern")[0],
            "wetter"
        );
        assert_eq!(keywords("Le chat est dans la maison avec le chien, et le chat dort")[0], "chat");
        assert_eq!(keywords("l'écluse et l’écluse dans la ville")[0], "écluse");
        assert!(keywords("and the of it 12345 a1b2 -- ...").is_empty());
    }

    #[test]
    fn a_plural_is_not_named_beside_its_singular() {
        assert_eq!(keywords("One worker. Many workers. That worker."), ["worker"]);
    }

    #[test]
    fn ties_are_broken_by_place_in_the_text() {
        assert_eq!(keywords("zebra. apple. mango. banana. cherry"), ["zebra", "apple", "mango", "banana"]);
    }
}
