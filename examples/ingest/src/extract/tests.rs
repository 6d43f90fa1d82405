use super::*;
use crate::engine::{Instrument, Interrupted};
use std::path::PathBuf;
use std::sync::Mutex;

#[derive(Default)]
struct Stages(Mutex<Vec<String>>);

impl Instrument for Stages {
    fn progress(&self, _: u64, _: u64) {}
    fn stage(&self, name: &str) {
        self.0.lock().unwrap().push(name.to_owned());
    }
    fn message(&self, _: &str) {}
    fn breadcrumb(&self, _: &str) {}
    fn check(&self) -> Result<(), Interrupted> {
        Ok(())
    }
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")
}

fn extract_path(path: &Path) -> Result<Facts, Failure> {
    let stages = Stages::default();
    extract(path, &Config::default(), &Context::new(&stages, 1, crate::engine::SlotNumber(0)))
}

#[test]
fn dump() {
    for entry in walkdir::WalkDir::new(samples()).sort_by_file_name() {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let p = entry.path().to_owned();
            let r = std::panic::catch_unwind(|| extract_path(&p));
            println!("{} => {:#?}", entry.path().strip_prefix(samples()).unwrap().display(), r);
        }
    }
}
