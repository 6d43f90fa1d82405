//! Files that are zip archives of XML: office documents and books.

use crate::engine::Failure;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesRef, BytesStart};
use quick_xml::{XmlVersion, escape};
use std::fs::File;
use std::io::{BufReader, Read};
use zip::ZipArchive;
use zip::result::ZipError;

/// At most this much of one part is unpacked: an archive of a few kilobytes can announce gigabytes.
const PART_BYTES_MAX: u64 = 16 << 20;

/// An archive whose parts are read one at a time.
pub struct Package {
    archive: ZipArchive<BufReader<File>>,
}

impl Package {
    /// Reads the directory of an archive.
    ///
    /// # Errors
    /// `InvalidInput` when it is damaged or no archive.
    pub fn open(file: File) -> Result<Self, Failure> {
        Ok(Self { archive: ZipArchive::new(BufReader::new(file))? })
    }

    /// A part's text, `None` when there is no such part.
    ///
    /// # Errors
    /// `InvalidInput` when it is damaged, encrypted or larger than [`PART_BYTES_MAX`].
    pub fn part(&mut self, name: &str) -> Result<Option<String>, Failure> {
        let part = match self.archive.by_name(name) {
            Ok(part) => part,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = Vec::new();
        part.take(PART_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > PART_BYTES_MAX {
            return Err(Failure::invalid_input(format!(
                "{name} in it is larger than {PART_BYTES_MAX} bytes"
            )));
        }
        Ok(Some(super::decode::decode(&bytes, true).text))
    }

    /// A part that every file of this kind has.
    ///
    /// # Errors
    /// Those of [`Package::part`], and when it is missing.
    pub fn required_part(&mut self, name: &str) -> Result<String, Failure> {
        self.part(name)?.ok_or_else(|| Failure::invalid_input(format!("{name} is missing in it")))
    }
}

/// The value of the attribute with this local name, without its entities.
pub fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let is_it = |attribute: &Attribute<'_>| attribute.key.local_name().as_ref() == name;
    let found = element.attributes().with_checks(false).flatten().find(is_it)?;
    found.normalized_value(XmlVersion::Implicit1_0).ok().map(|value| value.into_owned())
}

/// What a reference such as `&amp;` or `&#228;` stands for; nothing for one that only a document type declares.
pub fn entity(reference: &BytesRef<'_>) -> Option<String> {
    match reference.resolve_char_ref() {
        Ok(Some(character)) => Some(character.to_string()),
        Ok(None) => escape::resolve_predefined_entity(reference).map(str::to_owned),
        Err(_) => None,
    }
}
