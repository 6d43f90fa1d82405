//! A disk that keeps nobody's pace: 1.5 ms a sync, 20 MB/s for all files together.

use cofferdam_checkpoint::{Disk, RealDisk};
use cofferdam_testkit::{PacedDisk, Step};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const SYNC: Duration = Duration::from_micros(1500);
const BYTES_PER_SECOND: f64 = 20e6;

/// The real disk, made slow.
pub fn slow_disk() -> Arc<dyn Disk> {
    // When the disk has written all that it was given.
    let busy_until = Mutex::new(Instant::now());
    let pace = move |_: &Path, step: Step| match step {
        Step::Sync => std::thread::sleep(SYNC),
        Step::Write(len) => {
            let done = {
                let mut busy_until = busy_until.lock().unwrap_or_else(PoisonError::into_inner);
                let took = Duration::from_secs_f64(len as f64 / BYTES_PER_SECOND);
                *busy_until = (*busy_until).max(Instant::now()) + took;
                *busy_until
            };
            std::thread::sleep(done.saturating_duration_since(Instant::now()));
        }
    };
    PacedDisk::new(RealDisk::shared(), pace).shared()
}
