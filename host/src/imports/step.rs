//! `windlass:workflow/step`

use super::WorkflowContext;
use super::bindings::step_import::{Host, Options};
use super::convert::{duration, name, payload, retry_policy};
use crate::model::{Ask, StepOptions};
use crate::sandbox::Violation;

impl Host for WorkflowContext {
    fn run(&mut self, step: String, input: Vec<u8>, options: Options) -> wasmtime::Result<u32> {
        let (name, input) = (name(&step)?, payload(input, &self.limits)?);
        let retry = options.retry.map(retry_policy);
        if let Some(Err(reason)) = retry.as_ref().map(|policy| policy.check()) {
            return Err(Violation::new("invalid-retry-policy", reason).into());
        }
        let timeout = options.timeout.map(duration).transpose()?;
        let total_timeout = options.total_timeout.map(duration).transpose()?;
        self.ask(Ask::Step { name, input, options: StepOptions { retry, timeout, total_timeout } })
    }
}
