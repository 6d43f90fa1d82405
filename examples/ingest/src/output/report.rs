//! `report.json`, and the line that `--json` prints.

use super::json;
use crate::source::Skipped;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// The object that `--json` prints.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Headline {
    /// The job's name.
    pub job: String,
    /// Items of the whole job.
    pub items: u64,
    /// Items of the whole job that completed.
    pub completed: u64,
    /// Items of the whole job whose processor returned a failure.
    pub failed: u64,
    /// Items of the whole job that ended their worker once too often.
    pub quarantined: u64,
    /// Items that this run found done.
    pub resumed: u64,
    /// Attempts of this run.
    pub attempts: u64,
    /// Crashes of this run, by kind.
    pub crashes: BTreeMap<String, u64>,
    /// Workers started by this run.
    pub workers_started: u64,
    /// How long this run took.
    pub elapsed_s: f64,
    /// The most memory that this process had resident; `null` where the system does not tell.
    pub host_peak_rss_bytes: Option<u64>,
    /// `process` or `thread`.
    pub isolation: String,
}

/// The content of `report.json`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// What `--json` prints.
    #[serde(flatten)]
    pub headline: Headline,
    /// How this run ended, in words.
    pub ended: String,
    /// What this run found of earlier ones, in words.
    pub plan: String,
    /// Items that were set aside, by kind of failure or crash.
    pub set_aside: BTreeMap<String, u64>,
    /// What is no item.
    pub skipped: Skipped,
}

impl Headline {
    /// One line of JSON, without a line end.
    pub fn to_line(&self) -> io::Result<String> {
        Ok(String::from_utf8(json::to_vec(self)?).expect("JSON is UTF-8"))
    }
}

impl Report {
    /// Writes `report.json`.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        super::replace(dir, "report.json", |out| out.write_all(&json::to_line(self)?))
    }
}
