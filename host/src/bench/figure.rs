//! What a benchmark says.

use serde::Serialize;

/// One figure, with the most that this machine could do beside it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What was done.
    pub workload: &'static str,
    /// How: the durability of the runs, or what else sets it apart from others of the workload.
    pub mode: String,
    /// What was measured.
    pub metric: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// The same, measured without Windlass in the same run of the benchmark: what the database or the engine does by itself.
    pub ceiling: Option<f64>,
    /// `value / ceiling`: of a rate, the part of the ceiling that is reached; of a time, how many times the bare one it is.
    pub ratio: Option<f64>,
}

impl Figure {
    /// A figure with nothing to compare it to.
    pub fn new(
        workload: &'static str,
        mode: impl Into<String>,
        metric: impl Into<String>,
        value: f64,
        unit: &'static str,
    ) -> Self {
        Self { workload, mode: mode.into(), metric: metric.into(), value, unit, ceiling: None, ratio: None }
    }

    /// Beside what this machine does without Windlass.
    #[must_use]
    pub fn beside(self, ceiling: f64) -> Self {
        Self { ceiling: Some(ceiling), ratio: Some(self.value / ceiling), ..self }
    }
}
