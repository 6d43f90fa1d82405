//! Evidence as tagged fields: tag, length, bytes. Unknown tags are passed over, so later versions can add some.

use super::bytes::{Malformed, Reader, put_bytes, put_varint};
use cofferdam_pipeline_core::Evidence;

/// The longest text of one field; what is longer is cut (stderr at its front, the rest at its end).
pub(crate) const TEXT_LEN_MAX: usize = 64 << 10;
/// Breadcrumbs that are kept, the last ones.
pub(crate) const BREADCRUMBS_MAX: usize = 64;

pub(crate) const TAG_KIND: u8 = 1;
pub(crate) const TAG_MESSAGE: u8 = 2;
pub(crate) const TAG_STAGE: u8 = 3;
pub(crate) const TAG_PROGRESS: u8 = 4;
pub(crate) const TAG_BREADCRUMB: u8 = 5;
pub(crate) const TAG_STDERR: u8 = 6;
pub(crate) const TAG_BACKTRACE: u8 = 7;

/// The tags as the spec lists them.
#[cfg(test)]
pub(crate) const TAGS: &[(u8, &str)] = &[
    (TAG_KIND, "kind"),
    (TAG_MESSAGE, "message"),
    (TAG_STAGE, "stage"),
    (TAG_PROGRESS, "progress"),
    (TAG_BREADCRUMB, "breadcrumb"),
    (TAG_STDERR, "stderr tail"),
    (TAG_BACKTRACE, "backtrace"),
];

pub(crate) fn encode(evidence: &Evidence, out: &mut Vec<u8>) {
    let mut text = |tag: u8, text: &str| {
        if !text.is_empty() {
            out.push(tag);
            put_bytes(out, text.as_bytes());
        }
    };
    text(TAG_KIND, front(&evidence.kind));
    text(TAG_MESSAGE, front(&evidence.message));
    text(TAG_STAGE, front(&evidence.stage));
    text(TAG_STDERR, back(&evidence.stderr_tail));
    text(TAG_BACKTRACE, front(&evidence.backtrace));
    let skipped = evidence.breadcrumbs.len().saturating_sub(BREADCRUMBS_MAX);
    evidence.breadcrumbs[skipped..].iter().for_each(|crumb| {
        out.push(TAG_BREADCRUMB);
        put_bytes(out, front(crumb).as_bytes());
    });
    if let Some((done, total)) = evidence.progress {
        let mut numbers = Vec::with_capacity(20);
        put_varint(&mut numbers, done);
        put_varint(&mut numbers, total);
        out.push(TAG_PROGRESS);
        put_bytes(out, &numbers);
    }
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Evidence, Malformed> {
    let mut evidence = Evidence::default();
    let mut r = Reader(bytes);
    while !r.is_empty() {
        let tag = r.u8()?;
        let value = r.bytes()?;
        let text = || String::from_utf8(value.to_vec()).map_err(|_| Malformed);
        match tag {
            TAG_KIND => evidence.kind = text()?,
            TAG_MESSAGE => evidence.message = text()?,
            TAG_STAGE => evidence.stage = text()?,
            TAG_STDERR => evidence.stderr_tail = text()?,
            TAG_BACKTRACE => evidence.backtrace = text()?,
            TAG_BREADCRUMB => evidence.breadcrumbs.push(text()?),
            TAG_PROGRESS => {
                let mut numbers = Reader(value);
                evidence.progress = Some((numbers.varint()?, numbers.varint()?));
            }
            _ => {}
        }
    }
    Ok(evidence)
}

fn front(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_LEN_MAX)]
}

fn back(text: &str) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(TEXT_LEN_MAX))..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(evidence: &Evidence) -> Evidence {
        let mut out = Vec::new();
        encode(evidence, &mut out);
        decode(&out).unwrap()
    }

    #[test]
    fn every_field_comes_back() {
        let evidence = Evidence {
            kind: "SIGSEGV".into(),
            message: "ended by SIGSEGV (11)".into(),
            stage: "decode".into(),
            progress: Some((3, 14)),
            breadcrumbs: vec!["a".into(), "b".into()],
            stderr_tail: "é".into(),
            backtrace: "main".into(),
        };
        assert_eq!(round_trip(&evidence), evidence);
        assert_eq!(round_trip(&Evidence::default()), Evidence::default());
    }

    #[test]
    fn a_long_stderr_keeps_its_end_and_is_cut_between_characters() {
        let long = "é".repeat(TEXT_LEN_MAX) + "!";
        let back = round_trip(&Evidence { stderr_tail: long.clone(), message: long, ..Evidence::default() });
        assert!(back.stderr_tail.ends_with("é!") && back.stderr_tail.len() <= TEXT_LEN_MAX);
        assert!(back.message.ends_with('é') && back.message.len() <= TEXT_LEN_MAX);
    }

    #[test]
    fn a_field_of_a_later_version_is_passed_over() {
        let mut out = vec![99, 2, 0, 0];
        encode(&Evidence { kind: "panic".into(), ..Evidence::default() }, &mut out);
        assert_eq!(decode(&out).unwrap().kind, "panic");
    }
}
