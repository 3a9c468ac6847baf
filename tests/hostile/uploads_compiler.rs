//! The process that compiles: what it has, what it may take, and what comes of its end.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use windlass_host::api::Problem;
use windlass_host::sandbox::{CompileLimits, Compiler, Limits};
use windlass_host::worker::HostConfig;

use super::uploads_shapes::{calls, wat};
use crate::harness::api::Api;
use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::guests::guest_bytes;
use crate::harness::host::HostProcess;
use crate::harness::shared::serve;

/// A component that no compiler comes to the end of, and another each time.
fn bomb(number: u32) -> Vec<u8> {
    let levels: String = (1..=60)
        .map(|n| format!("(component $c{n} (instance (instantiate $c{0})) (instance (instantiate $c{0})))", n - 1))
        .collect();
    wat(&format!("(component (@custom \"{number}\" \"\") (component $c0) {levels} (instance (instantiate $c60)))"))
}

/// A small one, as good as it was built, and not in the cache.
fn fresh() -> Vec<u8> {
    let mut component = guest_bytes("script");
    let name = uuid::Uuid::now_v7().to_string();
    let length = u8::try_from(name.len()).expect("short");
    component.extend([&[0, length + 1, length][..], name.as_bytes()].concat());
    component
}

/// The compilers that a host has under way.
fn compilers(host: &HostProcess) -> Vec<Pid> {
    let host = host.pid().as_raw_pid().to_string();
    let processes = std::fs::read_dir("/proc").expect("a list").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // After the name, which may have anything in it: state and parent.
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)) == Some(&host)
    };
    pids.filter(is_child).filter_map(Pid::from_raw).collect()
}

async fn compiler(host: &HostProcess) -> Pid {
    eventually("a compiler is under way", async || compilers(host).first().copied()).await
}

fn of_process(pid: Pid, what: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/{what}", pid.as_raw_pid()))
}

async fn host(options: &[&str]) -> HostProcess {
    HostProcess::serve(&Database::new().await, options).await
}

fn deploy(host: &HostProcess, bytes: Vec<u8>) -> tokio::task::JoinHandle<Result<(), Problem>> {
    let api = host.api.clone();
    tokio::spawn(async move { api.deploy(bytes, "").await.map(drop) })
}

async fn refused(api: &Api, bytes: Vec<u8>) -> String {
    let problem = api.deploy(bytes, "").await.expect_err("refused");
    format!("{}: {}", problem.code, problem.detail)
}

#[tokio::test]
async fn a_compiler_has_nothing_of_what_its_host_has() {
    let host = host(&["--compile-time", "7s", "--compile-memory", "1300"]).await;
    let upload = deploy(&host, bomb(0));
    let pid = compiler(&host).await;
    let limits = eventually("it has confined itself", async || {
        let limits = std::fs::read_to_string(of_process(pid, "limits")).expect("limits");
        limits.contains("Max cpu time              7 ").then_some(limits)
    })
    .await;
    for limit in [
        "Max file size             0                    0 ",
        "Max core file size        0                    0 ",
        "Max open files            3                    3 ",
        "Max address space         1363148800           1363148800 ",
        "Max cpu time              7                    8 ",
    ] {
        assert!(limits.contains(limit), "{limit} in\n{limits}");
    }
    assert_eq!(std::fs::read(of_process(pid, "environ")).expect("its environment"), b"");
    assert_eq!(std::fs::read_link(of_process(pid, "cwd")).expect("its folder"), PathBuf::from("/"));
    let open = std::fs::read_dir(of_process(pid, "fd")).expect("what it has open").flatten();
    let open: BTreeSet<_> = open.map(|entry| entry.file_name().into_string().expect("a number")).collect();
    assert_eq!(open, ["0", "1", "2"].map(str::to_owned).into());
    let arguments = std::fs::read_to_string(of_process(pid, "cmdline")).expect("its arguments");
    let expected = ["", "compile", "--memory-bytes", "1363148800", "--cpu-seconds", "7", ""].join("\0");
    assert!(arguments.ends_with(&expected), "{arguments:?}");
    upload.abort();
}

#[tokio::test]
async fn a_compiler_that_exceeds_its_limits_is_the_component_s_problem() {
    // A quick machine takes much memory in that time.
    let host = host(&["--compile-time", "2s", "--compile-memory", "16384"]).await;
    let long = refused(&host.api, bomb(1)).await;
    assert!(long.starts_with("compile-too-long: compiling it takes more than 2 s of processor time"), "{long}");
    host.api.deploy(fresh(), "").await.expect("the host goes on");
}

#[tokio::test]
async fn a_compiler_that_has_no_memory_left_is_the_component_s_problem() {
    let host = host(&["--compile-memory", "1280"]).await;
    let large = refused(&host.api, calls(500, 100_000)).await;
    assert!(large.starts_with("compile-too-large: compiling it takes more than 1280 MiB of memory"), "{large}");
    host.api.deploy(fresh(), "").await.expect("the host goes on");
}

#[tokio::test]
async fn a_compiler_that_is_killed_takes_nothing_with_it() {
    let mut host = host(&[]).await;
    let upload = deploy(&host, bomb(2));
    kill_process(compiler(&host).await, Signal::KILL).expect("killed");
    let problem = upload.await.expect("no panic").expect_err("refused");
    assert_eq!((problem.status, &*problem.code), (422, "compile-too-large"));
    host.api.deploy(fresh(), "").await.expect("the host goes on");
    assert_eq!(host.ended(), None);
}

#[tokio::test]
async fn a_compiler_does_not_outlive_its_host() {
    let mut host = host(&[]).await;
    let upload = deploy(&host, bomb(3));
    let pid = compiler(&host).await;
    host.kill();
    eventually("it has ended", async || {
        // Whoever adopts it may not have looked yet.
        let stat = std::fs::read_to_string(of_process(pid, "stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    })
    .await;
    upload.abort();
}

/// Also when those who asked have gone away: what they began goes on.
#[tokio::test]
async fn a_namespace_compiles_one_component_at_a_time() {
    let host = host(&["--compile-time", "1s", "--compile-memory", "16384"]).await;
    let mut uploads: Vec<_> = (10..14).map(|number| deploy(&host, bomb(number))).collect();
    compiler(&host).await;
    uploads.remove(0).abort();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1_500) {
        let under_way = compilers(&host).len();
        assert!(under_way <= 1, "{under_way} at once");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for upload in uploads {
        let problem = upload.await.expect("no panic").expect_err("refused");
        assert_eq!(problem.code, "compile-too-long");
    }
}

/// A host in this process whose compiler is a script.
async fn host_with(script: &str) -> Api {
    let folder = std::env::temp_dir().join(format!("windlass-compiler-{}", uuid::Uuid::now_v7()));
    std::fs::create_dir(&folder).expect("a folder");
    let program = folder.join("compiler");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("written");
    std::fs::set_permissions(&program, Permissions::from_mode(0o700)).expect("a program");
    let limits = CompileLimits { time: Duration::from_secs(1), ..CompileLimits::default() };
    let compiler = Compiler::Process { program, limits };
    // There are many of these hosts, and address space has an end.
    let limits = Limits { workflow_instances: 8, step_instances: 8, ..Limits::default() };
    let config = HostConfig { compiler, limits, ..HostConfig::default() };
    let database = Database::new().await;
    Api::new(&serve(&database, config).await)
}

#[tokio::test]
async fn a_compiler_that_crashes_or_hangs_is_the_component_s_problem() {
    for (script, answer) in [
        ("kill -SEGV $$", "compile-failed: the compiler crashed over it (signal 11); "),
        ("exit 101", "compile-failed: the compiler crashed over it (it panicked); "),
        ("echo memory allocation of 9 bytes failed >&2; kill -ABRT $$", "compile-too-large: "),
        ("kill -XCPU $$", "compile-too-long: "),
        ("exec sleep 60", "compile-too-long: "),
        ("exec 0<&-; exec sleep 60", "compile-too-long: "),
        ("while :; do echo no end >&2; done", "compile-too-long: "),
    ] {
        let refused = refused(&host_with(script).await, fresh()).await;
        assert!(refused.starts_with(answer), "{script}: {refused}");
    }
}

/// The component is not to blame.
#[tokio::test]
async fn a_compiler_that_is_none_is_the_host_s_problem() {
    for script in [
        "exit 0",
        "exit 70",
        "exit 2",
        "echo hello; exec sleep 60",
        "head -c 100000000 /dev/zero",
        "printf '\\001\\377'",
    ] {
        let problem = host_with(script).await.deploy(fresh(), "").await.expect_err("refused");
        assert_eq!((problem.status, &*problem.code), (503, "unavailable"), "{script}: {problem:?}");
    }
}

async fn answer_to(host: &HostProcess, head: &str, body: impl AsyncFnOnce(&mut TcpStream)) -> String {
    let address = host.server.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let head = format!("POST /v1/namespaces/default/components HTTP/1.1\r\nHost: {address}\r\n{head}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    body(&mut stream).await;
    let mut answer = [0; 12];
    tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut answer))
        .await
        .expect("in time")
        .expect("read");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_before_it_has_come() {
    let host = host(&[]).await;
    let nothing = async |_: &mut TcpStream| ();
    assert_eq!(answer_to(&host, "Content-Length: 33554433", nothing).await, "HTTP/1.1 413");
    let endless = async |stream: &mut TcpStream| {
        let chunk = [b"100000\r\n".to_vec(), vec![0; 1 << 20], b"\r\n".to_vec()].concat();
        for _ in 0..33 {
            // It may have closed its end already.
            if stream.write_all(&chunk).await.is_err() {
                break;
            }
        }
        // There is no end.
    };
    assert_eq!(answer_to(&host, "Transfer-Encoding: chunked", endless).await, "HTTP/1.1 413");
    // Nobody waits for those who go away half way: more than there is room for in memory, fewer than are let in.
    for _ in 0..12 {
        let address = host.server.strip_prefix("http://").expect("an address");
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let head = format!(
            "POST /v1/namespaces/default/components HTTP/1.1\r\nHost: {address}\r\nContent-Length: 1000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
    }
    host.api.deploy(fresh(), "").await.expect("deployed");
}
