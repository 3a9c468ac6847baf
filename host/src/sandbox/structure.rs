//! The shape of a component, before anything that costs more than reading it once.
//!
//! Validating and compiling take time and memory that grow faster than a component does, and reading types is recursive in the
//! parser: a few hundred kilobytes of nested types would take down the process that reads them. So this comes first: one pass
//! over the bytes, with counters, no recursion, and no more memory than the largest single item. It refuses what no toolchain
//! emits, and says so in terms of the component; whether what is left is valid, the validator decides.

use wasmparser::{
    BinaryReader, ComponentAlias, ComponentExternName, ComponentImport, ComponentInstance, ComponentType,
    ComponentTypeRef, CoreType, Error, FunctionBody, Instance, Parser, Payload, SectionLimited,
};

use super::{Limits, Rejection};

/// Look at the shape of a component: `component-too-complex` if it has too much of something, `invalid-component` if it
/// cannot even be read.
pub(super) fn check_structure(bytes: &[u8], limits: &Limits) -> Result<(), Rejection> {
    let mut walk = Walk { bytes, limits, counts: [0; Thing::COUNT], depth: 0 };
    for payload in Parser::new(0).parse_all(bytes) {
        let walked = payload.map_err(Stop::from).and_then(|payload| walk.payload(payload));
        walked.map_err(Stop::explain)?;
    }
    Ok(())
}

/// What is counted over the whole component, all modules and components in it together.
#[derive(Clone, Copy)]
enum Thing {
    Function,
    Type,
    Table,
    Memory,
    Global,
    Import,
    Export,
    DataSegment,
    ElementSegment,
    Module,
    Component,
    Instance,
    Argument,
    Alias,
    CustomSection,
}

impl Thing {
    const COUNT: usize = Self::CustomSection as usize + 1;

    /// How many there may be, what it is called, and what to do about it.
    fn cap(self, limits: &Limits) -> (usize, &'static str, &'static str) {
        const SHRINK: &str = "build it with optimisation for size, or split it into several components";
        const COMPOSE: &str = "compose it of fewer parts";
        let caps = &limits.structure;
        match self {
            Self::Function => (caps.functions, "functions", SHRINK),
            Self::Type => (caps.types, "types", SHRINK),
            Self::Table => (limits.guest.tables, "tables", COMPOSE),
            Self::Memory => (limits.guest.memories, "memories", COMPOSE),
            Self::Global => (caps.globals, "globals", SHRINK),
            Self::Import => (caps.imports, "imports", COMPOSE),
            Self::Export => (caps.exports, "exports", COMPOSE),
            Self::DataSegment => (caps.data_segments, "data segments", SHRINK),
            Self::ElementSegment => (caps.element_segments, "element segments", SHRINK),
            Self::Module => (caps.modules, "core modules", COMPOSE),
            Self::Component => (caps.components, "nested components", COMPOSE),
            Self::Instance => (caps.instances, "instances", COMPOSE),
            Self::Argument => (caps.arguments, "arguments of instances", COMPOSE),
            Self::Alias => (caps.aliases, "aliases", COMPOSE),
            Self::CustomSection => (caps.custom_sections, "custom sections", "strip it"),
        }
    }
}

/// Why the walk ends early.
enum Stop {
    Unreadable(Rejection),
    TooMuch { what: String, at: usize, most: usize, advice: &'static str },
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Unreadable(Rejection::invalid(error.offset(), error.message()))
    }
}

impl Stop {
    fn explain(self) -> Rejection {
        match self {
            Self::Unreadable(rejection) => rejection,
            Self::TooMuch { what, at, most, advice } => Rejection::new(
                "component-too-complex",
                format!("at byte {at:#x}: {what}, and {most} are the most; {advice}"),
            ),
        }
    }
}

struct Walk<'a> {
    bytes: &'a [u8],
    limits: &'a Limits,
    counts: [usize; Thing::COUNT],
    /// Modules and components that are open around what is read.
    depth: usize,
}

impl Walk<'_> {
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), Stop> {
        use Payload as P;
        match payload {
            P::ModuleSection { unchecked_range, .. } => self.open(Thing::Module, unchecked_range.start)?,
            P::ComponentSection { unchecked_range, .. } => self.open(Thing::Component, unchecked_range.start)?,
            P::End(_) => self.depth = self.depth.saturating_sub(1),
            P::TypeSection(section) => self.each(section, Thing::Type, |walk, group, at| {
                // Counted once as a group.
                walk.count(Thing::Type, group.types().len().saturating_sub(1), at)
            })?,
            P::ImportSection(section) => self.core_imports(section)?,
            P::FunctionSection(section) => self.count_all(&section, Thing::Function)?,
            P::TableSection(section) => self.each(section, Thing::Table, |walk, table, at| {
                walk.size("a table begins with", table.ty.initial, "elements", walk.limits.guest.table_elements, at)
            })?,
            P::MemorySection(section) => self.each(section, Thing::Memory, |walk, memory, at| {
                let page = 1_u64.checked_shl(memory.page_size_log2.unwrap_or(16)).unwrap_or(u64::MAX);
                let bytes = memory.initial.saturating_mul(page);
                walk.size("a memory begins with", bytes, "bytes", walk.limits.guest.memory_bytes, at)
            })?,
            P::GlobalSection(section) => self.count_all(&section, Thing::Global)?,
            P::ExportSection(section) => {
                self.each(section, Thing::Export, |walk, export, at| walk.name(export.name, at))?;
            }
            P::ElementSection(section) => self.count_all(&section, Thing::ElementSegment)?,
            // The number that is announced is one that others reserve room for.
            P::DataCountSection { count, range } => self.check(Thing::DataSegment, count as usize, range.start)?,
            P::DataSection(section) => self.count_all(&section, Thing::DataSegment)?,
            P::CodeSectionStart { count, range, .. } => self.check(Thing::Function, count as usize, range.start)?,
            P::CodeSectionEntry(body) => self.body(&body)?,
            P::CustomSection(section) => {
                self.count(Thing::CustomSection, 1, section.range().start)?;
                self.name(section.name(), section.range().start)?;
            }
            payload => self.component_payload(payload)?,
        }
        Ok(())
    }

    /// Those that only components have.
    fn component_payload(&mut self, payload: Payload<'_>) -> Result<(), Stop> {
        use Payload as P;
        match payload {
            P::InstanceSection(section) => self.each(section, Thing::Instance, |walk, instance, at| match instance {
                Instance::Instantiate { args, .. } => walk.arguments(args.iter().map(|arg| arg.name), at),
                Instance::FromExports(exports) => walk.arguments(exports.iter().map(|export| export.name), at),
            }),
            P::ComponentInstanceSection(section) => {
                self.each(section, Thing::Instance, |walk, instance, at| match instance {
                    ComponentInstance::Instantiate { args, .. } => walk.arguments(args.iter().map(|arg| arg.name), at),
                    ComponentInstance::FromExports(exports) => {
                        walk.arguments(exports.iter().map(|export| export.name.name), at)
                    }
                })
            }
            P::CoreTypeSection(section) => self.each(section, Thing::Type, |walk, ty, at| walk.core_type(&ty, at)),
            P::ComponentTypeSection(section) => self.types(&section),
            P::ComponentAliasSection(section) => self.each(section, Thing::Alias, |walk, alias, at| match alias {
                ComponentAlias::InstanceExport { name, .. } | ComponentAlias::CoreInstanceExport { name, .. } => {
                    walk.name(name, at)
                }
                ComponentAlias::Outer { .. } => Ok(()),
            }),
            P::ComponentCanonicalSection(section) => self.count_all(&section, Thing::Function),
            P::ComponentImportSection(section) => {
                self.each(section, Thing::Import, |walk, import, at| walk.name(import.name.name, at))
            }
            P::ComponentExportSection(section) => {
                self.each(section, Thing::Export, |walk, export, at| walk.name(export.name.name, at))
            }
            // Versions, starts, tags, and what nobody knows: small, or the validator's.
            _ => Ok(()),
        }
    }

    fn open(&mut self, thing: Thing, at: usize) -> Result<(), Stop> {
        self.count(thing, 1, at)?;
        self.depth += 1;
        self.check_depth("components", self.depth, at)
    }

    fn check_depth(&self, what: &str, depth: usize, at: usize) -> Result<(), Stop> {
        let most = self.limits.structure.nesting;
        if depth > most {
            let what = format!("{what} nested {depth} deep");
            return Err(Stop::TooMuch { what, at, most, advice: "compose it without so much nesting" });
        }
        Ok(())
    }

    /// Count the items of a section, and look at each. The number comes first: it may be a lie, and then nothing is read.
    fn each<'a, T: wasmparser::FromReader<'a>>(
        &mut self,
        section: SectionLimited<'a, T>,
        thing: Thing,
        mut look: impl FnMut(&mut Self, T, usize) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        self.count_all(&section, thing)?;
        for item in section.into_iter_with_offsets() {
            let (at, item) = item?;
            look(self, item, at)?;
        }
        Ok(())
    }

    fn count_all<T>(&mut self, section: &SectionLimited<'_, T>, thing: Thing) -> Result<(), Stop> {
        self.count(thing, section.count() as usize, section.range().start)
    }

    fn count(&mut self, thing: Thing, more: usize, at: usize) -> Result<(), Stop> {
        let found = self.counts[thing as usize].saturating_add(more);
        self.counts[thing as usize] = found;
        self.check(thing, found, at)
    }

    fn check(&self, thing: Thing, found: usize, at: usize) -> Result<(), Stop> {
        let (most, name, advice) = thing.cap(self.limits);
        if found > most {
            return Err(Stop::TooMuch { what: format!("{found} {name}"), at, most, advice });
        }
        Ok(())
    }

    fn size(&self, what: &str, found: u64, unit: &str, most: usize, at: usize) -> Result<(), Stop> {
        if found > most as u64 {
            let what = format!("{what} {found} {unit}");
            return Err(Stop::TooMuch { what, at, most, advice: "no instance can have as much" });
        }
        Ok(())
    }

    fn name(&self, name: &str, at: usize) -> Result<(), Stop> {
        let most = self.limits.structure.name_bytes;
        if name.len() > most {
            let what = format!("a name of {} bytes", name.len());
            return Err(Stop::TooMuch { what, at, most, advice: "give it a shorter one" });
        }
        Ok(())
    }

    fn arguments<'a>(&mut self, mut names: impl ExactSizeIterator<Item = &'a str>, at: usize) -> Result<(), Stop> {
        self.count(Thing::Argument, names.len(), at)?;
        names.try_for_each(|name| self.name(name, at))
    }

    fn core_imports(&mut self, section: wasmparser::ImportSectionReader<'_>) -> Result<(), Stop> {
        // A group of imports that share a module counts as many.
        self.check(Thing::Import, section.count() as usize, section.range().start)?;
        for import in section.into_imports_with_offsets() {
            let (at, import) = import?;
            self.count(Thing::Import, 1, at)?;
            self.name(import.module, at)?;
            self.name(import.name, at)?;
        }
        Ok(())
    }

    fn body(&self, body: &FunctionBody<'_>) -> Result<(), Stop> {
        let range = body.range();
        let (found, most) = (range.len(), self.limits.structure.function_bytes);
        if found > most {
            let advice = "build it with optimisation for size, or split the function";
            return Err(Stop::TooMuch { what: format!("a function of {found} bytes"), at: range.start, most, advice });
        }
        let mut locals = 0_usize;
        for group in body.get_locals_reader()? {
            locals = locals.saturating_add(group?.0 as usize);
        }
        let most = self.limits.structure.locals;
        if locals > most {
            let advice = "build it with optimisation, or split the function";
            return Err(Stop::TooMuch {
                what: format!("a function with {locals} locals"),
                at: range.start,
                most,
                advice,
            });
        }
        Ok(())
    }

    fn core_type(&mut self, ty: &CoreType<'_>, at: usize) -> Result<(), Stop> {
        let inside = match ty {
            CoreType::Rec(group) => group.types().len().saturating_sub(1),
            CoreType::Module(declarations) => declarations.len(),
        };
        self.count(Thing::Type, inside, at)
    }

    /// Types of components and instances have declarations inside, which may be types again. The parser would read them
    /// recursively; here is a stack, of how many items are left to be read in each type that is open.
    fn types(&mut self, section: &SectionLimited<'_, ComponentType<'_>>) -> Result<(), Stop> {
        let range = section.range();
        let mut reader = BinaryReader::new(&self.bytes[range.clone()], range.start);
        let mut open = vec![reader.read_var_u32()?];
        while let Some(left) = open.last_mut() {
            if *left == 0 {
                open.pop();
                continue;
            }
            *left -= 1;
            let at = reader.original_position();
            self.count(Thing::Type, 1, at)?;
            let is_type = open.len() == 1 || self.declaration(&mut reader)?;
            if is_type && let Some(inside) = self.ty(&mut reader)? {
                open.push(inside);
                self.check_depth("types", open.len() - 1, at)?;
            }
        }
        Ok(())
    }

    /// Read a declaration that is no type; or the beginning of one that is, and return true.
    fn declaration(&mut self, reader: &mut BinaryReader<'_>) -> Result<bool, Stop> {
        let at = reader.original_position();
        match reader.read_u8()? {
            0x00 => {
                let ty = reader.read::<CoreType<'_>>()?;
                self.core_type(&ty, at)?;
            }
            0x01 => return Ok(true),
            0x02 => {
                reader.read::<ComponentAlias<'_>>()?;
            }
            0x03 => self.name(reader.read::<ComponentImport<'_>>()?.name.name, at)?,
            0x04 => {
                self.name(reader.read::<ComponentExternName<'_>>()?.name, at)?;
                reader.read::<ComponentTypeRef>()?;
            }
            other => {
                let message = format!("{other:#x} begins no declaration of a type");
                return Err(Stop::Unreadable(Rejection::invalid(at, &message)));
            }
        }
        Ok(false)
    }

    /// Read a type that has none inside; or the beginning of one that may have, and return how many declarations follow.
    fn ty(&mut self, reader: &mut BinaryReader<'_>) -> Result<Option<u32>, Stop> {
        match reader.clone().read_u8()? {
            0x41 | 0x42 => {
                reader.read_u8()?;
                Ok(Some(reader.read_var_u32()?))
            }
            _ => {
                reader.read::<ComponentType<'_>>()?;
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
#[path = "structure_tests.rs"]
mod tests;
