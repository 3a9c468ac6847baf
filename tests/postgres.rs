//! The host's own PostgreSQL.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use windlass_host::postgres::{Binaries, Server};

use crate::harness::eventually;
use crate::harness::guests::guest_bytes;
use crate::harness::host::{HostProcess, WINDLASS};

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("windlass-{name}-{}", std::process::id()));
        // Left behind by a process of the same number.
        let _ = std::fs::remove_dir_all(&folder);
        Self(folder)
    }

    fn dev(&self) -> Command {
        let mut command = Command::new(WINDLASS);
        command.args(["dev", "--data-dir"]).arg(&self.0).env_remove("DATABASE_URL");
        command
    }

    /// The process of the server in the folder.
    fn server(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.0.join("postgres/postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Not worth failing a test for.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn is_alive(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_killed_leaves_no_server_and_all_of_its_data() {
    let folder = Folder::new("killed");
    let mut host = HostProcess::start(folder.dev()).await;
    host.api.deploy(guest_bytes("hello"), "").await.expect("deployed");
    let run = host.api.start("hello", json!("Ada")).await;
    host.api.end(&run).await;
    let server = folder.server().expect("a server");
    assert!(is_alive(server));
    host.kill();
    eventually("the server is gone", async || (!is_alive(server)).then_some(())).await;
    let begun = Instant::now();
    let again = HostProcess::start(folder.dev()).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(again.api.result(&run).await, "Hello, Ada!");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_stopped_stops_its_server_and_the_second_start_is_quick() {
    let folder = Folder::new("stopped");
    let mut host = HostProcess::start(folder.dev()).await;
    let server = folder.server().expect("a server");
    let (status, took) = host.terminate();
    assert!(status.success() && took < Duration::from_secs(5), "{status} {took:?}");
    assert!(!is_alive(server));
    let root = folder.0.clone();
    let took = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        let server = Server::start(&root, &Binaries::find().expect("installed")).expect("started");
        let took = begun.elapsed();
        drop(server);
        took
    });
    // Tens of milliseconds on a quiet machine.
    assert!(took.await.expect("no panic") < Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_host_on_the_same_folder_is_told_so() {
    let folder = Folder::new("shared");
    let host = HostProcess::start(folder.dev()).await;
    let output = folder.dev().args(["--listen", "127.0.0.1:0"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr).replace(folder.0.to_str().expect("a path"), "[FOLDER]");
    insta::assert_snapshot!(message, @"error: another Windlass host is using [FOLDER]; stop it, or choose another folder with --data-dir");
    assert!(host.api.answers().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_keeps_what_it_confirms() {
    let folder = Folder::new("durable");
    let root = folder.0.clone();
    let settings = tokio::task::spawn_blocking(move || {
        let server = Server::start(&root, &Binaries::find().expect("installed")).expect("started");
        let url = server.url();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let settings: (String, String, String) = runtime.block_on(async {
            let mut session = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.expect("a session");
            let query = "SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('listen_addresses')";
            sqlx::query_as(query).fetch_one(&mut session).await.expect("settings")
        });
        drop(server);
        settings
    });
    assert_eq!(settings.await.expect("no panic"), ("on".into(), "on".into(), String::new()));
}

/// Root runs the server under another account; whoever is not root runs it as himself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_works_without_being_root() {
    if !rustix::process::geteuid().is_root() {
        // Then all the other tests have shown it.
        return;
    }
    let folder = Folder::new("plain");
    std::fs::create_dir_all(&folder.0).expect("made");
    // A copy: the account may not be able to enter where the binary is.
    let binary = folder.0.join("windlass");
    std::fs::copy(WINDLASS, &binary).expect("copied");
    let (user, group) = (65_534, 65_534);
    std::os::unix::fs::chown(&folder.0, Some(user), Some(group)).expect("given away");
    let mut command = Command::new(&binary);
    command.args(["dev", "--data-dir"]).arg(folder.0.join("data")).env_remove("DATABASE_URL").env("HOME", &folder.0);
    command.env("WINDLASS_CACHE_DIR", folder.0.join("cache")).current_dir(&folder.0).uid(user).gid(group);
    let host = HostProcess::start(command).await;
    host.api.deploy(guest_bytes("hello"), "").await.expect("deployed");
    assert_eq!(host.api.result(&host.api.start("hello", json!("Ada")).await).await, "Hello, Ada!");
}

#[test]
fn a_folder_that_the_account_cannot_enter_is_named() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let closed = Folder::new("closed");
    std::fs::create_dir_all(&closed.0).expect("made");
    let closed_to_others = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&closed.0, closed_to_others).expect("closed");
    let error = Server::start(&closed.0.join("data"), &Binaries::find().expect("installed"))
        .expect_err("not reachable")
        .to_string();
    let error = error.replace(closed.0.canonicalize().expect("a path").to_str().expect("a path"), "[FOLDER]");
    insta::assert_snapshot!(error, @"the account `postgres`, under which PostgreSQL runs, cannot enter [FOLDER]; choose another folder with --data-dir");
}
