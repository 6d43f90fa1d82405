//! How a run shows itself while it lasts: bars on a terminal, plain lines otherwise.

use crate::neutral;
use indicatif::{
    HumanBytes, HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle,
};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

/// How often to look at the job.
pub const REFRESH: Duration = Duration::from_millis(100);
/// How often a plain line is printed when something has changed.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
/// Lines for workers on a terminal; the rest is counted.
const WORKER_LINES_MAX: usize = 8;
/// Names and texts of items are cut to this.
const NAME_CHARS_MAX: usize = 48;

/// The job at one moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Items in all, once known.
    pub total: Option<u64>,
    /// Completed, of the whole job.
    pub completed: u64,
    /// Failed, of the whole job.
    pub failed: u64,
    /// Quarantined, of the whole job.
    pub quarantined: u64,
    /// Found done.
    pub resumed: u64,
    /// Workers started beyond the first of each place.
    pub restarts: u64,
    /// What the workers do.
    pub workers: Vec<WorkerView>,
}

/// One worker at one moment.
#[derive(Clone, Debug, Default)]
pub struct WorkerView {
    /// Its place.
    pub slot: u32,
    /// The item's name, for people.
    pub item: Option<String>,
    /// The stage of the item.
    pub stage: String,
    /// Units done and in all.
    pub progress: Option<(u64, u64)>,
    /// Its memory.
    pub resident_bytes: Option<u64>,
}

/// Shows views and messages on stderr.
pub enum Display {
    /// `--quiet`
    Quiet,
    /// Not a terminal.
    Plain(Plain),
    /// A terminal.
    Bars(Bars),
}

impl Display {
    /// The display that suits stderr.
    pub fn new(is_quiet: bool, job: &str) -> Self {
        if is_quiet {
            Self::Quiet
        } else if std::io::stderr().is_terminal() {
            Self::Bars(Bars::new(job))
        } else {
            Self::Plain(Plain { shown: None, settled: 0 })
        }
    }

    /// Shows where the job is.
    pub fn show(&mut self, view: &View, now: Instant) {
        match self {
            Self::Quiet => {}
            Self::Plain(plain) => plain.show(view, now),
            Self::Bars(bars) => bars.show(view),
        }
    }

    /// Says something that stays on the screen.
    pub fn say(&self, message: &str) {
        let message = neutral::line(message);
        match self {
            Self::Quiet => {}
            Self::Plain(_) => print_line(&message),
            Self::Bars(bars) => drop(bars.all.println(message)),
        }
    }

    /// Removes what does not stay.
    pub fn end(&mut self) {
        match self {
            Self::Quiet | Self::Plain(_) => {}
            Self::Bars(bars) => drop(bars.all.clear()),
        }
    }
}

impl View {
    fn settled(&self) -> u64 {
        self.completed + self.failed + self.quarantined
    }

    fn resident(&self) -> u64 {
        self.workers.iter().filter_map(|worker| worker.resident_bytes).sum()
    }

    /// The plain line.
    fn line(&self, rate: Option<f64>) -> String {
        let mut line = HumanCount(self.settled()).to_string();
        if let Some(total) = self.total {
            let _ = write!(line, " of {}", HumanCount(total));
        }
        let _ = write!(line, " items done");
        for (count, what) in
            [(self.failed, "failed"), (self.quarantined, "quarantined"), (self.restarts, "restarts")]
        {
            if count > 0 {
                let _ = write!(line, ", {} {what}", HumanCount(count));
            }
        }
        if let Some(rate) = rate {
            let _ = write!(line, ", {rate:.1}/s");
            let left = self.total.map(|total| total.saturating_sub(self.settled()));
            if let Some(left) = left.filter(|left| *left > 0 && rate > 0.0) {
                let _ = write!(line, ", {} s left", (left as f64 / rate).ceil());
            }
        }
        if self.resident() > 0 {
            let _ = write!(line, ", workers hold {}", HumanBytes(self.resident()));
        }
        line
    }
}

impl WorkerView {
    fn line(&self) -> String {
        let mut line = format!("{:>3} ", self.slot);
        let Some(item) = &self.item else {
            line.push_str("idle");
            return line;
        };
        line.push_str(&neutral::short_line(item, NAME_CHARS_MAX));
        if !self.stage.is_empty() {
            let _ = write!(line, " · {}", neutral::short_line(&self.stage, NAME_CHARS_MAX));
        }
        if let Some((done, total)) = self.progress {
            let total = if total > 0 { format!("/{total}") } else { String::new() };
            let _ = write!(line, " {done}{total}");
        }
        if let Some(resident) = self.resident_bytes {
            let _ = write!(line, " · {}", HumanBytes(resident));
        }
        line
    }
}

/// A line now and then.
pub struct Plain {
    shown: Option<Instant>,
    settled: u64,
}

impl Plain {
    fn show(&mut self, view: &View, now: Instant) {
        let Some(shown) = self.shown else {
            (self.shown, self.settled) = (Some(now), view.settled());
            return;
        };
        let since = now.saturating_duration_since(shown);
        if since < PLAIN_EVERY || view.settled() == self.settled {
            return;
        }
        let rate = view.settled().saturating_sub(self.settled) as f64 / since.as_secs_f64();
        print_line(&view.line(Some(rate)));
        (self.shown, self.settled) = (Some(now), view.settled());
    }
}

/// One bar for the job and a line for each worker.
pub struct Bars {
    all: MultiProgress,
    job: ProgressBar,
    workers: Vec<ProgressBar>,
    has_begun: bool,
}

impl Bars {
    fn new(name: &str) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let job = all.add(ProgressBar::no_length());
        let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:.1}/s", state.per_sec());
        };
        let style =
            ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} · {rate} · ETA {eta} · {msg}");
        let style = style.expect("the template is a constant").with_key("rate", rate).progress_chars("=> ");
        job.set_style(style);
        job.set_prefix(neutral::short_line(name, NAME_CHARS_MAX));
        Self { all, job, workers: Vec::new(), has_begun: false }
    }

    fn show(&mut self, view: &View) {
        if let Some(total) = view.total {
            self.job.set_length(total);
        }
        if !self.has_begun {
            // What was found done is no measure of this run's speed.
            self.has_begun = true;
            self.job.set_position(view.resumed);
            self.job.reset_eta();
        }
        self.job.set_position(view.settled());
        self.job.set_message(job_message(view));
        let shown = view.workers.len().min(WORKER_LINES_MAX);
        while self.workers.len() < shown {
            let line = self.all.add(ProgressBar::no_length());
            line.set_style(ProgressStyle::with_template("{wide_msg}").expect("the template is a constant"));
            self.workers.push(line);
        }
        for (line, worker) in self.workers.iter().zip(&view.workers) {
            line.set_message(worker.line());
        }
    }
}

fn job_message(view: &View) -> String {
    let mut message = String::new();
    for (count, what) in
        [(view.failed, "failed"), (view.quarantined, "quarantined"), (view.restarts, "restarts")]
    {
        if count > 0 {
            let _ = write!(message, "{count} {what} · ");
        }
    }
    let _ = write!(message, "{}", HumanBytes(view.resident()));
    message
}

/// To stderr; nobody listening is no reason to end.
fn print_line(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        let worker = WorkerView {
            slot: 2,
            item: Some("a\u{1b}[2Jb.pdf".into()),
            stage: "text".into(),
            progress: Some((3, 9)),
            resident_bytes: Some(5 << 20),
        };
        View {
            total: Some(1500),
            completed: 1000,
            failed: 2,
            quarantined: 1,
            restarts: 4,
            workers: vec![worker],
            ..View::default()
        }
    }

    #[test]
    fn the_plain_line_says_how_far_how_fast_and_how_long() {
        assert_eq!(
            view().line(Some(10.0)),
            "1,003 of 1,500 items done, 2 failed, 1 quarantined, 4 restarts, 10.0/s, 50 s left, workers hold 5.00 MiB"
        );
        assert_eq!(View::default().line(None), "0 items done");
    }

    #[test]
    fn the_line_of_a_worker_cannot_steer_the_terminal() {
        assert_eq!(view().workers[0].line(), "  2 a [2Jb.pdf · text 3/9 · 5.00 MiB");
        assert_eq!(WorkerView::default().line(), "  0 idle");
    }
}
