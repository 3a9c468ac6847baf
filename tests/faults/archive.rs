//! Hosts die while they archive, export and drop, and work at it side by side: every run is in one place, whole.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::harness::database::Database;
use crate::harness::ended::{OF_RUNS, ended_runs, make_ripe, sql};
use crate::harness::eventually;
use crate::harness::host::HostProcess;
use crate::harness::proxy::{Moment, Proxy};

const TENANTS: [&str; 3] = ["a", "b", "c"];
const RUNS: u32 = 12;

/// A database with runs that are to be archived, of three tenants, and runs of another that are to be exported and dropped.
async fn database() -> Database {
    let database = Database::new().await;
    database.store().await.close().await;
    for tenant in TENANTS {
        ended_runs(&database, tenant, RUNS).await;
    }
    ended_runs(&database, "old", RUNS).await;
    let archive =
        "UPDATE namespaces SET archive_after = '7 days', delete_after = '30 days', export_archive = namespace = 'old';
                   SELECT archive_runs('old', '-infinity', '00000000-0000-0000-0000-000000000000', NULL, NULL, 100);
                   UPDATE namespaces SET redate_archive = true";
    sql(&database, archive).await;
    make_ripe(&database, "old").await;
    database
}

struct Folder(PathBuf);

impl Folder {
    fn new(database: &Database) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("archive-{}", database.schema));
        Self(folder)
    }

    fn url(&self) -> String {
        format!("file://{}", self.0.display())
    }

    /// Every file in it that is whole, with its lines.
    fn files(&self) -> Vec<(PathBuf, Vec<Value>)> {
        let mut folders = vec![self.0.clone()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "gz") {
                    let mut text = String::new();
                    let file = std::fs::File::open(&path).expect("a file");
                    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).expect("whole");
                    let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
                    files.push((path, lines));
                }
            }
        }
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The system clears it away if this does not.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn serve(database: &Database, folder: &Folder) -> HostProcess {
    HostProcess::serve(database, &["--lease", "2s", "--archive-every", "100ms", "--archive-store", &folder.url()]).await
}

/// Nothing is left to be done, and everything is where it belongs, once.
async fn is_done(database: &Database, folder: &Folder, what: &str) {
    let left = "SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM archived_runs WHERE namespace = 'old')
                + (SELECT count(*) FROM namespaces WHERE redate_archive)";
    eventually(what, async || (database.count(left).await == 0).then_some(())).await;
    for table in OF_RUNS {
        assert_eq!(database.count(&format!("SELECT count(*) FROM {table}")).await, 0, "{what}: {table}");
    }
    for tenant in TENANTS {
        let of = format!("FROM archived_runs WHERE namespace = '{tenant}'");
        let runs = i64::from(RUNS);
        assert_eq!(database.count(&format!("SELECT count(*) {of}")).await, runs, "{what}: {tenant}");
        assert_eq!(database.count(&format!("SELECT count(DISTINCT run_id) {of}")).await, runs, "{what}: {tenant}");
        let whole = format!("SELECT count(*) {of} AND lines LIKE '%\"line\":\"run\"%' AND lines LIKE '%\"seq\":2,%'");
        assert_eq!(database.count(&whole).await, runs, "{what}: {tenant}");
    }
    let files = folder.files();
    assert_eq!(files.len(), 1, "{what}: {files:?}");
    let (path, lines) = &files[0];
    assert!(path.starts_with(folder.0.join("old")) && path.ends_with("00001.jsonl.gz"), "{path:?}");
    let runs = lines.iter().filter(|line| line["line"] == "run").count();
    let events = lines.iter().filter(|line| line["line"] == "event").count();
    assert_eq!((runs, events), (RUNS as usize, 3 * RUNS as usize), "{what}");
}

/// Returns whether there was such a commit.
async fn killed_at(number: u32, moment: Moment) -> bool {
    let database = database().await;
    let folder = Folder::new(&database);
    let proxy = Proxy::open(&database).await;
    let mut host = serve(&proxy.database, &folder).await;
    let pid = host.pid();
    // The pauses are longer than it takes to say so; if not, the first commits are not looked at.
    proxy.at_commit(number, moment, move || kill_process(pid, Signal::KILL).expect("killed"));
    let open = "SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM archived_runs WHERE namespace = 'old')
                + (SELECT count(*) FROM namespaces WHERE redate_archive)";
    eventually("it is killed or done", async || (proxy.is_done() || database.count(open).await == 0).then_some(()))
        .await;
    let was_killed = proxy.is_done();
    if was_killed {
        eventually("it has ended", async || host.ended()).await;
    }
    drop(host);
    let _next = serve(&database, &folder).await;
    is_done(&database, &folder, &format!("killed {moment:?} commit {number}")).await;
    was_killed
}

async fn killed_everywhere(moment: Moment) {
    let mut number = 1;
    while killed_at(number, moment).await {
        number += 1;
    }
    assert!(number > 6, "only {number} commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_archives_is_killed_before_any_commit_and_every_run_is_in_one_place() {
    killed_everywhere(Moment::Before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_archives_is_killed_after_any_commit_and_every_run_is_in_one_place() {
    killed_everywhere(Moment::After).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_archive_at_once_and_every_run_is_in_one_place() {
    let database = database().await;
    for tenant in TENANTS {
        ended_runs(&database, tenant, 2_000).await;
    }
    let folder = Folder::new(&database);
    let (_one, _other) = tokio::join!(serve(&database, &folder), serve(&database, &folder));
    eventually("all is archived", async || (database.count("SELECT count(*) FROM runs").await == 0).then_some(()))
        .await;
    let archived = "SELECT count(*) FROM archived_runs WHERE namespace <> 'old'";
    assert_eq!(database.count(archived).await, 3 * (i64::from(RUNS) + 2_000));
    assert_eq!(database.count(&archived.replace("*", "DISTINCT run_id")).await, 3 * (i64::from(RUNS) + 2_000));
    assert_eq!(database.count("SELECT count(*) FROM events").await, 0);
}

/// Who wants to have something exported does not lose it because a host does not know where to.
#[tokio::test]
async fn what_is_to_be_exported_waits_for_a_host_that_can() {
    let database = database().await;
    let without = HostProcess::serve(&database, &["--archive-every", "50ms"]).await;
    eventually("all is archived", async || (database.count("SELECT count(*) FROM runs").await == 0).then_some(()))
        .await;
    let old = "SELECT count(*) FROM archived_runs WHERE namespace = 'old'";
    assert_eq!(database.count(old).await, i64::from(RUNS));
    let refused =
        crate::harness::host::windlass(&without.server, &["namespace", "set", "a", "--export-archive", "true"]).await;
    assert!(refused.stderr.contains("no-archive-store"), "{}", refused.stderr);
    let folder = Folder::new(&database);
    let _with = serve(&database, &folder).await;
    eventually("it is gone", async || (database.count(old).await == 0).then_some(())).await;
    assert_eq!(folder.files().len(), 1);
}
