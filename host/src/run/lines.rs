//! What guests log, on its way into the run's log: bounded over all attempts and generations.

use super::activate::{Activation, Interruption};
use crate::model::{Level, LogLine};
use crate::store::{Record, Source};

impl Activation {
    /// Lines of one source, as records. What would be too much with all that the run has logged before is dropped; the last line
    /// says so. Guests see nothing of it.
    pub(super) async fn keep_lines(
        &mut self,
        source: Source,
        lines: Vec<LogLine>,
    ) -> Result<Vec<Record>, Interruption> {
        // The lines of a workflow that has not continued as new are few enough: `log_bytes`.
        if lines.is_empty() || source == Source::Workflow(0) {
            return Ok(lines.into_iter().map(|line| Record::Log(source, line)).collect());
        }
        let mut left = match self.log_bytes_left {
            Some(left) => left,
            None => self.count_lines().await?,
        };
        let mut kept = Vec::with_capacity(lines.len());
        for mut line in lines {
            if left == 0 {
                break;
            }
            if line.message.len() > left {
                (line.level, line.message, left) = (Level::Warn, FULL.to_owned(), 0);
            } else {
                left -= line.message.len();
            }
            kept.push(Record::Log(source, line));
        }
        self.log_bytes_left = Some(left);
        Ok(kept)
    }

    /// What may be added to what earlier activations have left.
    async fn count_lines(&mut self) -> Result<usize, Interruption> {
        let most = self.tenant.limits.run_log_bytes;
        if self.is_new {
            return Ok(most);
        }
        Ok(most.saturating_sub(self.runner.store.log_bytes(self.info.run_id).await?))
    }
}

/// The last line of a run whose log is full.
const FULL: &str =
    "the log of the run is full: the lines after this one are not kept, of the workflow and of all attempts";
