//! The processor that the workers under test run.

use cofferdam_pipeline_core::{Context, Failure, FailureKind, Processor, StartContext};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::time::Duration;

/// What an item asks of its worker. As JSON: `{"Echo":5}`, `"Wait"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    /// The output is the number in decimal digits.
    Echo(u64),
    /// The output is the text so many times.
    Repeat {
        /// What.
        text: String,
        /// How often.
        times: u32,
    },
    /// Fails with the kind of this [code](cofferdam_isolation::protocol::FailureCode) and this message; retry after 1500 ms.
    Fail {
        /// 1 to 5.
        kind: u8,
        /// The message.
        message: String,
    },
    /// Says stage `decode`, progress 3 of 14, message `page 3` and breadcrumbs `opened` and `parsed`, then looks at `check`
    /// every millisecond until it is told to stop.
    Wait,
    /// Saves the text as its state, then fails as transient.
    Save(String),
    /// The output is `attempt:state`, the state empty when there is none.
    Recall,
    /// Makes the file `page` in its scratch directory; the output is the directory's path.
    Scratch,
    /// Writes the text so many times into a file of its output, in pieces; the output is the file's index and length, `index:length`.
    Write {
        /// What.
        text: String,
        /// How often.
        times: u32,
    },
    /// Writes a text into a file, forgets it, and writes another one; the output is as that of `Write`.
    WriteTwice {
        /// The first.
        forgotten: String,
        /// The second.
        kept: String,
    },
    /// Finishes a file with the text and then does this.
    WriteThen(String, Box<Deed>),
    /// Panics with this message.
    Panic(String),
    /// Ends the process with this code.
    Exit(i32),
    /// Sleeps and looks at nothing.
    Hang,
}

/// How a worker of [`Conformant`] starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConformantConfig {
    /// Fails the start, as fatal, with this message.
    pub start_failure: Option<String>,
}

/// Does what its items say. Whoever conforms in another language has a processor of this name and version that does the same.
#[derive(Debug)]
pub struct Conformant;

impl Processor for Conformant {
    const NAME: &'static str = "conformant";
    const VERSION: u32 = 1;
    type Item = Deed;
    type Output = String;
    type Config = ConformantConfig;

    fn start(config: ConformantConfig, _: &StartContext<'_>) -> Result<Self, Failure> {
        match config.start_failure {
            Some(why) => Err(Failure::fatal(why)),
            None => Ok(Self),
        }
    }

    fn process(&mut self, deed: Deed, cx: &Context<'_>) -> Result<String, Failure> {
        match deed {
            Deed::Echo(number) => Ok(number.to_string()),
            Deed::Repeat { text, times } => Ok(text.repeat(times as usize)),
            Deed::Fail { kind, message } => Err(Failure::new(failure_kind(kind), message)),
            Deed::Wait => wait(cx),
            Deed::Save(text) => {
                cx.save_state(text.as_bytes())?;
                Err(Failure::transient("saved"))
            }
            Deed::Recall => {
                let state = String::from_utf8_lossy(cx.saved_state().unwrap_or_default());
                Ok(format!("{}:{state}", cx.attempt()))
            }
            Deed::Scratch => {
                let dir = cx.scratch_dir()?;
                std::fs::File::create_new(dir.join("page"))?;
                Ok(dir.display().to_string())
            }
            Deed::Write { text, times } => write(cx, &text, times),
            Deed::WriteTwice { forgotten, kept } => {
                let mut writer = cx.output_writer()?;
                writer.write_all(forgotten.as_bytes())?;
                writer.flush()?;
                drop(writer);
                write(cx, &kept, 1)
            }
            Deed::WriteThen(text, then) => {
                write(cx, &text, 1)?;
                self.process(*then, cx)
            }
            Deed::Panic(message) => panic!("{message}"),
            Deed::Exit(code) => std::process::exit(code),
            Deed::Hang => loop {
                std::thread::sleep(Duration::from_secs(3600));
            },
        }
    }
}

fn write(cx: &Context<'_>, text: &str, times: u32) -> Result<String, Failure> {
    let mut writer = cx.output_writer()?;
    (0..times).try_for_each(|_| writer.write_all(text.as_bytes()))?;
    let file = writer.finish()?;
    Ok(format!("{}:{}", file.index, file.len))
}

fn failure_kind(code: u8) -> FailureKind {
    match code {
        1 => FailureKind::Transient,
        2 => FailureKind::RateLimited { retry_after: Duration::from_millis(1500) },
        3 => FailureKind::Offline,
        4 => FailureKind::InvalidInput,
        _ => FailureKind::Fatal,
    }
}

fn wait(cx: &Context<'_>) -> Result<String, Failure> {
    cx.stage("decode");
    cx.progress(3, 14);
    cx.message("page 3");
    cx.breadcrumb("opened");
    cx.breadcrumb("parsed");
    loop {
        cx.check()?;
        std::thread::sleep(Duration::from_millis(1));
    }
}
