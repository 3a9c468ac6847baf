//! Counts what an instance takes of the host's memory.

use wasmtime::{ResourceLimiter, Result};

use super::Violation;
use crate::model::GuestLimits;

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
    pub fn new(limits: &GuestLimits) -> Self {
        Self {
            memory_bytes_max: limits.memory_bytes,
            table_elements_max: limits.table_elements,
            instances_max: limits.instances,
            tables_max: limits.tables,
            memories_max: limits.memories,
            bytes: 0,
        }
    }

    /// From now on these count. What was taken before stays taken.
    pub fn set(&mut self, limits: &GuestLimits) {
        *self = Self { bytes: self.bytes, ..Self::new(limits) };
    }

    /// Bytes that the instance has taken so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn take(&mut self, more: usize) -> Result<bool> {
        let bytes = self.bytes.saturating_add(more);
        if bytes > self.memory_bytes_max {
            let message = format!(
                "the guest asked for {bytes} bytes of memory, and {} are the most (memory_bytes)",
                self.memory_bytes_max
            );
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
            let message =
                format!("the guest asked for a table of {desired} elements, and {most} are the most (table_elements)");
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
        let limits = GuestLimits { memory_bytes: 1_000, table_elements: 50, ..GuestLimits::default() };
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
