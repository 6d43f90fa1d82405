//! One write and one sync of the same outputs, into a file that was filled with zeros before: no frames, no checksums. Alone, or in groups
//! that form while a sync runs, which is as much as threads that wait for their commits can get of the disk.

use super::Engine;
use crate::journal::OUTPUT_LEN;
use crate::support::case::Failed;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Condvar, Mutex};

pub struct Raw {
    file: Mutex<File>,
    outputs: Vec<u8>,
}

impl Raw {
    /// With room for `commits` commits of `records` outputs.
    pub fn new(path: &Path, commits: usize, records: usize) -> Result<Self, Failed> {
        let outputs = vec![7; records * OUTPUT_LEN];
        let file = filled(path, commits * outputs.len())?;
        Ok(Self { file: Mutex::new(file), outputs })
    }
}

fn filled(path: &Path, len: usize) -> Result<File, Failed> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(&vec![0; len.next_multiple_of(4096)])?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

impl Engine for Raw {
    fn commit(&self, _first: u64, count: usize) -> Result<(), Failed> {
        let mut file = self.file.lock().map_err(|_| "a committer panicked")?;
        file.write_all(&self.outputs[..count * OUTPUT_LEN])?;
        Ok(file.sync_data()?)
    }
}

pub struct RawGroups {
    file: Mutex<File>,
    groups: Mutex<Groups>,
    done: Condvar,
}

#[derive(Default)]
struct Groups {
    forming: Vec<u8>,
    is_led: bool,
    /// Groups that were begun, and those of them that ended.
    begun: u64,
    ended: u64,
}

impl RawGroups {
    /// With room for `commits` outputs.
    pub fn new(path: &Path, commits: usize) -> Result<Self, Failed> {
        let file = Mutex::new(filled(path, commits * OUTPUT_LEN)?);
        Ok(Self { file, groups: Mutex::default(), done: Condvar::new() })
    }

    fn write(&self, group: &[u8]) -> Result<(), Failed> {
        let mut file = self.file.lock().map_err(|_| "a committer panicked")?;
        file.write_all(group)?;
        Ok(file.sync_data()?)
    }
}

impl Engine for RawGroups {
    fn commit(&self, _first: u64, count: usize) -> Result<(), Failed> {
        let mut groups = self.groups.lock().map_err(|_| "a committer panicked")?;
        let len = groups.forming.len() + count * OUTPUT_LEN;
        groups.forming.resize(len, 7);
        let mine = groups.begun;
        while groups.ended <= mine {
            if groups.is_led {
                groups = self.done.wait(groups).map_err(|_| "a committer panicked")?;
                continue;
            }
            groups.is_led = true;
            groups.begun += 1;
            let group = std::mem::take(&mut groups.forming);
            drop(groups);
            self.write(&group)?;
            groups = self.groups.lock().map_err(|_| "a committer panicked")?;
            (groups.is_led, groups.ended) = (false, groups.begun);
            self.done.notify_all();
        }
        Ok(())
    }
}
