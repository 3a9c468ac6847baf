//! A proxy between a host and its database, which knows when something is committed and can do something about it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UnixStream, tcp};

use super::database::Database;

/// When something is done about a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the database hears of it.
    Before,
    /// After the database has committed it, before the host hears of that.
    After,
}

/// What is done about the n-th commit.
type Action = Box<dyn FnOnce() + Send>;

/// The functions that change something about runs. The last two are also called when there is nothing to do, which only
/// their answers tell.
const WRITERS: [&str; 34] = [
    "start_runs",
    "signal_with_start",
    "commit_batch",
    "send_signal",
    "send_update",
    "request_cancel",
    "terminate_run",
    "rewind_run",
    "fork_run",
    "pause_run",
    "resume_run",
    "retry_run",
    "migrate_run",
    "use_version",
    "deprecate_version",
    "delete_version",
    "pause_workflow",
    "resume_workflow",
    "set_concurrency",
    "set_rate_limit",
    "unset_rate_limit",
    "put_schedule",
    "pause_schedule",
    "resume_schedule",
    "delete_schedule",
    "fire_schedule",
    "fire_queued",
    "trigger_schedule",
    "backfill_schedule",
    "archive_runs",
    "redate_archive",
    "drop_archive",
    "claim",
    "fire_timers",
];

/// A call under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// It commits.
    Commit,
    /// `claim`: it commits if it returns a row.
    Claim,
    /// `fire_timers`: it commits if the number that it returns is not 0.
    Fire,
}

/// A proxy on loopback.
pub struct Proxy {
    /// The same database, through the proxy.
    pub database: Database,
    plan: Arc<Plan>,
}

#[derive(Default)]
struct Plan {
    commits: AtomicU32,
    action: Mutex<Option<(u32, Moment, Action)>>,
}

impl Proxy {
    /// Between hosts and this database.
    pub async fn open(database: &Database) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (_, socket) = database.url.split_once("host=").expect("a socket");
        let socket = format!("{}/.s.PGSQL.5432", socket.replace("%2F", "/"));
        let plan = Arc::new(Plan::default());
        let shared = plan.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&socket).await.expect("the server");
                pass_on(client, server, shared.clone());
            }
        });
        let url = format!("postgres://windlass@127.0.0.1:{port}/postgres");
        Self { database: Database { url, schema: database.schema.clone() }, plan }
    }

    /// Do something about the `number`-th commit from now, 1 for the next.
    pub fn at_commit(&self, number: u32, moment: Moment, action: impl FnOnce() + Send + 'static) {
        self.plan.commits.store(0, Ordering::SeqCst);
        *self.plan.action.lock().expect("no panic") = Some((number, moment, Box::new(action)));
    }

    /// Whether that was done.
    pub fn is_done(&self) -> bool {
        self.plan.action.lock().expect("no panic").is_none()
    }
}

impl Plan {
    /// Another commit: what is to be done about it, if it is the one.
    fn count(&self, moment: Moment) -> Option<Action> {
        let mut planned = self.action.lock().expect("no panic");
        if planned.as_ref().is_none_or(|(_, planned, _)| *planned != moment) {
            return None;
        }
        let number = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
        let is_the_one = planned.as_ref().is_some_and(|(at, ..)| *at == number);
        if is_the_one { planned.take().map(|(.., action)| action) } else { None }
    }
}

fn pass_on(client: TcpStream, server: UnixStream, plan: Arc<Plan>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let call = Arc::new(Mutex::new(None));
    tokio::spawn(requests(from_client, to_server, plan.clone(), call.clone()));
    tokio::spawn(answers(from_server, to_client, plan, call));
}

type UnderWay = Arc<Mutex<Option<Call>>>;

/// What the host says: messages of a tag, a length and a body, but for the first.
async fn requests(mut client: tcp::OwnedReadHalf, mut server: OwnedWriteHalf, plan: Arc<Plan>, under_way: UnderWay) {
    let mut statements: HashMap<Vec<u8>, Option<Call>> = HashMap::new();
    let mut bound = None;
    let mut startup = true;
    loop {
        let mut tag = [0];
        if !startup && client.read_exact(&mut tag).await.is_err() {
            return;
        }
        let Ok(length) = client.read_i32().await else { return };
        let mut body = vec![0; usize::try_from(length).expect("a length") - 4];
        if client.read_exact(&mut body).await.is_err() {
            return;
        }
        // A request for TLS is answered with "no", and the startup message follows.
        let is_tls = startup && body == 80_877_103_i32.to_be_bytes();
        match tag[0] {
            b'P' => {
                let mut parts = body.splitn(3, |byte| *byte == 0);
                let (name, query) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                statements.insert(name.to_vec(), call(&String::from_utf8_lossy(query)));
            }
            b'B' => {
                let name = body.split(|byte| *byte == 0).nth(1).unwrap_or_default();
                bound = statements.get(name).copied().flatten();
            }
            b'E' => {
                *under_way.lock().expect("no panic") = bound;
                if bound == Some(Call::Commit)
                    && let Some(action) = plan.count(Moment::Before)
                {
                    return action();
                }
            }
            _ => {}
        }
        let mut message = Vec::with_capacity(body.len() + 5);
        if !startup {
            message.push(tag[0]);
        }
        message.extend(length.to_be_bytes());
        message.extend(body);
        startup = startup && is_tls;
        if server.write_all(&message).await.is_err() {
            return;
        }
    }
}

fn call(query: &str) -> Option<Call> {
    let writer = WRITERS.iter().find(|writer| query.contains(&format!("{writer}(")))?;
    Some(match *writer {
        "claim" => Call::Claim,
        "fire_timers" => Call::Fire,
        _ => Call::Commit,
    })
}

/// What the database says. The answer to a commit is held back until it is whole: then the commit is sure to be there.
async fn answers(mut server: OwnedReadHalf, mut client: tcp::OwnedWriteHalf, plan: Arc<Plan>, under_way: UnderWay) {
    let mut buffer = vec![0; 64 << 10];
    let mut held = Vec::new();
    loop {
        let Ok(count @ 1..) = server.read(&mut buffer).await else { return };
        held.extend_from_slice(&buffer[..count]);
        let call = *under_way.lock().expect("no panic");
        if let Some(call) = call {
            // ReadyForQuery, idle: the transaction is over.
            if !held.ends_with(b"Z\0\0\0\x05I") {
                continue;
            }
            *under_way.lock().expect("no panic") = None;
            if has_committed(call, &held)
                && let Some(action) = plan.count(Moment::After)
            {
                return action();
            }
        }
        if client.write_all(&std::mem::take(&mut held)).await.is_err() {
            return;
        }
    }
}

fn has_committed(call: Call, answer: &[u8]) -> bool {
    let mut rest = answer;
    let mut row: Option<&[u8]> = None;
    while let [tag, length @ ..] = rest {
        let Some((length, _)) = length.split_first_chunk::<4>() else { break };
        let length = usize::try_from(u32::from_be_bytes(*length)).expect("a length");
        if *tag == b'D' {
            row = rest.get(5..1 + length);
        }
        rest = rest.get(1 + length..).unwrap_or_default();
    }
    match call {
        Call::Commit => true,
        Call::Claim => row.is_some(),
        // Number of columns, length of the first, the first.
        Call::Fire => row.and_then(|row| row.get(6..10)).is_some_and(|fired| fired != [0; 4]),
    }
}
