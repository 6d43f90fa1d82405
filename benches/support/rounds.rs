//! Interleaved rounds, medians and paired ratios.

use super::case::{Case, Failed, Figure};
use super::report::Report;
use std::borrow::Cow;

/// All figures of a case, in the order of the rounds.
#[derive(Debug)]
struct Series {
    case: Cow<'static, str>,
    unit: &'static str,
    values: Vec<f64>,
}

/// Figures by case, in the order in which they first came.
#[derive(Debug, Default)]
pub struct Measured {
    series: Vec<Series>,
}

impl Measured {
    pub fn add(&mut self, Figure { case, value, unit }: Figure) {
        match self.series.iter_mut().find(|series| series.case == case) {
            Some(series) => series.values.push(value),
            None => self.series.push(Series { case, unit, values: vec![value] }),
        }
    }

    fn values(&self, case: &str) -> Option<&[f64]> {
        self.series.iter().find(|series| series.case == case).map(|series| series.values.as_slice())
    }

    pub fn median(&self, case: &str) -> Option<f64> {
        self.values(case).map(|values| quantile(values, 0.5))
    }

    /// The median over the rounds of one case over another in the same round.
    pub fn paired_ratio(&self, over: &str, under: &str) -> Option<f64> {
        let ratios: Vec<f64> =
            self.values(over)?.iter().zip(self.values(under)?).map(|(over, under)| over / under).collect();
        Some(quantile(&ratios, 0.5))
    }

    /// One line a case: its median and its range.
    pub fn print(&self, report: &mut Report) {
        for Series { case, unit, values } in &self.series {
            let (least, most) = (quantile(values, 0.0), quantile(values, 1.0));
            report.spread(case, quantile(values, 0.5), unit, least, most);
        }
    }
}

/// One round to warm up, then `rounds` in which the cases take turns.
pub fn measure(cases: &mut [Box<dyn Case>], rounds: usize) -> Result<Measured, Failed> {
    for case in cases.iter_mut() {
        case.run()?;
    }
    let mut measured = Measured::default();
    for _ in 0..rounds {
        for case in cases.iter_mut() {
            case.run()?.into_iter().for_each(|figure| measured.add(figure));
        }
    }
    Ok(measured)
}

/// The `q`-quantile, between the two nearest values; NaN of nothing.
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = q * last as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}
