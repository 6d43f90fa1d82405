//! CommonMark with the usual extensions.

use crate::facts::Facts;
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// Text without markup, headings, links; the first heading of the highest level is the title.
pub fn extract(source: &str, facts: &mut Facts) {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS;
    let mut page = Page::default();
    for event in Parser::new_ext(source, options) {
        page.take(event, facts);
    }
    facts.title = page.title.map(|(_, title)| title);
    facts.text = page.text;
}

#[derive(Default)]
struct Page {
    text: String,
    title: Option<(HeadingLevel, String)>,
    /// Where the open heading's text begins.
    heading: Option<(HeadingLevel, usize)>,
    is_metadata: bool,
}

impl Page {
    fn take(&mut self, event: Event<'_>, facts: &mut Facts) {
        match event {
            Event::Start(Tag::Heading { level, .. }) => self.heading = Some((level, self.text.len())),
            Event::End(TagEnd::Heading(_)) => self.end_heading(facts),
            Event::Start(Tag::Link { .. } | Tag::Image { .. }) => facts.links += 1,
            Event::Start(Tag::MetadataBlock(_)) => self.is_metadata = true,
            Event::End(TagEnd::MetadataBlock(_)) => self.is_metadata = false,
            Event::End(
                TagEnd::Paragraph
                | TagEnd::CodeBlock
                | TagEnd::List(_)
                | TagEnd::Table
                | TagEnd::BlockQuote(_),
            ) => {
                self.text.push_str("\n\n");
            }
            Event::End(TagEnd::Item | TagEnd::TableRow | TagEnd::TableHead) => self.text.push('\n'),
            Event::End(TagEnd::TableCell) => self.text.push('\t'),
            Event::Text(text) | Event::Code(text) if !self.is_metadata => self.text.push_str(&text),
            Event::SoftBreak | Event::HardBreak => self.text.push('\n'),
            // Raw HTML is markup; the rest neither shows text nor ends a line.
            _ => {}
        }
    }

    fn end_heading(&mut self, facts: &mut Facts) {
        let Some((level, start)) = self.heading.take() else { return };
        let heading = self.text[start..].trim().to_owned();
        self.text.push_str("\n\n");
        if self.title.as_ref().is_none_or(|(best, _)| level < *best) {
            self.title = Some((level, heading.clone()));
        }
        if facts.headings.len() < super::HEADINGS_MAX {
            facts.headings.push(heading);
        }
    }
}
