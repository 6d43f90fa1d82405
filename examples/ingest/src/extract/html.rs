//! Web pages, token by token: without a tree, no depth of nesting can overflow a stack or take quadratic time.

use crate::facts::Facts;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use std::cell::RefCell;

/// Text that a reader would see, title, headings, links.
pub fn extract(source: String, facts: &mut Facts) {
    let input = BufferQueue::default();
    input.push_back(StrTendril::from(source));
    let tokenizer = Tokenizer::new(Reader(RefCell::default()), TokenizerOpts::default());
    let _no_scripts_run = tokenizer.feed(&input);
    tokenizer.end();
    let mut page = tokenizer.sink.0.into_inner();
    page.end_heading();
    facts.title =
        Some(page.title).filter(|title| !title.trim().is_empty()).or(page.headings.first().cloned());
    facts.headings = page.headings;
    facts.links = page.links;
    facts.text = page.text;
}

#[derive(Default)]
struct Page {
    text: String,
    title: String,
    headings: Vec<String>,
    links: u64,
    /// The element whose characters are not text: `script`, `style`, …, or `title`.
    hidden_in: Option<String>,
    /// Where the open heading's text begins.
    heading: Option<usize>,
}

struct Reader(RefCell<Page>);

impl TokenSink for Reader {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut page = self.0.borrow_mut();
        match token {
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => return page.start(&tag),
            Token::TagToken(tag) => page.end(&tag.name),
            Token::CharacterTokens(text) => page.characters(&text),
            Token::DoctypeToken(_) | Token::CommentToken(_) | Token::NullCharacterToken => {}
            Token::EOFToken | Token::ParseError(_) => {}
        }
        TokenSinkResult::Continue
    }
}

impl Page {
    fn start(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        if self.hidden_in.is_some() {
            return TokenSinkResult::Continue;
        }
        let name: &str = &tag.name;
        let raw = match name {
            "script" => Some(RawKind::ScriptData),
            "style" | "noscript" | "iframe" | "noembed" | "noframes" | "xmp" => Some(RawKind::Rawtext),
            "title" | "textarea" => Some(RawKind::Rcdata),
            _ => None,
        };
        // In HTML a slash closes nothing here, but XHTML means it, and a page would end with its first script.
        if let Some(raw) = raw.filter(|_| !tag.self_closing) {
            self.hidden_in = Some(name.to_owned());
            return TokenSinkResult::RawData(raw);
        }
        match name {
            "template" | "svg" | "math" if !tag.self_closing => self.hidden_in = Some(name.to_owned()),
            "a" if tag.attrs.iter().any(|attribute| &*attribute.name.local == "href") => self.links += 1,
            "br" | "hr" => self.text.push('\n'),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.end_heading();
                self.text.push_str("\n\n");
                self.heading = Some(self.text.len());
            }
            _ => self.break_at(name),
        }
        TokenSinkResult::Continue
    }

    fn end(&mut self, name: &str) {
        match &self.hidden_in {
            Some(hidden) if hidden == name => self.hidden_in = None,
            Some(_) => {}
            None if matches!(name, "h1" | "h2" | "h3" | "h4" | "h5" | "h6") => {
                self.end_heading();
                self.text.push_str("\n\n");
            }
            None => self.break_at(name),
        }
    }

    fn characters(&mut self, text: &str) {
        match self.hidden_in.as_deref() {
            None => self.push_flowing(text),
            Some("title") if self.title.len() < super::TEXT_LEN_MAX => self.title.push_str(text),
            Some(_) => {}
        }
    }

    /// Line ends in the source are just white space; only elements break lines.
    fn push_flowing(&mut self, text: &str) {
        self.text.extend(text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }));
    }

    fn break_at(&mut self, name: &str) {
        match name {
            "p" | "ul" | "ol" | "dl" | "table" | "blockquote" | "pre" | "section" | "article" | "aside"
            | "nav" | "header" | "footer" | "main" | "form" | "figure" | "body" | "head" => {
                self.text.push_str("\n\n")
            }
            "div" | "li" | "tr" | "dt" | "dd" | "option" | "figcaption" | "caption" | "summary"
            | "details" | "address" => {
                self.end_line();
            }
            "td" | "th" => self.text.push('\t'),
            _ => {}
        }
    }

    /// Begins a new line unless one has just begun.
    fn end_line(&mut self) {
        self.text.truncate(self.text.trim_end_matches([' ', '\t']).len());
        if !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    fn end_heading(&mut self) {
        let Some(start) = self.heading.take() else { return };
        let heading = self.text[start..].trim();
        if !heading.is_empty() && self.headings.len() < super::HEADINGS_MAX {
            self.headings.push(heading.to_owned());
        }
    }
}
