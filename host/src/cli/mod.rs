//! The command line: one file for each command.
//!
//! `dev` and `serve` are hosts; all other commands are clients of a host's API. Exit codes: 0 done; 1 the run that was waited
//! for did not complete, or the host ended with an error; 2 the command line is not valid; 3 no host answers, or not
//! the one that was asked for; 4 the host refused.

mod audit;
mod bench;
mod cancel;
mod client;
mod compile;
mod concurrency;
mod context;
mod count;
mod credentials;
mod deploy;
mod dev;
mod drop_installation;
mod entrance_options;
mod fork;
mod get;
mod grant;
mod history;
mod host_options;
mod in_bulk;
mod keys;
mod limits;
mod list;
mod live_runs;
mod logs;
mod master_key;
mod metrics;
mod migrate;
mod namespace;
mod output;
mod pause;
mod quarantine;
mod queues;
mod rate_limit;
mod replay;
mod retry;
mod rewind;
mod rewrap;
mod run_flags;
mod schedule;
mod secret;
mod serve;
mod signal;
mod start;
mod steps;
mod terminate;
mod trust;
mod update;
mod versions;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::model::Namespace;
use client::{Client, ClientError};

/// Runs untrusted workflow components durably on Postgres.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args, Debug)]
struct Global {
    /// The API of a host
    #[arg(long, global = true, env = "WINDLASS_SERVER", default_value = "http://127.0.0.1:7420")]
    server: String,
    /// The namespace
    #[arg(long, short, global = true, env = "WINDLASS_NAMESPACE", default_value = "default")]
    namespace: Namespace,
    /// A file with the API key, instead of the variable WINDLASS_API_KEY
    #[arg(long, global = true, env = "WINDLASS_API_KEY_FILE", value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// Trust hosts whose certificate leads to one in this PEM file, besides those that the system trusts
    #[arg(long, global = true, env = "WINDLASS_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a host with a database of its own, for development
    Dev(dev::Dev),
    /// Run a host on your database
    Serve(serve::Serve),
    /// Upload a component
    Deploy(deploy::Deploy),
    /// Let a component's steps send HTTP requests that they ask for
    Grant(grant::Change),
    /// Show what HTTP requests a component's steps ask for, and what was granted to them
    Grants(grant::Show),
    /// Take a grant back, exactly as it was given
    RevokeGrant(grant::Change),
    /// Values for headers of outgoing requests, which no guest ever sees
    Secret(secret::Secret),
    /// Start a run
    Start(start::Start),
    /// Show a run
    Get(get::Get),
    /// List runs, newest first
    List(list::List),
    /// Count runs
    Count(count::Count),
    /// Show where runs stand, and what to do about them
    Context(context::Context),
    /// Show where the steps of runs stand
    Steps(steps::Steps),
    /// Show how many runs wait for a host, are at one, and wait for something else
    Queues(queues::Queues),
    /// Show how the namespace is doing, in figures
    Metrics(metrics::Metrics),
    /// Show what has happened to a run
    History(history::History),
    /// Show what a run has logged
    Logs(logs::Logs),
    /// Deliver the history of a run, or of all that are not over, to a component: would they survive it?
    Replay(replay::Replay),
    /// List versions of a component, choose which one new runs take, forget those that none needs
    Versions(versions::Versions),
    /// Move runs to another version of their component, if they survive there
    Migrate(migrate::Migrate),
    /// Send a signal to a run
    Signal(signal::Signal),
    /// Ask a run for something, and print the answer of its workflow
    Update(update::Update),
    /// Ask a run to stop
    Cancel(cancel::Cancel),
    /// Hold back a run, runs that are found, a workflow, or the whole namespace
    Pause(pause::Pause),
    /// Let a run, runs that are found, a workflow, or the whole namespace go on
    Resume(pause::Resume),
    /// Runs that cannot go on until somebody has looked
    Quarantine(quarantine::Quarantine),
    /// Show which workflows are paused
    Pauses(pause::ListPauses),
    /// Limit how many runs of a workflow, or of the namespace, are under way at once
    Concurrency(concurrency::Concurrency),
    /// Limit how many attempts of a step begin in a second
    RateLimit(rate_limit::RateLimit),
    /// Try again what a run has failed at, or go on with one that was quarantined
    Retry(retry::Retry),
    /// Let a run go on from before one of its events
    Rewind(rewind::Rewind),
    /// Start another run with the history of one up to an event
    Fork(fork::Fork),
    /// End a run at once, without asking it
    Terminate(terminate::Terminate),
    /// Start runs again and again: by cron, at intervals, once
    Schedule(schedule::Schedule),
    /// Make, list, revoke and rotate API keys
    Keys(keys::Keys),
    /// Create namespaces, look at them, and set their limits
    Namespace(namespace::Namespace),
    /// See who changed what, and check that nothing of that was tampered with
    Audit(audit::Audit),
    /// Delete an installation from its database, with all that it has
    DropInstallation(drop_installation::DropInstallation),
    /// Measure how fast this is on this machine
    Bench(bench::Bench),
    #[command(hide = true)]
    Compile(compile::Compile),
}

/// What a command comes to, when it does not come to an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Well,
    /// The run that was waited for did not complete.
    NotCompleted,
}

impl Cli {
    /// Do it.
    pub fn run(self) -> ExitCode {
        // Before anything else is there: threads, signal handlers, connections.
        if let Command::Compile(compile) = &self.command {
            return compile.run();
        }
        // What whoever started this left open is not for the processes that this starts.
        close_fds::set_fds_cloexec(3, &[]);
        // For every TLS connection of the process; a second call would be the first one's fault.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let result = match runtime {
            Ok(runtime) => runtime.block_on(self.execute()),
            Err(error) => Err(error.into()),
        };
        match result {
            Ok(Done::Well) => ExitCode::SUCCESS,
            Ok(Done::NotCompleted) => ExitCode::from(1),
            Err(error) => {
                output::error(&error);
                ExitCode::from(error.downcast_ref::<ClientError>().map_or(1, ClientError::exit_code))
            }
        }
    }

    async fn execute(self) -> anyhow::Result<Done> {
        let Global { server, namespace, api_key_file, ca_file, json } = self.global;
        let client = || {
            let api_key = credentials::api_key(api_key_file.as_deref())?;
            Client::new(&server, &namespace, api_key.as_ref(), ca_file.as_deref(), json)
        };
        match self.command {
            Command::Dev(dev) => dev.run(json).await,
            Command::Serve(serve) => serve.run(json).await,
            Command::Deploy(deploy) => deploy.run(&client()?).await,
            Command::Grant(grant) => grant.grant(&client()?).await,
            Command::Grants(show) => show.run(&client()?).await,
            Command::RevokeGrant(grant) => grant.revoke(&client()?).await,
            Command::Secret(secret) => secret.run(client, json).await,
            Command::Start(start) => start.run(&client()?).await,
            Command::Get(get) => get.run(&client()?).await,
            Command::List(list) => list.run(&client()?).await,
            Command::Count(count) => count.run(&client()?).await,
            Command::Context(context) => context.run(&client()?).await,
            Command::Steps(steps) => steps.run(&client()?).await,
            Command::Queues(queues) => queues.run(&client()?).await,
            Command::Metrics(metrics) => metrics.run(&client()?).await,
            Command::History(history) => history.run(&client()?).await,
            Command::Logs(logs) => logs.run(&client()?).await,
            Command::Replay(replay) => replay.run(client, json).await,
            Command::Signal(signal) => signal.run(&client()?).await,
            Command::Update(update) => update.run(&client()?).await,
            Command::Cancel(cancel) => cancel.run(&client()?).await,
            Command::Versions(versions) => versions.run(&client()?).await,
            Command::Migrate(migrate) => migrate.run(&client()?).await,
            Command::Terminate(terminate) => terminate.run(&client()?).await,
            Command::Pause(pause) => pause.run(&client()?).await,
            Command::Resume(resume) => resume.run(&client()?).await,
            Command::Quarantine(quarantine) => quarantine.run(&client()?).await,
            Command::Pauses(pauses) => pauses.run(&client()?).await,
            Command::Concurrency(concurrency) => concurrency.run(&client()?).await,
            Command::RateLimit(rate_limit) => rate_limit.run(&client()?).await,
            Command::Retry(retry) => retry.run(&client()?).await,
            Command::Rewind(rewind) => rewind.run(&client()?).await,
            Command::Fork(fork) => fork.run(&client()?).await,
            Command::Schedule(schedule) => schedule.run(&client()?).await,
            Command::Keys(keys) => keys.run(&client()?).await,
            Command::Namespace(namespace) => namespace.run(&client()?).await,
            Command::Audit(audit) => audit.run(&client()?).await,
            Command::DropInstallation(drop) => drop.run(json).await,
            Command::Bench(bench) => bench.run(json).await,
            Command::Compile(_) => unreachable!("it is no client, and needs no runtime"),
        }
    }
}
