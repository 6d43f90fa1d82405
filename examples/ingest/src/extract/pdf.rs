//! PDF documents. The library panics on some damaged ones; the worker dies of it and the file is quarantined.

use super::TEXT_LEN_MAX;
use crate::engine::{Context, Failure};
use crate::facts::Facts;
use pdf_extract::{
    ColorSpace, ConvertToFmt, Document, MediaBox, OutputDev, OutputError, Path, PlainTextOutput, Transform,
};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// Text, page by page, with the title and the number of pages.
///
/// # Errors
/// `InvalidInput` when not even a part of the text can be had.
pub fn extract(bytes: &[u8], facts: &mut Facts, cx: &Context<'_>) -> Result<(), Failure> {
    cx.stage("parse");
    let mut document = Document::load_mem(bytes)?;
    if document.is_encrypted() {
        document
            .decrypt("")
            .map_err(|error| Failure::invalid_input(format!("encrypted with a password: {error}")))?;
    }
    cx.check()?;
    let pages = document.get_pages().len();
    facts.pages = u32::try_from(pages).ok();
    facts.title = title(&document);
    cx.stage("text");
    let text = Text::default();
    let mut output = Pages {
        inner: PlainTextOutput::new(text.clone()),
        text: text.clone(),
        cx,
        page: 0,
        pages,
        interrupted: None,
    };
    let result = pdf_extract::output_doc(&document, &mut output);
    let (page, interrupted) = (output.page, output.interrupted);
    if let Some(interrupted) = interrupted {
        return Err(interrupted);
    }
    facts.text = text.take();
    match result {
        Ok(()) => {}
        Err(_) if facts.text.len() > TEXT_LEN_MAX => {} // we stopped it; the cut is noted where the text is cut
        Err(error) if facts.text.trim().is_empty() => return Err(error.into()),
        Err(error) => {
            facts.notes.push(format!("page {page} of {pages} could not be read, nor what follows: {error}"))
        }
    }
    if facts.text.trim().is_empty() {
        facts.notes.push("no text in it; perhaps its pages are images".to_owned());
    }
    Ok(())
}

fn title(document: &Document) -> Option<String> {
    let info = document.trailer.get(b"Info").ok()?;
    let (_, info) = document.dereference(info).ok()?;
    let (_, title) = document.dereference(info.as_dict().ok()?.get(b"Title").ok()?).ok()?;
    pdf_extract::decode_text_string(title).ok()
}

/// Where the library writes. Refuses once more than is kept has come.
#[derive(Clone, Default)]
struct Text(Rc<RefCell<String>>);

impl Text {
    fn take(&self) -> String {
        self.0.take()
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut kept = self.0.borrow_mut();
        if kept.len() > TEXT_LEN_MAX {
            return Err(fmt::Error);
        }
        kept.push_str(text);
        Ok(())
    }
}

impl ConvertToFmt for Text {
    type Writer = Self;
    fn convert(self) -> Self {
        self
    }
}

/// Reports each page, and stops at one when told to.
struct Pages<'a, 'c> {
    inner: PlainTextOutput<Text>,
    text: Text,
    cx: &'a Context<'c>,
    page: u32,
    pages: usize,
    interrupted: Option<Failure>,
}

impl OutputDev for Pages<'_, '_> {
    fn begin_page(
        &mut self,
        page: u32,
        media_box: &MediaBox,
        art_box: Option<(f64, f64, f64, f64)>,
    ) -> Result<(), OutputError> {
        self.page = page;
        self.cx.progress(u64::from(page), self.pages as u64);
        if let Err(interrupted) = self.cx.check() {
            self.interrupted = Some(interrupted.into());
            return Err(fmt::Error.into());
        }
        self.inner.begin_page(page, media_box, art_box)
    }

    fn end_page(&mut self) -> Result<(), OutputError> {
        fmt::Write::write_str(&mut self.text, "\n\n")?;
        self.inner.end_page()
    }

    fn output_character(
        &mut self,
        trm: &Transform,
        width: f64,
        spacing: f64,
        font_size: f64,
        text: &str,
    ) -> Result<(), OutputError> {
        self.inner.output_character(trm, width, spacing, font_size, text)
    }

    fn begin_word(&mut self) -> Result<(), OutputError> {
        self.inner.begin_word()
    }

    fn end_word(&mut self) -> Result<(), OutputError> {
        self.inner.end_word()
    }

    fn end_line(&mut self) -> Result<(), OutputError> {
        self.inner.end_line()
    }

    fn stroke(&mut self, _: &Transform, _: &ColorSpace, _: &[f64], _: &Path) -> Result<(), OutputError> {
        Ok(())
    }

    fn fill(&mut self, _: &Transform, _: &ColorSpace, _: &[f64], _: &Path) -> Result<(), OutputError> {
        Ok(())
    }
}
