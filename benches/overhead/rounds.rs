//! Interleaved rounds, medians and paired ratios.

use crate::case::{Case, Failed};
use crate::report::Report;
use std::collections::BTreeMap;

/// Microseconds an item, by case, one figure for each round.
#[derive(Default)]
pub struct Measured {
    rounds: BTreeMap<&'static str, Vec<f64>>,
}

impl Measured {
    /// The median over the rounds of one case over another in the same round.
    pub fn paired_ratio(&self, over: &str, under: &str) -> Option<f64> {
        let (over, under) = (self.rounds.get(over)?, self.rounds.get(under)?);
        Some(median(over.iter().zip(under).map(|(a, b)| a / b).collect()))
    }
}

/// One round to warm up, then `rounds` in which the cases take turns.
pub fn measure(
    mut cases: Vec<Box<dyn Case>>,
    rounds: usize,
    report: &mut Report,
) -> Result<Measured, Failed> {
    let mut measured = Measured::default();
    for case in &mut cases {
        case.run()?;
    }
    for _ in 0..rounds {
        for case in &mut cases {
            let seconds = case.run()?.as_secs_f64();
            measured.rounds.entry(case.name()).or_default().push(seconds * 1e6 / case.items() as f64);
        }
    }
    for case in &cases {
        let figures = measured.rounds[case.name()].clone();
        let (least, most) = figures.iter().fold((f64::MAX, f64::MIN), |(l, m), f| (l.min(*f), m.max(*f)));
        report.spread(case.name(), median(figures), "us/item", least..=most);
    }
    Ok(measured)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 { figures[middle] } else { (figures[middle - 1] + figures[middle]) / 2.0 }
}
