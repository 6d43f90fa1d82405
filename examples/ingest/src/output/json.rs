//! JSON that is safe to print: characters that could steer a terminal are written as `\uXXXX`, which means the same.

use crate::neutral::is_active;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};
use std::io;

/// A value as one line of JSON, without a line end.
pub fn to_vec(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(512);
    value.serialize(&mut Serializer::with_formatter(&mut out, Neutral(CompactFormatter)))?;
    Ok(out)
}

/// The same with a line end.
pub fn to_line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

struct Neutral(CompactFormatter);

impl Formatter for Neutral {
    /// Gets what needs no escape by the rules of JSON, which know only the controls below U+0020.
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_active) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let c = rest[at..].chars().next().expect("the search found one");
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_steer_terminals_are_escaped_and_come_back() {
        let text = "a\u{1b}[2J\u{7f}\u{9b}\u{202e}é\"\n🌊";

        let json = to_vec(&text).unwrap();

        assert_eq!(
            String::from_utf8(json.clone()).unwrap(),
            "\"a\\u001b[2J\\u007f\\u009b\\u202eé\\\"\\n🌊\""
        );
        assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
    }
}
