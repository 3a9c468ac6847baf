//! What each role gets of WASI 0.2: enough for a standard library, and no authority beyond what was granted.

use rand_chacha::rand_core::Rng as _;
use wasmtime::component::{HasData, Linker, LinkerInstance, ResourceTable};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random, sync};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiView};
use wasmtime_wasi_http::{WasiHttpView, p2};

use super::output::Output;
use super::streams::{AtOnce, HasStreams, blocked};
use super::{LogBuffer, RunClock, Stream};
use crate::model::{GuestLimits, Level, Seed};

/// What a workflow instance keeps for WASI: everything in it follows from the run.
pub struct WorkflowWasi {
    /// Clocks, randomness, output.
    pub ctx: WasiCtx,
    /// Handles that the guest holds.
    pub table: ResourceTable,
}

impl WorkflowWasi {
    /// For a run with this clock and seed, whose output is its log.
    pub fn new(limits: &GuestLimits, clock: &RunClock, seed: Seed, log: &LogBuffer) -> Self {
        let mut builder = builder(limits, log);
        // The first 16 bytes are for the keys of hash maps, the rest for whoever asks.
        let mut insecure = Stream::Insecure.of(seed);
        let mut hash_keys = [0; 16];
        insecure.fill_bytes(&mut hash_keys);
        builder
            .wall_clock(clock.clone())
            .monotonic_clock(clock.clone())
            .secure_random(Stream::Wasi.of(seed))
            .insecure_random(insecure)
            .insecure_random_seed(u128::from_le_bytes(hash_keys));
        Self { ctx: builder.build(), table: table(limits) }
    }
}

/// What a step instance keeps for WASI.
pub struct StepWasi {
    /// Real clocks and randomness; output to the attempt's log.
    pub ctx: WasiCtx,
    /// Handles that the guest holds.
    pub table: ResourceTable,
}

impl StepWasi {
    /// For an attempt whose output is its log.
    pub fn new(limits: &GuestLimits, log: &LogBuffer) -> Self {
        Self { ctx: builder(limits, log).build(), table: table(limits) }
    }
}

/// No arguments, no environment, no files, no sockets.
fn builder(limits: &GuestLimits, log: &LogBuffer) -> WasiCtxBuilder {
    let mut builder = WasiCtx::builder();
    builder
        .stdout(Output::new(log.clone(), Level::Info))
        .stderr(Output::new(log.clone(), Level::Warn))
        .max_random_size(limits.random_bytes.into());
    builder
}

fn table(limits: &GuestLimits) -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(limits.resources);
    table
}

struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// Give a linker the WASI of the workflow role.
pub fn add_workflow_wasi<T: WasiView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    add_common(linker)?;
    sync::io::poll::add_to_linker::<T, HasStreams>(linker, |t| AtOnce(t.ctx().table))?;
    sync::io::streams::add_to_linker::<T, HasStreams>(linker, |t| AtOnce(t.ctx().table))?;
    sync::filesystem::types::add_to_linker::<T, WasiFilesystem>(linker, T::filesystem)?;
    linker.allow_shadowing(true);
    let clocks = &mut linker.instance("wasi:clocks/monotonic-clock@0.2.12")?;
    blocks(clocks, &["subscribe-instant", "subscribe-duration"])?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Give a linker the WASI of the step role, `wasi:http` included.
pub fn add_step_wasi<T: WasiView + WasiHttpView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    use wasmtime_wasi::p2::bindings::io;
    add_common(linker)?;
    io::poll::add_to_linker::<T, Table>(linker, |t| t.ctx().table)?;
    io::streams::add_to_linker::<T, Table>(linker, |t| t.ctx().table)?;
    filesystem::types::add_to_linker::<T, WasiFilesystem>(linker, T::filesystem)?;
    p2::add_only_http_to_linker_async(linker)
}

/// What does not block and needs no authority.
fn add_common<T: WasiView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    use wasmtime_wasi::p2::bindings::io;
    io::error::add_to_linker::<T, Table>(linker, |t| t.ctx().table)?;
    clocks::wall_clock::add_to_linker::<T, WasiClocks>(linker, T::clocks)?;
    clocks::monotonic_clock::add_to_linker::<T, WasiClocks>(linker, T::clocks)?;
    filesystem::preopens::add_to_linker::<T, WasiFilesystem>(linker, T::filesystem)?;
    random::random::add_to_linker::<T, WasiRandom>(linker, |t| t.ctx().ctx.random())?;
    random::insecure::add_to_linker::<T, WasiRandom>(linker, |t| t.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<T, WasiRandom>(linker, |t| t.ctx().ctx.random())?;
    cli::exit::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::environment::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::stdin::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::stdout::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::stderr::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_input::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_output::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_stdin::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_stdout::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_stderr::add_to_linker::<T, WasiCli>(linker, T::cli)
}

/// Functions that would hold the workflow's thread: a durable wait holds nothing.
fn blocks<T: 'static>(instance: &mut LinkerInstance<'_, T>, functions: &[&str]) -> Result<()> {
    for &name in functions {
        instance.func_new(name, move |_: StoreContextMut<'_, T>, _, _, _| Err(blocked()))?;
    }
    Ok(())
}
