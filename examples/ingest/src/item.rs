//! What is processed, and how.

use crate::inject::Mischief;
use serde::{Deserialize, Serialize};

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileItem {
    /// Its absolute path, as [`crate::sys::path_to_bytes`] writes it: not every path is UTF-8.
    #[serde(with = "serde_bytes")]
    pub path: Vec<u8>,
    /// How to misbehave on it; travels with the item so that it is no part of the job's identity.
    pub mischief: Option<Mischief>,
}

/// What decides about the outputs, and so is a part of the job's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Sentences of a summary.
    pub summary_sentences: u32,
    /// Keywords of an item.
    pub keywords: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { summary_sentences: 3, keywords: 8 }
    }
}
