//! What a host may use for its guests, and what it lets each of them use.

use crate::model::{GuestLimits, LimitError};

/// The numbers of one host: its own, which no namespace can change, and those that hold for each namespace that has none of its
/// own and are the most that one can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an uploaded component. Guests with an interpreter inside have 12 to 19 MB.
    pub component_bytes: usize,
    /// What a component may be made of.
    pub structure: StructureLimits,
    /// Bytes of machine code that a component may come to, for each role. It takes about three times the component.
    pub code_bytes: usize,
    /// Bytes of native stack that guest code may use. Past it the guest traps; never raise it above what the engine's own
    /// stacks hold.
    pub stack_bytes: usize,
    /// Workflow instances in memory at once, running or resident. Each takes four memory mappings of the process; a
    /// process that runs out of them (`vm.max_map_count`, 65,530 on most machines) hangs.
    pub workflow_instances: u32,
    /// Step instances at once.
    pub step_instances: u32,
    /// What guests may use: the default of every namespace, and the most that one can be given.
    pub guest: GuestLimits,
}

/// What a component may be made of: numbers are of the whole component, all modules and components in it together. They are
/// several times what the largest components have that toolchains emit, and far below what the validator allows. Those with a
/// JavaScript engine inside were counted: 19,852 functions, the longest of 172 KB, one of 483 locals, 6,714 data segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructureLimits {
    /// How deep components may be nested in components, and types in types: readers and validators are recursive.
    pub nesting: usize,
    /// Functions, those included that lift and lower.
    pub functions: usize,
    /// Bytes of the body of one function. The compiler's time grows faster than this.
    pub function_bytes: usize,
    /// Locals of one function.
    pub locals: usize,
    /// Types, and declarations inside of types.
    pub types: usize,
    /// Globals that are defined.
    pub globals: usize,
    /// Imports.
    pub imports: usize,
    /// Exports.
    pub exports: usize,
    /// Data segments.
    pub data_segments: usize,
    /// Element segments.
    pub element_segments: usize,
    /// Core modules.
    pub modules: usize,
    /// Components inside of the component.
    pub components: usize,
    /// Instances that are declared, of modules and of components.
    pub instances: usize,
    /// What those are given, one by one.
    pub arguments: usize,
    /// Aliases.
    pub aliases: usize,
    /// Custom sections. Nothing in them is trusted, and the host itself reads none of them.
    pub custom_sections: usize,
    /// Bytes of a name.
    pub name_bytes: usize,
}

impl Default for StructureLimits {
    fn default() -> Self {
        Self {
            nesting: 16,
            functions: 100_000,
            function_bytes: 1 << 20,
            locals: 5_000,
            types: 50_000,
            globals: 20_000,
            imports: 50_000,
            exports: 50_000,
            data_segments: 20_000,
            element_segments: 2_000,
            modules: 100,
            components: 100,
            instances: 1_000,
            arguments: 100_000,
            aliases: 100_000,
            custom_sections: 1_000,
            name_bytes: 8 << 10,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_bytes: 32 << 20,
            structure: StructureLimits::default(),
            code_bytes: 128 << 20,
            stack_bytes: 512 << 10,
            workflow_instances: 4_096,
            step_instances: 512,
            guest: GuestLimits::default(),
        }
    }
}

impl Limits {
    /// Set one by its name, as an operator's file does.
    pub fn set(&mut self, name: &str, number: u64) -> Result<(), LimitError> {
        let size = usize::try_from(number).unwrap_or(usize::MAX);
        let count = u32::try_from(number).unwrap_or(u32::MAX);
        match name {
            "component_bytes" => self.component_bytes = size,
            "stack_bytes" => self.stack_bytes = size,
            "workflow_instances" => self.workflow_instances = count,
            "step_instances" => self.step_instances = count,
            _ if self.guest.set(name, number) => {}
            _ => return Err(LimitError::NoSuch(name.to_owned())),
        }
        Ok(())
    }
}
