//! A job's identity: which processor, which configuration; and what differs from the job in the store.

use crate::JobError;
use cofferdam_checkpoint::{JobSpec, Store};
use cofferdam_ipc::Codec;
use cofferdam_pipeline_core::{Keying, Work};
use serde_json::Value;

/// The identity of a job of `P` with this configuration.
pub(crate) fn spec_of<P: Work>(
    store: &Store,
    config: &P::Config,
    codec: Codec,
    keying: Keying,
) -> Result<JobSpec, JobError> {
    Ok(JobSpec {
        processor: P::NAME.to_owned(),
        version: P::VERSION,
        codec: codec.id(),
        keying,
        config: config_hashes(store.uuid(), config)?,
    })
}

/// One keyed hash for each top-level field, so that a difference can be named without keeping any value.
fn config_hashes<C: serde::Serialize>(
    store: &[u8; 16],
    config: &C,
) -> Result<Vec<(String, [u8; 32])>, JobError> {
    let key = blake3::derive_key("cofferdam 2026 config field hash", store);
    let hash = |value: &Value| *blake3::keyed_hash(&key, value.to_string().as_bytes()).as_bytes();
    let value = serde_json::to_value(config).map_err(|e| JobError::Config(e.to_string()))?;
    Ok(match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), hash(value))).collect(),
        whole => vec![(String::new(), hash(&whole))],
    })
}

/// The names of what differs, empty when nothing does.
pub(crate) fn differences(stored: &JobSpec, wanted: &JobSpec) -> Vec<String> {
    let mut fields = Vec::new();
    let mut differ = |name: &str, differs: bool| {
        if differs {
            fields.push(name.to_owned());
        }
    };
    differ("processor", stored.processor != wanted.processor);
    differ("version", stored.version != wanted.version);
    differ("codec", stored.codec != wanted.codec);
    differ("keying", stored.keying != wanted.keying);
    let find =
        |spec: &JobSpec, name: &str| spec.config.iter().find(|(n, _)| n == name).map(|(_, hash)| *hash);
    let mut names: Vec<&String> = stored.config.iter().chain(&wanted.config).map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    for name in names {
        let label = if name.is_empty() { "config".to_owned() } else { format!("config.{name}") };
        differ(&label, find(stored, name) != find(wanted, name));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    #[derive(Serialize)]
    struct Config {
        lang: &'static str,
        pages: u32,
    }

    fn spec(config: &Config, version: u32) -> JobSpec {
        let config = config_hashes(&[7; 16], config).expect("a plain config");
        JobSpec { processor: "p".into(), version, codec: 1, keying: Keying::Dense, config }
    }

    #[test]
    fn differences_name_the_fields_and_never_the_values() {
        let stored = spec(&Config { lang: "en", pages: 3 }, 1);
        assert_eq!(differences(&stored, &spec(&Config { lang: "en", pages: 3 }, 1)), Vec::<String>::new());
        assert_eq!(
            differences(&stored, &spec(&Config { lang: "de", pages: 3 }, 2)),
            ["version", "config.lang"]
        );
    }

    #[test]
    fn the_same_value_hashes_differently_in_another_store() {
        let config = Config { lang: "en", pages: 3 };
        let here = config_hashes(&[7; 16], &config).expect("a plain config");
        let there = config_hashes(&[8; 16], &config).expect("a plain config");
        assert!(here.iter().zip(&there).all(|(a, b)| a.0 == b.0 && a.1 != b.1));
    }

    #[test]
    fn a_config_without_fields_is_one_nameless_field() {
        let hashes = config_hashes(&[7; 16], &()).expect("unit");
        assert_eq!(hashes.len(), 1);
        assert_eq!(hashes[0].0, "");
    }
}
