//! The host reads what 64 workers wrote.

use crate::support::case::{Case, Failed, Figure};
use crate::support::sys;
use cofferdam_isolation::recorder::{HostRecorder, RecorderDir};
use cofferdam_pipeline_core::WorkerId;
use std::fs::File;
use std::hint::black_box;
use std::time::Instant;

const WORKERS: u32 = 64;

/// Recorders of 64 workers, each read once in a pass.
pub struct Sampling {
    recorders: Vec<HostRecorder>,
    passes: u64,
    _dir: RecorderDir,
}

impl Sampling {
    pub fn create(passes: u64) -> Result<Self, Failed> {
        let dir = RecorderDir::create(None)?;
        let create = |worker| HostRecorder::create(&dir, WorkerId(worker), 1);
        let recorders = (0..WORKERS).map(create).collect::<Result<_, _>>()?;
        Ok(Self { recorders, passes, _dir: dir })
    }
}

impl Case for Sampling {
    fn name(&self) -> &'static str {
        "sample64_us"
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let began = Instant::now();
        for _ in 0..self.passes {
            for recorder in &self.recorders {
                black_box(recorder.read()?);
            }
        }
        let took = began.elapsed();
        Ok(vec![Figure::new(self.name(), took.as_secs_f64() * 1e6 / self.passes as f64, "us")])
    }
}

/// The yardstick: one read of eight bytes of each, which is what a look takes at the least while workers have files of their own.
pub struct RawReads {
    sampling: Sampling,
    files: Vec<File>,
}

impl RawReads {
    pub fn create(passes: u64) -> Result<Self, Failed> {
        let sampling = Sampling::create(passes)?;
        let open = |recorder: &HostRecorder| File::open(recorder.recorder_path());
        let files = sampling.recorders.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { sampling, files })
    }
}

impl Case for RawReads {
    fn name(&self) -> &'static str {
        "sample64.pread8_us"
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let mut word = [0; 8];
        let began = Instant::now();
        for _ in 0..self.sampling.passes {
            for file in &self.files {
                black_box(sys::read_at(file, &mut word, 0)?);
            }
        }
        let took = began.elapsed();
        Ok(vec![Figure::new(self.name(), took.as_secs_f64() * 1e6 / self.sampling.passes as f64, "us")])
    }
}
