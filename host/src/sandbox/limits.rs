//! Every limit on a guest, and its default.

use std::time::Duration;

use wasmtime::{ResourceLimiter, Result};

use super::Violation;

/// What a guest may use. All limits are fixed numbers: one that depended on the host's load would break replay.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of an uploaded component. Guests with an interpreter inside have 12 to 19 MB.
    pub component_bytes: usize,
    /// Bytes of all linear memories and tables of one instance together.
    pub memory_bytes: usize,
    /// Elements of one table.
    pub table_elements: usize,
    /// Core instances in one component instance.
    pub instances: usize,
    /// Tables in one component instance.
    pub tables: usize,
    /// Linear memories in one component instance.
    pub memories: usize,
    /// Bytes of native stack that guest code may use. Past it the guest traps; never raise it above what the engine's own
    /// stacks hold.
    pub stack_bytes: usize,
    /// Bytes that the host allocates for the arguments of one call from the guest.
    pub hostcall_bytes: usize,
    /// Handles that one instance may hold at once.
    pub resources: usize,
    /// Fuel, about one instruction each, for what a workflow does after one event.
    pub event_fuel: u64,
    /// Wall-clock time for what a workflow does after one event. Its end is never recorded as a result.
    pub event_time: Duration,
    /// Fuel for one attempt of a step. Its wall-clock time is the step's own timeout.
    pub step_fuel: u64,
    /// Bytes of one payload.
    pub payload_bytes: usize,
    /// Calls that a run may have open at once.
    pub open_calls: usize,
    /// Bytes of one line of a log; the rest is cut.
    pub log_line_bytes: usize,
    /// Lines of a run's log, and of an attempt's; then one more that says so.
    pub log_lines: u32,
    /// Events of a run from which on its log has a warning.
    pub history_warning: u32,
    /// Keys that a run may publish.
    pub published_keys: usize,
    /// Bytes of one draw of randomness.
    pub random_bytes: u32,
    /// Workflow instances in memory at once, running or resident. Each takes four memory mappings of the process; a
    /// process that runs out of them (`vm.max_map_count`, 65,530 on most machines) hangs.
    pub workflow_instances: u32,
    /// Step instances at once.
    pub step_instances: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_bytes: 32 << 20,
            memory_bytes: 64 << 20,
            table_elements: 20_000,
            instances: 32,
            tables: 16,
            memories: 4,
            stack_bytes: 512 << 10,
            hostcall_bytes: 2 << 20,
            resources: 1_024,
            event_fuel: 1_000_000_000,
            event_time: Duration::from_secs(5),
            step_fuel: 20_000_000_000,
            payload_bytes: 1 << 20,
            open_calls: 10_000,
            log_line_bytes: 16 << 10,
            log_lines: 10_000,
            history_warning: 50_000,
            published_keys: 64,
            random_bytes: 64 << 10,
            workflow_instances: 4_096,
            step_instances: 512,
        }
    }
}

/// Counts what one instance takes. Cumulative: ten memories of a tenth count as one whole.
#[derive(Debug)]
pub struct Limiter {
    memory_bytes_max: usize,
    table_elements_max: usize,
    instances_max: usize,
    tables_max: usize,
    memories_max: usize,
    bytes: usize,
}

/// What one element of a table takes in the host.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

impl Limiter {
    /// For one instance.
    pub fn new(limits: &Limits) -> Self {
        Self {
            memory_bytes_max: limits.memory_bytes,
            table_elements_max: limits.table_elements,
            instances_max: limits.instances,
            tables_max: limits.tables,
            memories_max: limits.memories,
            bytes: 0,
        }
    }

    /// Bytes that the instance has taken so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn take(&mut self, more: usize) -> Result<bool> {
        let bytes = self.bytes.saturating_add(more);
        if bytes > self.memory_bytes_max {
            let message =
                format!("the guest asked for {bytes} bytes of memory, and {} are the most", self.memory_bytes_max);
            return Err(Violation::new("memory-exceeded", message).into());
        }
        self.bytes = bytes;
        Ok(true)
    }
}

/// Growth past a limit traps instead of failing in the guest: the message then names the limit.
impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        self.take(desired - current)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        if desired > self.table_elements_max {
            let most = self.table_elements_max;
            let message = format!("the guest asked for a table of {desired} elements, and {most} are the most");
            return Err(Violation::new("table-exceeded", message).into());
        }
        self.take((desired - current).saturating_mul(TABLE_ELEMENT_BYTES))
    }

    fn instances(&self) -> usize {
        self.instances_max
    }

    fn tables(&self) -> usize {
        self.tables_max
    }

    fn memories(&self) -> usize {
        self.memories_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_over_all_memories_and_tables() {
        let limits = Limits { memory_bytes: 1_000, table_elements: 50, ..Limits::default() };
        let mut limiter = Limiter::new(&limits);
        assert!(limiter.memory_growing(0, 400, None).unwrap());
        assert!(limiter.memory_growing(0, 400, None).unwrap());
        assert!(limiter.table_growing(0, 20, None).unwrap());
        assert_eq!(limiter.bytes(), 960);
        let memory = limiter.memory_growing(400, 500, None).unwrap_err();
        assert_eq!(memory.downcast_ref::<Violation>().unwrap().code, "memory-exceeded");
        let table = limiter.table_growing(0, 51, None).unwrap_err();
        assert_eq!(table.downcast_ref::<Violation>().unwrap().code, "table-exceeded");
    }
}
