//! Starting and stopping the server.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, test_kill_process};

use super::folder::Folder;
use super::{Binaries, Error};

/// A server that runs until this is dropped, or until the process ends, whichever way.
#[derive(Debug)]
pub struct Server {
    /// A shell that runs the server and stops it when its own standard input ends.
    keeper: Child,
    socket: PathBuf,
    folder: Folder,
}

/// The system closes our end of the pipe when this process is gone, even by SIGKILL: the keeper then asks the server for a
/// fast shutdown. (A death signal of the parent exists on Linux only, and goes by thread.)
const KEEPER: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
( read -r _ <&3; kill -INT "$server" 2>/dev/null ) &
watcher=$!
exec 3<&-
wait "$server"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"#;

/// Longer than a server needs to stop that has much to write.
const STOP_MAX: Duration = Duration::from_secs(30);

/// Longer than a server needs to start that has much to recover.
const START_MAX: Duration = Duration::from_secs(120);

const USER: &str = "windlass";
const PORT: &str = "5432";

impl Server {
    /// Start the server of a folder; the first time, make its database. Blocks the thread.
    pub fn start(root: &Path, binaries: &Binaries) -> Result<Self, Error> {
        let folder = Folder::open(root)?;
        wait_for_predecessor(&folder)?;
        if folder.data().join("PG_VERSION").exists() {
            check_version(&folder, binaries)?;
        } else {
            init(&folder, binaries)?;
        }
        let socket = folder.socket()?;
        let keeper = spawn(&folder, binaries, &socket)?;
        let mut server = Self { keeper, socket, folder };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// How to connect to it.
    pub fn url(&self) -> String {
        let socket: String = self.socket.to_string_lossy().bytes().map(percent_encode).collect();
        format!("postgres://{USER}@localhost:{PORT}/postgres?host={socket}")
    }

    fn wait_until_ready(&mut self) -> Result<(), Error> {
        let begun = Instant::now();
        let pid_file = self.folder.data().join("postmaster.pid");
        loop {
            // Line 8 is the server's own word for how far it is.
            let status = fs::read_to_string(&pid_file).ok();
            if status.as_deref().and_then(|text| text.lines().nth(7)).is_some_and(|line| line.trim() == "ready") {
                return Ok(());
            }
            if let Some(status) = self.keeper.try_wait().map_err(Error::io("wait for PostgreSQL"))? {
                return Err(Error::Failed(format!("it ended with {status}: {}", self.last_words())));
            }
            if begun.elapsed() > START_MAX {
                return Err(Error::Failed(format!("it is not ready after {START_MAX:?}: {}", self.last_words())));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.path("postgres.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // The keeper ends when the server has.
        if let Err(error) = self.keeper.wait() {
            tracing::warn!(%error, "PostgreSQL was told to stop, and cannot be waited for");
        }
    }
}

/// A host that was killed leaves a server that is just shutting down.
fn wait_for_predecessor(folder: &Folder) -> Result<(), Error> {
    let begun = Instant::now();
    let pid_file = folder.data().join("postmaster.pid");
    loop {
        let Ok(text) = fs::read_to_string(&pid_file) else { return Ok(()) };
        let pid = text.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|pid| is_server(*pid)) else {
            // Left behind by a server that was killed. It would be taken for the new one's.
            return fs::remove_file(&pid_file).map_err(Error::io(format!("remove {}", pid_file.display())));
        };
        if begun.elapsed() > STOP_MAX {
            return Err(Error::StillRunning { pid: pid.as_raw_nonzero().get(), folder: folder.data() });
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Whether the process is there, and is not another one that has got its number.
fn is_server(pid: Pid) -> bool {
    let lives = !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH));
    let name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
    lives && name.map_or(true, |name| name.trim() == "postgres")
}

fn check_version(folder: &Folder, binaries: &Binaries) -> Result<(), Error> {
    let path = folder.data().join("PG_VERSION");
    let data = fs::read_to_string(&path).map_err(Error::io(format!("read {}", path.display())))?.trim().to_owned();
    let binaries = binaries.version()?;
    if binaries.contains(&format!(" {data}.")) {
        return Ok(());
    }
    Err(Error::OtherVersion { folder: folder.data(), data, binaries })
}

/// In a folder beside, which then takes its place: one that is interrupted leaves nothing that looks whole.
fn init(folder: &Folder, binaries: &Binaries) -> Result<(), Error> {
    let unfinished = folder.path("postgres.new");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(Error::io(format!("remove {}", unfinished.display())))?;
    }
    let mut initdb = folder.command(&binaries.program("initdb"));
    initdb.arg("-D").arg(&unfinished).args([
        "-U",
        USER,
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-instructions",
    ]);
    let output = initdb.output().map_err(Error::io("run initdb"))?;
    if !output.status.success() {
        return Err(Error::Failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    fs::rename(&unfinished, folder.data()).map_err(Error::io(format!("rename {}", unfinished.display())))
}

fn spawn(folder: &Folder, binaries: &Binaries, socket: &Path) -> Result<Child, Error> {
    let path = folder.path("postgres.log");
    let log = File::create(&path).map_err(Error::io(format!("create {}", path.display())))?;
    let errors = log.try_clone().map_err(Error::io(format!("open {}", path.display())))?;
    let mut keeper = folder.command(Path::new("/bin/sh"));
    keeper.args(["-c", KEEPER, "windlass-postgres"]).arg(binaries.program("postgres"));
    keeper.arg("-D").arg(folder.data()).arg("-k").arg(socket).args(["-p", PORT]);
    for setting in ["listen_addresses=", "shared_buffers=128MB", "max_connections=400", "autovacuum_naptime=10s"] {
        keeper.args(["-c", setting]);
    }
    // A group of its own: Ctrl-C is for us, and we stop it in order.
    keeper.stdin(Stdio::piped()).stdout(log).stderr(errors).process_group(0);
    keeper.spawn().map_err(Error::io("run PostgreSQL"))
}

fn percent_encode(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}
