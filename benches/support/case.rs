//! One thing to measure.

use std::borrow::Cow;

/// What went wrong; ends the benchmark.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// One figure of one round.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// `case.variant` as it is printed, such as `trivial_u64.raw`.
    pub case: Cow<'static, str>,
    pub value: f64,
    pub unit: &'static str,
}

impl Figure {
    pub fn new(case: impl Into<Cow<'static, str>>, value: f64, unit: &'static str) -> Self {
        Self { case: case.into(), value, unit }
    }
}

/// Something that takes a turn in each round.
pub trait Case {
    /// What `--only` is compared with; also the case of its first figure.
    fn name(&self) -> &'static str;

    /// Runs once and checks that the results are right; the figures, without the time of preparing and tidying up.
    fn run(&mut self) -> Result<Vec<Figure>, Failed>;
}
