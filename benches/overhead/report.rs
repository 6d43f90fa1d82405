//! Lines for programs, or a table for people.

use std::ops::RangeInclusive;

/// Prints figures as they come.
pub struct Report {
    suite: &'static str,
    json: bool,
}

impl Report {
    pub fn new(suite: &'static str, json: bool) -> Self {
        if !json {
            println!("{:<34} {:>12} {:<8} least … most", "case", "median", "unit");
        }
        Self { suite, json }
    }

    /// A figure with the range of its rounds.
    pub fn spread(&mut self, case: &str, value: f64, unit: &str, rounds: RangeInclusive<f64>) {
        if self.json {
            self.line(case, value, unit);
        } else {
            println!("{case:<34} {value:>12.4} {unit:<8} {:.4} … {:.4}", rounds.start(), rounds.end());
        }
    }

    /// A figure.
    pub fn line(&mut self, case: &str, value: f64, unit: &str) {
        if self.json {
            println!(
                "{{\"suite\":\"{}\",\"case\":\"{case}\",\"value\":{value},\"unit\":\"{unit}\"}}",
                self.suite
            );
        } else {
            println!("{case:<34} {value:>12.4} {unit}");
        }
    }

    /// For people only.
    pub fn note(&mut self, text: &str) {
        if !self.json {
            println!("# {text}");
        }
    }

    pub fn finish(self) {
        if !self.json {
            println!(
                "# cofferdam: child processes, every outcome synced to disk; process: the same without the sync; thread: no isolation.\n\
                 # raw: the same bytes through two pipes and a journal with fdatasync, by hand; procspawn and imap_chunked keep nothing."
            );
        }
    }
}
