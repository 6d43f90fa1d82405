//! The limit: this executable, started and heard of.

use crate::support::case::Failed;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

/// The argument with which this program is the child of this yardstick.
const CHILD: &str = "--bare-child";

/// Milliseconds from before the spawn to the child's first byte.
pub fn spawn() -> Result<f64, Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(CHILD).stdin(Stdio::piped()).stdout(Stdio::piped());
    let began = Instant::now();
    let mut child = command.spawn()?;
    child.stdout.take().expect("piped").read_exact(&mut [0])?;
    let took = began.elapsed();
    child.wait()?;
    Ok(took.as_secs_f64() * 1e3)
}

/// In the child: says so and does not return.
pub fn child_line() -> Result<(), Failed> {
    if std::env::args().nth(1).as_deref() != Some(CHILD) {
        return Ok(());
    }
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(b"R")?;
    stdout.flush()?;
    std::process::exit(0)
}
