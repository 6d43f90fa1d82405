//! The command line.

use crate::inject::Rule;
use clap::{Parser, ValueEnum};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// Turns folders of mixed files into a knowledge base.
///
/// Reads PDF, Word documents, EPUB, HTML, Markdown, plain text, images, audio and video. Started again with the same arguments, it resumes where the last
/// run ended, however it ended. Ctrl-C drains and leaves a resumable job; a second Ctrl-C stops now.
///
/// Exit codes: 0 ran to its end, 3 with --strict when anything was set aside, 130 interrupted and resumable,
/// 1 anything else.
#[derive(Clone, Debug, Parser)]
#[command(name = "ingest", version)]
pub struct Args {
    /// Folders to read; without one, the samples that come with this program
    #[arg(value_name = "DIR")]
    pub dirs: Vec<PathBuf>,

    /// Where the knowledge base goes
    #[arg(long, value_name = "DIR", default_value = "ingest-out")]
    pub out: PathBuf,

    /// Where jobs keep their progress [default: OUT/.jobs]
    #[arg(long, value_name = "DIR")]
    pub jobs: Option<PathBuf>,

    /// The job's name
    #[arg(long, value_name = "NAME", default_value = "ingest")]
    pub job: String,

    /// Workers at a time [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroU32>,

    /// Where the work is done: in child processes, in threads, or in processes if they can be started
    #[arg(long, value_name = "process|thread|auto", default_value = "auto", hide_possible_values = true)]
    pub isolation: IsolationArg,

    /// Not available yet
    #[arg(long, value_name = "SIZE", value_parser = refuse_memory_limit)]
    pub memory_limit: Option<String>,

    /// How long one item may take, such as 90s or 5m; plain numbers are seconds
    #[arg(long, value_name = "DUR", default_value = "2m", value_parser = parse_duration)]
    pub item_timeout: Duration,

    /// What to do with a job of this name that is there already
    #[arg(long, value_name = "resume|restart|fail", default_value = "resume", hide_possible_values = true)]
    pub on_existing: OnExistingArg,

    /// Misbehave on matching files: abort, segv, stack-overflow, hang, spin, exit0, panic, garbage, fail, flaky, slow, kill-host
    #[arg(long, value_name = "KIND:GLOB")]
    pub inject: Vec<Rule>,

    /// Exit with 3 when anything was set aside
    #[arg(long)]
    pub strict: bool,

    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,

    /// Print nothing but errors (and what --json asks for)
    #[arg(long)]
    pub quiet: bool,
}

/// `--isolation`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IsolationArg {
    /// In child processes or not at all.
    Process,
    /// In threads of this process.
    Thread,
    /// In child processes, and in threads only when no process can be started.
    Auto,
}

/// `--on-existing`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnExistingArg {
    /// Go on where it ended.
    Resume,
    /// Forget it and start anew.
    Restart,
    /// Leave it alone and end with an error.
    Fail,
}

/// The arguments contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// The misbehaviour would hit this program itself.
    #[error("--inject {0} would end this program itself with --isolation thread; use --isolation process")]
    NeedsProcess(&'static str),
}

impl Args {
    /// Where jobs keep their progress.
    pub fn jobs_dir(&self) -> PathBuf {
        self.jobs.clone().unwrap_or_else(|| self.out.join(".jobs"))
    }

    /// The folders to read.
    pub fn input_dirs(&self) -> Vec<PathBuf> {
        if self.dirs.is_empty() { vec![PathBuf::from(SAMPLES)] } else { self.dirs.clone() }
    }

    /// The isolation to ask for: rules that would end a host make `auto` mean `process`, so that no fallback to
    /// threads can happen.
    pub fn effective_isolation(&self) -> IsolationArg {
        match self.isolation {
            IsolationArg::Auto if self.inject.iter().any(Rule::needs_process) => IsolationArg::Process,
            asked => asked,
        }
    }

    /// The rules of `--inject` for that isolation.
    ///
    /// # Errors
    /// [`ArgsError::NeedsProcess`]
    pub fn rules(&self) -> Result<Vec<Rule>, ArgsError> {
        if self.effective_isolation() != IsolationArg::Thread {
            return Ok(self.inject.clone());
        }
        match self.inject.iter().find(|rule| rule.needs_process()) {
            Some(rule) => Err(ArgsError::NeedsProcess(rule.kind())),
            None => Ok(self.inject.iter().cloned().map(Rule::in_thread).collect()),
        }
    }
}

/// Beside the source that this was compiled from.
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples");

fn refuse_memory_limit(_: &str) -> Result<String, &'static str> {
    Err("memory limits do not exist yet; they come in a later version. Leave --memory-limit out")
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let parsed = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            humantime::parse_duration(text).map_err(|error| format!("{error}; write it like 90s or 5m"))?
        }
    };
    if parsed.is_zero() { Err("no item could ever end in time".to_owned()) } else { Ok(parsed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Args, String> {
        Args::try_parse_from([&["ingest"], args].concat()).map_err(|error| error.to_string())
    }

    #[test]
    fn without_arguments_it_reads_the_samples() {
        let args = parse(&[]).unwrap();

        assert_eq!(args.input_dirs(), [PathBuf::from(SAMPLES)]);
        assert!(args.input_dirs()[0].is_dir());
        assert_eq!(args.out, PathBuf::from("ingest-out"));
        assert_eq!(args.jobs_dir(), PathBuf::from("ingest-out/.jobs"));
        assert_eq!(args.job, "ingest");
        assert_eq!((args.isolation, args.on_existing), (IsolationArg::Auto, OnExistingArg::Resume));
        assert!(!args.strict && !args.json && !args.quiet);
    }

    #[test]
    fn every_argument_of_the_manual_is_understood() {
        let all = "a b --out o --jobs j --job n --workers 3 --isolation process --item-timeout 1m30s \
                   --on-existing restart --inject abort:x --inject fail:y --strict --json --quiet";

        let args = parse(&all.split_whitespace().collect::<Vec<_>>()).unwrap();

        assert_eq!(args.dirs, [PathBuf::from("a"), PathBuf::from("b")]);
        assert_eq!(args.jobs_dir(), PathBuf::from("j"));
        assert_eq!(args.workers.unwrap().get(), 3);
        assert_eq!(args.item_timeout, Duration::from_secs(90));
        assert_eq!(args.inject.len(), 2);
    }

    #[test]
    fn a_memory_limit_is_refused_with_the_reason() {
        let error = parse(&["--memory-limit", "1GiB"]).unwrap_err();
        assert!(error.contains("memory limits do not exist yet"), "{error}");
    }

    #[test]
    fn durations_are_what_people_write() {
        let timeout = |text| parse(&["--item-timeout", text]).map(|args| args.item_timeout);
        assert_eq!(timeout("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(timeout("7").unwrap(), Duration::from_secs(7));
        assert!(timeout("soon").unwrap_err().contains("write it like 90s or 5m"));
        assert!(timeout("0").unwrap_err().contains("no item could ever end in time"));
    }

    #[test]
    fn bad_values_name_what_would_be_right() {
        assert!(parse(&["--workers", "0"]).is_err());
        assert!(parse(&["--inject", "oom:*"]).unwrap_err().contains("'oom' comes later"));
        assert!(parse(&["--isolation", "vm"]).unwrap_err().contains("process, thread, auto"));
    }

    #[test]
    fn deadly_rules_are_refused_in_threads_and_turn_auto_into_process() {
        let threads = parse(&["--isolation", "thread", "--inject", "segv:*"]).unwrap();
        assert_eq!(threads.rules().unwrap_err(), ArgsError::NeedsProcess("segv"));

        assert_eq!(parse(&["--inject", "segv:*"]).unwrap().effective_isolation(), IsolationArg::Process);
        assert_eq!(parse(&["--inject", "fail:*"]).unwrap().effective_isolation(), IsolationArg::Auto);
    }
}
