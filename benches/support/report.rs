//! Lines for programs, or tables for people.

/// Prints figures as they come, and for people the gates at the end.
pub struct Report {
    suite: &'static str,
    json: bool,
    gates: Vec<Gate>,
}

struct Gate {
    what: String,
    value: f64,
    bound: Bound,
}

/// What a figure is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

impl Report {
    pub fn new(suite: &'static str, json: bool) -> Self {
        if !json {
            println!("{:<40} {:>14} {:<10} least … most", "case", "median", "unit");
        }
        Self { suite, json, gates: Vec::new() }
    }

    /// A figure with the range of its rounds.
    pub fn spread(&mut self, case: &str, value: f64, unit: &str, least: f64, most: f64) {
        if self.json {
            self.line(case, value, unit);
        } else {
            println!("{case:<40} {value:>14.4} {unit:<10} {least:.4} … {most:.4}");
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
            println!("{case:<40} {value:>14.4} {unit}");
        }
    }

    /// A gate, for people only: programs compute it from the lines.
    pub fn gate(&mut self, what: impl Into<String>, value: Option<f64>, bound: Bound) {
        self.gates.extend(value.map(|value| Gate { what: what.into(), value, bound }));
    }

    /// For people only.
    pub fn note(&mut self, text: &str) {
        if !self.json {
            println!("# {text}");
        }
    }

    pub fn finish(self) {
        if self.json || self.gates.is_empty() {
            return;
        }
        println!("\n{:<56} {:>10}  gate", "held against", "value");
        for Gate { what, value, bound } in self.gates {
            let (sign, limit) = match bound {
                Bound::AtMost(limit) => ("≤", limit),
                Bound::AtLeast(limit) => ("≥", limit),
            };
            let verdict = if bound.holds(value) { "holds" } else { "MISSED" };
            println!("{what:<56} {value:>10.3}  {sign} {limit} {verdict}");
        }
    }
}
