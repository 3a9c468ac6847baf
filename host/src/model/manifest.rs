//! What a component says that it holds.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{HttpGrant, Name, Payload, RetryPolicy, duration_from_us};

/// A component's own description of itself, checked. Stored with each version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The component's own name.
    pub name: Name,
    /// Which SDK built it.
    pub sdk: String,
    /// At least one.
    pub workflows: Vec<WorkflowDeclaration>,
    /// May be none.
    pub steps: Vec<StepDeclaration>,
}

/// A program that can be started as a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkflowDeclaration {
    /// Unique in the namespace.
    pub name: Name,
    /// For people, in Markdown.
    pub docs: String,
    /// JSON Schema of its input.
    pub input_schema: Payload,
    /// JSON Schema of its result.
    pub output_schema: Payload,
}

/// A function that may touch the outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepDeclaration {
    /// Unique in the component.
    pub name: Name,
    /// For people, in Markdown.
    pub docs: String,
    /// JSON Schema of its input.
    pub input_schema: Payload,
    /// JSON Schema of its result.
    pub output_schema: Payload,
    /// What happens after a failed attempt.
    pub retry: RetryPolicy,
    /// The longest that an attempt may take, in microseconds.
    pub timeout_us: u64,
    /// The longest that a whole call may take, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub total_timeout_us: Option<u64>,
    /// The requests that it asks to send.
    pub http: Arc<[HttpGrant]>,
}

/// What is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// None, or too many.
    #[error("it declares {0} workflows; a component has 1 to {max}", max = Manifest::WORKFLOWS_MAX)]
    Workflows(usize),
    /// Too many.
    #[error("it declares {0} steps; a component has at most {max}", max = Manifest::STEPS_MAX)]
    Steps(usize),
    /// Too long in all.
    #[error("its texts have {0} bytes in all, and {max} are the most", max = Manifest::BYTES_MAX)]
    Bytes(usize),
    /// Two of one name.
    #[error("it declares the {kind} `{name}` twice")]
    Twice {
        /// "workflow" or "step".
        kind: &'static str,
        /// Which.
        name: Name,
    },
    /// A retry policy beyond its limits.
    #[error("the step `{step}`: {reason}")]
    Retry {
        /// Of which step.
        step: Name,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A timeout beyond its limits.
    #[error("the step `{0}`: a timeout is from 1 ms to 24 hours")]
    Timeout(Name),
    /// A limit for the whole call beyond its own.
    #[error("the step `{0}`: a total timeout is at most 100 years")]
    TotalTimeout(Name),
}

impl Manifest {
    /// Most workflows in a component.
    pub const WORKFLOWS_MAX: usize = 256;
    /// Most steps in a component.
    pub const STEPS_MAX: usize = 1_024;
    /// Bytes of all its names, texts and schemas together.
    pub const BYTES_MAX: usize = 1 << 20;
    /// Shortest and longest timeout of an attempt, in microseconds.
    pub const TIMEOUT_US: std::ops::RangeInclusive<u64> = 1_000..=86_400_000_000;

    /// Whether it keeps the limits that its fields cannot express.
    pub fn check(&self) -> Result<(), ManifestError> {
        if self.workflows.is_empty() || self.workflows.len() > Self::WORKFLOWS_MAX {
            return Err(ManifestError::Workflows(self.workflows.len()));
        }
        if self.steps.len() > Self::STEPS_MAX {
            return Err(ManifestError::Steps(self.steps.len()));
        }
        let bytes = self.bytes();
        if bytes > Self::BYTES_MAX {
            return Err(ManifestError::Bytes(bytes));
        }
        unique("workflow", self.workflows.iter().map(|workflow| &workflow.name))?;
        unique("step", self.steps.iter().map(|step| &step.name))?;
        for step in &self.steps {
            step.retry.check().map_err(|reason| ManifestError::Retry { step: step.name.clone(), reason })?;
            if !Self::TIMEOUT_US.contains(&step.timeout_us) {
                return Err(ManifestError::Timeout(step.name.clone()));
            }
            if step.total_timeout_us.is_some_and(|total| duration_from_us(total).is_none()) {
                return Err(ManifestError::TotalTimeout(step.name.clone()));
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        let workflow = |workflow: &WorkflowDeclaration| {
            let WorkflowDeclaration { name, docs, input_schema, output_schema } = workflow;
            name.len() + docs.len() + input_schema.as_bytes().len() + output_schema.as_bytes().len()
        };
        let step = |step: &StepDeclaration| {
            let http: usize = step.http.iter().map(|host| host.to_string().len()).sum();
            step.name.len()
                + step.docs.len()
                + step.input_schema.as_bytes().len()
                + step.output_schema.as_bytes().len()
                + http
        };
        self.workflows.iter().map(workflow).sum::<usize>() + self.steps.iter().map(step).sum::<usize>()
    }

    /// The declaration of a step.
    pub fn step(&self, name: &str) -> Option<&StepDeclaration> {
        self.steps.iter().find(|step| &*step.name == name)
    }
}

impl StepDeclaration {
    /// The longest that an attempt may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_micros(self.timeout_us)
    }

    /// The longest that a whole call may take.
    pub fn total_timeout(&self) -> Option<Duration> {
        self.total_timeout_us.map(Duration::from_micros)
    }
}

fn unique<'a>(kind: &'static str, names: impl Iterator<Item = &'a Name>) -> Result<(), ManifestError> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(ManifestError::Twice { kind, name: name.clone() });
        }
    }
    Ok(())
}
