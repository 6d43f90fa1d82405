//! A job's description: its true name and what it was made with.

use super::bytes::{Malformed, Reader, put_bytes, put_varint};
use crate::JobSpec;
use cofferdam_pipeline_core::Keying;

/// The longest description.
pub(crate) const LEN_MAX: usize = 1 << 20;

/// A job's name and description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) name: Vec<u8>,
    pub(crate) spec: JobSpec,
}

impl Description {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, &self.name);
        put_bytes(&mut out, self.spec.processor.as_bytes());
        put_varint(&mut out, self.spec.version.into());
        out.push(self.spec.codec);
        out.push(match self.spec.keying {
            Keying::Dense => 0,
            Keying::Keyed => 1,
        });
        put_varint(&mut out, self.spec.config.len() as u64);
        for (field, hash) in &self.spec.config {
            put_bytes(&mut out, field.as_bytes());
            out.extend_from_slice(hash);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader(bytes);
        let name = r.bytes()?.to_vec();
        let (processor, version, codec) = (r.text()?, r.varint_u32()?, r.u8()?);
        let keying = match r.u8()? {
            0 => Keying::Dense,
            1 => Keying::Keyed,
            _ => return Err(Malformed),
        };
        let fields = r.varint()?;
        let mut config = Vec::new();
        for _ in 0..fields {
            config.push((r.text()?, r.array()?));
        }
        Ok(Self { name, spec: JobSpec { processor, version, codec, keying, config } })
    }
}
