//! The processor: what runs, and may die, in the workers.

use crate::engine::{Context, Failure, Processor, StartContext};
use crate::extract;
use crate::facts::Facts;
use crate::item::{Config, FileItem};
use crate::sys;

/// Turns one file into [`Facts`].
pub struct Ingest {
    config: Config,
}

impl Processor for Ingest {
    const NAME: &'static str = "ingest";
    const VERSION: u32 = 1;
    type Item = FileItem;
    type Output = Facts;
    type Config = Config;

    fn start(config: Config, _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self { config })
    }

    fn process(&mut self, item: FileItem, cx: &Context<'_>) -> Result<Facts, Failure> {
        if let Some(mischief) = item.mischief {
            mischief.commit(cx)?;
        }
        extract::extract(&sys::path_from_bytes(&item.path), &self.config, cx)
    }
}
