//! Books: the chapters in the order of reading, each a web page.

use super::package::{Package, attribute, entity};
use super::{HEADINGS_MAX, TEXT_LEN_MAX, html};
use crate::engine::{Context, Failure};
use crate::facts::{Facts, Kind};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::collections::HashMap;
use std::fs::File;

/// Parts of a book that are considered; later ones are not.
const PARTS_MAX: usize = 10_000;

/// Text, title, author, headings, links.
///
/// # Errors
/// `InvalidInput` when it is damaged or no book.
pub fn extract(file: File, facts: &mut Facts, cx: &Context<'_>) -> Result<(), Failure> {
    cx.stage("parse");
    let mut package = Package::open(file)?;
    let root = root_file(&package.required_part("META-INF/container.xml")?)?;
    let book = Book::read(&package.required_part(&root)?)?;
    if package.part("META-INF/encryption.xml")?.is_some() {
        facts.notes.push("parts of it are encrypted".to_owned());
    }
    facts.title = Some(book.title).filter(|title| !title.trim().is_empty());
    facts.author = Some(book.author).filter(|author| !author.trim().is_empty());
    cx.check()?;
    cx.stage("text");
    let chapters = book.chapters.len() as u64;
    let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
    for (number, href) in (1..).zip(&book.chapters) {
        let name = within(folder, href);
        match package.part(&name)? {
            Some(page) => append(page, facts),
            None => facts.notes.push(format!("the chapter {name} is missing")),
        }
        cx.progress(number, chapters);
        cx.check()?;
        if facts.text.len() > TEXT_LEN_MAX {
            break;
        }
    }
    Ok(())
}

fn append(page: String, facts: &mut Facts) {
    let mut chapter = Facts::new(Kind::Html, "", 0);
    html::extract(page, &mut chapter);
    facts.text.push_str(&chapter.text);
    facts.text.push_str("\n\n");
    facts.links += chapter.links;
    let room = HEADINGS_MAX.saturating_sub(facts.headings.len());
    facts.headings.extend(chapter.headings.into_iter().take(room));
}

/// Where the book's description is.
fn root_file(container: &str) -> Result<String, Failure> {
    let mut reader = Reader::from_str(container);
    loop {
        match reader.read_event()? {
            Event::Start(element) | Event::Empty(element) if element.local_name().as_ref() == "rootfile" => {
                if let Some(path) = attribute(&element, "full-path") {
                    return Ok(path);
                }
            }
            Event::Eof => return Err(Failure::invalid_input("its container names no book")),
            _ => {} // what else a container says is for other readers
        }
    }
}

#[derive(Default)]
struct Book {
    title: String,
    author: String,
    /// Where the chapters are, as the book says it.
    chapters: Vec<String>,
}

impl Book {
    fn read(description: &str) -> Result<Self, Failure> {
        let mut book = Self::default();
        let mut hrefs = HashMap::new();
        let mut open = String::new();
        let mut reader = Reader::from_str(description);
        loop {
            match reader.read_event()? {
                Event::Start(element) => {
                    element.local_name().as_ref().clone_into(&mut open);
                    book.element(&element, &mut hrefs);
                }
                Event::Empty(element) => book.element(&element, &mut hrefs),
                Event::End(_) => open.clear(),
                Event::Text(text) => book.characters(&open, &text.xml10_content()),
                Event::GeneralRef(reference) => {
                    book.characters(&open, entity(&reference).as_deref().unwrap_or_default());
                }
                Event::Eof => return Ok(book),
                Event::CData(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
    }

    /// The manifest names the parts, the spine their order.
    fn element(&mut self, element: &BytesStart<'_>, hrefs: &mut HashMap<String, String>) {
        match element.local_name().as_ref() {
            "item" if hrefs.len() < PARTS_MAX => {
                hrefs.extend(attribute(element, "id").zip(attribute(element, "href")));
            }
            "itemref" if self.chapters.len() < PARTS_MAX => {
                let href = attribute(element, "idref").and_then(|id| hrefs.get(&id).cloned());
                self.chapters.extend(href);
            }
            _ => {}
        }
    }

    fn characters(&mut self, open: &str, text: &str) {
        match open {
            "title" => self.title.push_str(text),
            "creator" => {
                let separator = if self.author.is_empty() || self.author.ends_with(", ") { "" } else { " " };
                self.author.push_str(separator);
                self.author.push_str(text);
            }
            _ => {}
        }
    }
}

/// The name of a part, given how a description in `folder` refers to it. It names an entry of the archive, never a file.
fn within(folder: &str, href: &str) -> String {
    let href = href.split('#').next().unwrap_or_default();
    let href = percent_encoding::percent_decode_str(href).decode_utf8_lossy();
    let mut names: Vec<&str> = folder.split('/').filter(|name| !name.is_empty()).collect();
    for name in href.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_relative_to_the_description() {
        assert_eq!(within("OEBPS", "text/one.xhtml#start"), "OEBPS/text/one.xhtml");
        assert_eq!(within("OEBPS/package", "../text/a%20b.xhtml"), "OEBPS/text/a b.xhtml");
        assert_eq!(within("", "../../etc/passwd"), "etc/passwd");
    }
}
