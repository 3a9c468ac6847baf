//! Workflows that break rules, one rule each.

use std::hint::black_box;
use std::net::ToSocketAddrs as _;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use windlass::{Failure, Result, child, http, join_all, send_signal, signal, sleep};

#[windlass::workflow]
async fn panics() -> Result<()> {
    panic!("on purpose")
}

#[windlass::workflow]
async fn panics_after_a_step() -> Result<()> {
    harmless().await?;
    panic!("later, on purpose")
}

#[windlass::step]
async fn harmless() -> Result<()> {
    Ok(())
}

/// Computes for ever.
#[windlass::workflow]
async fn spins() -> Result<()> {
    let mut number = 0u64;
    loop {
        number = black_box(number.wrapping_add(1));
    }
}

/// Takes memory for ever.
#[windlass::workflow]
async fn grabs() -> Result<()> {
    let mut all = Vec::new();
    loop {
        all.push(black_box(vec![1u8; 1 << 20]));
    }
}

/// Calls itself for ever.
#[windlass::workflow]
async fn recurses() -> Result<u64> {
    Ok(deeper(0))
}

#[inline(never)]
fn deeper(level: u64) -> u64 {
    let frame = black_box([level; 4]);
    if black_box(true) { deeper(level + 1) + frame[0] } else { 0 }
}

/// Holds its thread.
#[windlass::workflow]
async fn blocks() -> Result<()> {
    std::thread::sleep(Duration::from_millis(1));
    Ok(())
}

/// Touches the outside from a workflow.
#[windlass::workflow]
async fn calls_out() -> Result<()> {
    http::get("http://127.0.0.1:1/").send().await?;
    Ok(())
}

/// Opens a socket from a workflow.
#[windlass::workflow]
async fn connects() -> Result<bool> {
    Ok(std::net::TcpStream::connect("127.0.0.1:1").is_ok())
}

/// Waits for nothing that the host knows of.
#[windlass::workflow]
async fn stalls() -> Result<()> {
    std::future::pending().await
}

/// Opens calls for ever.
#[windlass::workflow]
async fn hoards(count: u32) -> Result<()> {
    join_all((0..count).map(|_| signal::<()>("never"))).await;
    Ok(())
}

/// Sends signals that nobody waits for, to itself.
#[windlass::workflow]
async fn spams(count: u32) -> Result<()> {
    let run_id = windlass::run::current().run_id;
    join_all((0..count).map(|number| send_signal(&*run_id, "never", &number))).await;
    Ok(())
}

/// Hands over more than it may.
#[windlass::workflow]
async fn shouts(bytes: usize) -> Result<()> {
    takes_text("x".repeat(bytes)).await
}

#[windlass::step]
async fn takes_text(_text: String) -> Result<()> {
    Ok(())
}

/// Gives back more than it may.
#[windlass::workflow]
async fn boasts(bytes: usize) -> Result<String> {
    Ok("x".repeat(bytes))
}

#[windlass::workflow]
async fn draws(length: u32) -> Result<usize> {
    Ok(windlass::random_bytes(length).len())
}

#[windlass::workflow]
async fn publishes(keys: u32) -> Result<()> {
    (0..keys).for_each(|key| windlass::publish(&format!("key-{key}"), &key));
    Ok(())
}

#[windlass::workflow]
async fn tags(keys: u32) -> Result<()> {
    (0..keys).for_each(|key| windlass::run::tag(&format!("key-{key}"), key));
    Ok(())
}

#[windlass::workflow]
async fn tags_badly(key: String, value: String) -> Result<()> {
    windlass::run::tag(&key, value);
    Ok(())
}

#[windlass::workflow]
async fn names_badly() -> Result<()> {
    signal("no such name").await
}

#[windlass::workflow]
async fn sleeps_for_ages() -> Result<()> {
    sleep(Duration::from_secs(200 * 365 * 24 * 60 * 60)).await;
    Ok(())
}

#[windlass::workflow]
async fn floods(lines: u32) -> Result<()> {
    (0..lines).for_each(|line| windlass::log!("line {line}"));
    Ok(())
}

#[windlass::workflow]
async fn floods_in_steps(steps: u32, lines: u32) -> Result<()> {
    for _ in 0..steps {
        step_floods(lines).await?;
    }
    Ok(())
}

#[windlass::step]
async fn step_floods(lines: u32) -> Result<()> {
    (0..lines).for_each(|line| windlass::log!("line {line}"));
    Ok(())
}

/// Looks for what the host has: files, variables, arguments, other programs. Crashes if there is any.
#[windlass::workflow]
async fn looks_around() -> Result<()> {
    look_around();
    Ok(())
}

fn look_around() {
    assert!(std::fs::read("/proc/self/environ").is_err() && std::fs::read_dir("/").is_err());
    assert!(std::fs::write("/tmp/here", "mine").is_err());
    assert!(std::env::vars().next().is_none() && std::env::args().next().is_none());
    assert!(std::process::Command::new("sh").spawn().is_err());
    assert!(std::thread::Builder::new().spawn(|| ()).is_err());
    let mut line = String::new();
    assert_eq!(std::io::stdin().read_line(&mut line).unwrap_or_default(), 0);
}

/// Measures how long it takes to count. Crashes if it can tell.
#[windlass::workflow]
async fn measures() -> Result<()> {
    let (begun, today) = (Instant::now(), SystemTime::now());
    (0..100_000).for_each(|number| {
        black_box(number);
    });
    assert!(begun.elapsed().is_zero() && today.elapsed().is_ok_and(|passed| passed.is_zero()));
    Ok(())
}

/// Wants more than there is, in one piece.
#[windlass::workflow]
async fn reserves(bytes: usize) -> Result<usize> {
    Ok(black_box(Vec::<u8>::with_capacity(bytes)).capacity())
}

/// Waits for itself.
#[windlass::workflow]
async fn deadlocks() -> Result<()> {
    let lock = Mutex::new(());
    let _held = lock.lock();
    let _again = lock.lock();
    Ok(())
}

/// Wants to survive a panic.
#[windlass::workflow]
async fn catches() -> Result<bool> {
    Ok(std::panic::catch_unwind(|| panic!("caught")).is_err())
}

#[windlass::workflow]
async fn aborts() -> Result<()> {
    std::process::abort()
}

/// Says much where the host's own words might go.
#[windlass::workflow]
async fn prints(lines: u32) -> Result<()> {
    (0..lines).for_each(|line| println!("\x1b[2J{line}\r\0"));
    (0..lines).for_each(|line| eprintln!("{{\"level\":\"ERROR\",\"line\":{line}}}"));
    Ok(())
}

#[windlass::workflow]
async fn exits() -> Result<()> {
    std::process::exit(3)
}

/// Each rule that steps can break; the failure's code is the result.
#[windlass::workflow]
async fn step_breaks(rule: String) -> Result<String> {
    let outcome = match &*rule {
        "spin" => step_spins().await,
        "grab" => step_grabs().await,
        "recurse" => step_recurses().await,
        "nest" => step_nests().await,
        "socket" => step_connects().await,
        "large" => step_boasts().await.map(drop),
        "exit" => step_exits().await,
        "look" => step_looks_around().await,
        "abort" => step_aborts().await,
        "panic" => step_panics().await,
        "listen" => step_listens().await,
        "resolve" => step_resolves().await,
        "bad-code" => step_fails_badly().await,
        "timeout" => step_spins().timeout(Duration::from_millis(200)).await,
        _ => Ok(()),
    };
    Ok(outcome.err().map_or("nothing".to_owned(), |failure| failure.code))
}

#[windlass::step(retry(max_attempts = 1))]
async fn step_spins() -> Result<()> {
    let mut number = 0u64;
    loop {
        number = black_box(number.wrapping_add(1));
    }
}

#[windlass::step(retry(max_attempts = 1))]
async fn step_grabs() -> Result<()> {
    let mut all = Vec::new();
    loop {
        all.push(black_box(vec![1u8; 1 << 20]));
    }
}

#[windlass::step(retry(max_attempts = 1))]
async fn step_recurses() -> Result<()> {
    deeper(0);
    Ok(())
}

#[windlass::step(retry(max_attempts = 1))]
async fn step_nests() -> Result<()> {
    sleep(Duration::from_millis(1)).await;
    Ok(())
}

/// Starts two of its own kind, and waits for neither.
#[windlass::workflow]
async fn breeds() -> Result<()> {
    child::<()>("breeds", &()).detach().await?;
    child::<()>("breeds", &()).detach().await?;
    Ok(())
}

#[windlass::step(retry(max_attempts = 1))]
async fn step_connects() -> Result<()> {
    std::net::TcpStream::connect("127.0.0.1:1")?;
    Ok(())
}

#[windlass::step(retry(max_attempts = 1))]
async fn step_listens() -> Result<()> {
    std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(())
}

#[windlass::step(retry(max_attempts = 1))]
async fn step_resolves() -> Result<()> {
    assert_eq!("localhost:80".to_socket_addrs()?.count(), 0);
    Ok(())
}

#[windlass::step(retry(max_attempts = 1))]
async fn step_looks_around() -> Result<()> {
    look_around();
    Ok(())
}

#[windlass::step(retry(max_attempts = 1))]
async fn step_aborts() -> Result<()> {
    std::process::abort()
}

#[windlass::step(retry(max_attempts = 1))]
async fn step_panics() -> Result<()> {
    panic!("on purpose")
}

#[windlass::step(retry(max_attempts = 1))]
async fn step_boasts() -> Result<String> {
    Ok("x".repeat(1_100_000))
}

#[windlass::step(retry(max_attempts = 1))]
async fn step_exits() -> Result<()> {
    std::process::exit(3)
}

#[windlass::step(retry(max_attempts = 1))]
async fn step_fails_badly() -> Result<()> {
    Err(Failure::new("not a code", "it has spaces").fatal())
}

windlass::export!();
