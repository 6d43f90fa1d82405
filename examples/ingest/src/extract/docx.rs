//! Word documents: the text of the body, element by element, without a tree.

use super::package::{Package, attribute, entity};
use super::{HEADINGS_MAX, TEXT_LEN_MAX};
use crate::engine::{Context, Failure};
use crate::facts::Facts;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::fs::File;

/// Text, title, author, headings, links.
///
/// # Errors
/// `InvalidInput` when it is damaged or no Word document.
pub fn extract(file: File, facts: &mut Facts, cx: &Context<'_>) -> Result<(), Failure> {
    cx.stage("parse");
    let mut package = Package::open(file)?;
    if let Some(core) = package.part("docProps/core.xml")? {
        let properties = properties(&core)?;
        facts.title = properties.title;
        facts.author = properties.author;
    }
    let document = package.required_part("word/document.xml")?;
    cx.check()?;
    cx.stage("text");
    let mut body = Body::default();
    let mut reader = Reader::from_str(&document);
    while body.text.len() <= TEXT_LEN_MAX {
        match reader.read_event()? {
            Event::Start(element) => body.start(&element),
            Event::Empty(element) => body.empty(&element),
            Event::End(element) => body.end(element.local_name().as_ref()),
            Event::Text(text) => body.characters(&text.xml10_content()),
            Event::CData(text) => body.characters(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                body.characters(entity(&reference).as_deref().unwrap_or_default())
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof => break,
        }
    }
    facts.title = facts.title.take().or(body.title).or_else(|| body.headings.first().cloned());
    facts.headings = body.headings;
    facts.links = body.links;
    facts.text = body.text;
    Ok(())
}

#[derive(Default)]
struct Properties {
    title: Option<String>,
    author: Option<String>,
}

fn properties(core: &str) -> Result<Properties, Failure> {
    let mut found = Properties::default();
    let mut reader = Reader::from_str(core);
    let mut open = String::new();
    loop {
        let text = match reader.read_event()? {
            Event::Start(element) => {
                element.local_name().as_ref().clone_into(&mut open);
                continue;
            }
            Event::End(_) => {
                open.clear();
                continue;
            }
            Event::Text(text) => text.xml10_content().into_owned(),
            Event::GeneralRef(reference) => entity(&reference).unwrap_or_default(),
            Event::Eof => return Ok(found),
            _ => continue, // the rest holds no text
        };
        match open.as_str() {
            "title" => found.title.get_or_insert_default().push_str(&text),
            "creator" => found.author.get_or_insert_default().push_str(&text),
            _ => {}
        }
    }
}

#[derive(Default)]
struct Body {
    text: String,
    title: Option<String>,
    headings: Vec<String>,
    links: u64,
    /// Inside `w:t`: elsewhere characters are field codes, deletions or white space of the markup.
    is_text: bool,
    /// Depth within `mc:Fallback`, which says again what its neighbour said.
    fallback_depth: u32,
    paragraph: Paragraph,
}

#[derive(Default)]
struct Paragraph {
    start: usize,
    style: Style,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Style {
    #[default]
    Plain,
    Heading,
    Title,
}

impl Body {
    fn start(&mut self, element: &BytesStart<'_>) {
        let name = element.local_name();
        let name = name.as_ref();
        if self.fallback_depth > 0 || name == "Fallback" {
            self.fallback_depth = self.fallback_depth.saturating_add(1);
            return;
        }
        match name {
            "p" => self.paragraph = Paragraph { start: self.text.len(), style: Style::Plain },
            "t" => self.is_text = true,
            "hyperlink" => self.links += 1,
            _ => self.mark(name, element),
        }
    }

    fn empty(&mut self, element: &BytesStart<'_>) {
        if self.fallback_depth == 0 {
            self.mark(element.local_name().as_ref(), element);
        }
    }

    /// What says something without holding anything.
    fn mark(&mut self, name: &str, element: &BytesStart<'_>) {
        match name {
            "tab" => self.text.push('\t'),
            "br" | "cr" => self.text.push('\n'),
            "noBreakHyphen" => self.text.push('\u{2011}'),
            "pStyle" => self.paragraph.style = style(attribute(element, "val").as_deref()),
            "outlineLvl" if self.paragraph.style == Style::Plain => self.paragraph.style = Style::Heading,
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        if self.fallback_depth > 0 {
            self.fallback_depth -= 1;
            return;
        }
        match name {
            "t" => self.is_text = false,
            "p" => self.end_paragraph(),
            "tr" => self.text.push('\n'),
            _ => {}
        }
    }

    fn end_paragraph(&mut self) {
        let content = self.text.get(self.paragraph.start..).unwrap_or_default().trim();
        if !content.is_empty() {
            match self.paragraph.style {
                Style::Title if self.title.is_none() => self.title = Some(content.to_owned()),
                Style::Heading if self.headings.len() < HEADINGS_MAX => {
                    self.headings.push(content.to_owned());
                }
                Style::Title | Style::Heading | Style::Plain => {}
            }
        }
        self.text.push_str("\n\n");
    }

    fn characters(&mut self, text: &str) {
        if self.is_text && self.fallback_depth == 0 {
            self.text.push_str(text);
        }
    }
}

/// By the names that Word gives to its own styles, whatever language it speaks to its user.
fn style(id: Option<&str>) -> Style {
    let id = id.unwrap_or_default().to_ascii_lowercase();
    if id == "title" {
        Style::Title
    } else if id.starts_with("heading") {
        Style::Heading
    } else {
        Style::Plain
    }
}
