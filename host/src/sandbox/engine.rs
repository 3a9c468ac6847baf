//! The two engines.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZeroUsize;

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result, Strategy,
    WasmBacktraceDetails, WasmFeatures,
};

use super::{Limits, ticker};

/// One engine a role. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engines {
    /// For workflows: deterministic, synchronous.
    pub workflow: Engine,
    /// For steps: asynchronous.
    pub step: Engine,
}

/// Bytes of an instance's memory, and of its tables, that stay with the slot.
const KEPT_BYTES: usize = 512 << 10;

/// Bytes of a step's stack that stay, zeroed.
const KEPT_STACK_BYTES: usize = 16 << 10;

/// What a component may use of WebAssembly. What is not here is refused at upload: threads and shared memory, 64-bit
/// memories, garbage collection, exceptions, several memories in a module, stack switching, component-model async.
pub(super) const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::BULK_MEMORY_OPT)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::GC_TYPES)
    .union(WasmFeatures::COMPONENT_MODEL);

impl Engines {
    /// Build both, and start the thread that makes their guests look at the time.
    pub fn new(limits: &Limits) -> Result<Self> {
        let (mut workflow, mut step) = (workflow_config(limits), step_config(limits));
        workflow.allocation_strategy(pool(limits, limits.workflow_instances, 1));
        step.allocation_strategy(pool(limits, limits.step_instances, limits.step_instances));
        let engines = Self { workflow: Engine::new(&workflow)?, step: Engine::new(&step)? };
        ticker::add([engines.workflow.weak(), engines.step.weak()]);
        Ok(engines)
    }

    /// Those of a process that only compiles: what it makes fits the engines of a host ([`compatibility`]),
    /// and nothing is reserved for instances.
    pub(super) fn of_compiler() -> Result<Self> {
        let limits = Limits::default();
        Ok(Self { workflow: Engine::new(&workflow_config(&limits))?, step: Engine::new(&step_config(&limits))? })
    }
}

/// Everything that machine code for an engine depends on, in one number: the version of wasmtime, the machine, and the
/// configuration, but for how instances are allocated and what they may use.
pub(super) fn compatibility(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

fn workflow_config(limits: &Limits) -> Config {
    let mut config = config(limits);
    config.cranelift_nan_canonicalization(true).relaxed_simd_deterministic(true).concurrency_support(false);
    config
}

fn step_config(limits: &Limits) -> Config {
    let mut config = config(limits);
    config.async_stack_zeroing(true);
    config
}

fn config(limits: &Limits) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(FEATURES, true)
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(limits.stack_bytes)
        // Else an environment variable decides, and debug information of the guest is read in the host.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        // Slots of 4 GiB need no bounds checks; they take address space, not memory.
        .memory_reservation(4 << 30)
        .wasm_backtrace_max_frames(NonZeroUsize::new(20));
    config
}

fn pool(limits: &Limits, instances: u32, stacks: u32) -> InstanceAllocationStrategy {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    // What toolchains emit has three core instances, one memory and two or three tables; few have more.
    pool.total_component_instances(instances)
        .total_core_instances(instances * 4)
        .total_memories(instances)
        .total_tables(instances * 4)
        .total_stacks(stacks)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .max_core_instances_per_component(count(limits.guest.instances))
        .max_memories_per_component(count(limits.guest.memories))
        .max_tables_per_component(count(limits.guest.tables))
        .max_tables_per_module(count(limits.guest.tables))
        .table_elements(limits.guest.table_elements)
        .max_memory_size(limits.guest.memory_bytes)
        // A slot is used again and again by the same component: what it wrote is written over with what it began with,
        // instead of being unmapped, and faulted in again by the next instance.
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(KEPT_BYTES)
        .table_keep_resident(KEPT_BYTES)
        .async_stack_keep_resident(KEPT_STACK_BYTES);
    InstanceAllocationStrategy::Pooling(pool)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::GuestLimits;

    #[test]
    fn what_a_compiler_makes_fits_the_engines_of_a_host() {
        let guest = GuestLimits { memory_bytes: 1 << 20, ..GuestLimits::default() };
        let limits = Limits { workflow_instances: 1, step_instances: 1, guest, ..Limits::default() };
        let (host, compiler) = (Engines::new(&limits).unwrap(), Engines::of_compiler().unwrap());
        assert_eq!(compatibility(&host.workflow), compatibility(&compiler.workflow));
        assert_eq!(compatibility(&host.step), compatibility(&compiler.step));
        assert_ne!(compatibility(&host.workflow), compatibility(&host.step));
    }
}
