//! Hosts in processes of their own, to be killed.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::api::{Api, http};
use super::database::Database;
use super::eventually;

/// The command.
pub const WINDLASS: &str = env!("CARGO_BIN_EXE_windlass");

/// A key to seal with: 32 bytes as base64.
pub const MASTER_KEY: &str = "BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=";

/// A host. It is killed when this is dropped.
pub struct HostProcess {
    child: Child,
    /// What it logs, if the test does not read it: it is shown when the test fails.
    log: Option<File>,
    /// Where its API is.
    pub server: String,
    pub api: Api,
    /// What it has printed.
    pub serving: Value,
}

impl HostProcess {
    /// `windlass serve` on a database, for whoever reaches it.
    pub async fn serve(database: &Database, options: &[&str]) -> Self {
        let mut command = Self::command(database);
        command.arg("--insecure-no-auth").args(options);
        Self::start(command).await
    }

    /// `windlass serve` on a database, for whoever has an API key; it keeps secrets, too.
    pub async fn serve_with_keys(database: &Database, options: &[&str]) -> Self {
        let mut command = Self::command(database);
        command.args(options).env("WINDLASS_MASTER_KEY", MASTER_KEY);
        Self::start(command).await
    }

    fn command(database: &Database) -> Command {
        let mut command = Command::new(WINDLASS);
        command.args(["serve", "--database-url", &database.url, "--schema", &database.schema]);
        command
    }

    /// A host that prints where its API is; ready when this returns. `WINDLASS_TEST_LOG=1` shows its log at once.
    pub async fn start(command: Command) -> Self {
        if std::env::var_os("WINDLASS_TEST_LOG").is_some() {
            return Self::start_logging(command, Stdio::inherit()).await;
        }
        let log = tempfile::tempfile().expect("a file");
        let stderr = log.try_clone().expect("the same file");
        Self::spawn(command, stderr.into(), Some(log)).await
    }

    /// The same, with its log in a place of its own.
    pub async fn start_logging(command: Command, log: impl Into<Stdio>) -> Self {
        Self::spawn(command, log.into(), None).await
    }

    async fn spawn(mut command: Command, stderr: Stdio, mut log: Option<File>) -> Self {
        if !command.get_envs().any(|(name, _)| name == "WINDLASS_CACHE_DIR") {
            command.env("WINDLASS_CACHE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/code"));
        }
        command.args(["--json", "--listen", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(stderr);
        let mut child = command.spawn().expect("the host starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let line = tokio::task::spawn_blocking(move || stdout.lines().next()).await.expect("read");
        let Some(Ok(line)) = line else {
            panic!("the host ended: {:?}\n{}", child.wait(), log.as_mut().map_or_else(String::new, end_of))
        };
        let serving: Value = serde_json::from_str(&line).expect("JSON");
        let server = serving["api"].as_str().expect("an address").to_owned();
        let (http, ready) = (http(), format!("{server}/readyz"));
        eventually("the host is ready", async || {
            http.get(&ready).send().await.is_ok_and(|response| response.status().is_success()).then_some(())
        })
        .await;
        Self { child, log, api: Api::new(&server), server, serving }
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Memory that it has.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib << 10
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// SIGTERM; returns how it ended and how long it took.
    pub fn terminate(&mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        kill_process(self.pid(), Signal::TERM).expect("signalled");
        (self.child.wait().expect("gone"), begun.elapsed())
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        kill_process(self.pid(), Signal::STOP).expect("signalled");
    }

    /// SIGCONT.
    pub fn unpause(&self) {
        kill_process(self.pid(), Signal::CONT).expect("signalled");
    }

    /// Its end, if it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("looked")
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking()
            && let Some(log) = &mut self.log
        {
            eprintln!("the log of the host at {}:\n{}", self.server, end_of(log));
        }
    }
}

/// The last 4 KiB of a log.
fn end_of(log: &mut File) -> String {
    let mut end = Vec::new();
    let read = log.metadata().and_then(|metadata| {
        log.seek(SeekFrom::Start(metadata.len().saturating_sub(4_096)))?;
        log.read_to_end(&mut end)
    });
    read.map_or_else(|error| error.to_string(), |_| String::from_utf8_lossy(&end).into_owned())
}

/// What a command printed and how it ended.
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub code: Option<i32>,
}

/// Run `windlass` as a person would.
pub async fn windlass(server: &str, arguments: &[&str]) -> Ran {
    windlass_with(server, arguments, &[]).await
}

/// The same, with variables in its environment.
pub async fn windlass_with(server: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = tokio::process::Command::new(WINDLASS);
    command.args(arguments).env("WINDLASS_SERVER", server).envs(variables.iter().copied());
    let output = command.output().await.expect("it runs");
    assert_eq!(output.status.signal(), None);
    Ran {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code(),
    }
}
