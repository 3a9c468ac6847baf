//! Where the loads run: a database server, and hosts that are processes of their own, so that they can be killed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::{env, fs};

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::client::Client;
use super::database::Database;
use super::error::{BenchError, Result};
use crate::postgres::{Binaries, Server};

/// A database, and what is to be deployed.
pub(super) struct Stage {
    url: String,
    pub(super) component: Vec<u8>,
    // In the order in which they have to go: the session, the server, its folder.
    pub(super) database: Database,
    _server: Option<Server>,
    folder: Folder,
}

/// Removed when it is dropped.
struct Folder(PathBuf);

/// The schema of the loads in the database.
pub(super) const SCHEMA: &str = "windlass_bench";

/// 32 bytes, which are nobody's secret: what is sealed here is thrown away.
const MASTER_KEY: &str = "d2luZGxhc3MgYmVuY2ggbWFzdGVyIGtleSwgMzIgYiE=";

/// A host that serves.
pub(super) struct HostProcess {
    child: Child,
    pub(super) address: SocketAddr,
}

/// What a host prints when it serves.
#[derive(Deserialize)]
struct Serving {
    api: String,
}

impl Stage {
    /// On the database of that URL, or on a server of its own in a new folder in `root`.
    pub(super) async fn build(database_url: Option<&str>, root: &Path, component: Vec<u8>) -> Result<Self> {
        let folder = Folder(root.join(format!("windlass-bench-{}", std::process::id())));
        fs::create_dir_all(&folder.0).map_err(BenchError::io("create a folder for the benchmark"))?;
        let (url, server) = match database_url {
            Some(url) => (url.to_owned(), None),
            None => {
                let path = folder.0.join("data");
                let start = move || Server::start(&path, &Binaries::find()?);
                let server = tokio::task::spawn_blocking(start).await.expect("starting a server does not panic")?;
                (server.url(), Some(server))
            }
        };
        let database = Database::prepare(&url, SCHEMA).await?;
        Ok(Self { url, folder, component, database, _server: server })
    }

    /// A host with nothing to do, that knows the loads.
    pub(super) async fn host(&self) -> Result<HostProcess> {
        let program = env::current_exe().map_err(BenchError::io("find this program"))?;
        let log = fs::File::options().create(true).append(true).open(self.folder.0.join("host.log"));
        let mut command = Command::new(program);
        // What is measured is what runs cost: who asks for them, one look into a cache tells.
        command.args(["serve", "--insecure-no-auth", "--json", "--listen", "127.0.0.1:0", "--schema", SCHEMA]);
        command.arg("--cache-dir").arg(self.folder.0.join("cache")).env("DATABASE_URL", &self.url);
        command.env("WINDLASS_MASTER_KEY", MASTER_KEY).env_remove("WINDLASS_MASTER_KEY_FILE");
        command.env("WINDLASS_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(log.map_err(BenchError::io("write a log"))?).kill_on_drop(true);
        let mut child = command.spawn().map_err(BenchError::io("start a host"))?;
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = lines.next_line().await.map_err(BenchError::io("read what a host prints"))?.unwrap_or_default();
        let address = serde_json::from_str::<Serving>(&line).ok();
        let address = address.and_then(|serving| serving.api.strip_prefix("http://")?.parse().ok());
        let Some(address) = address else { return Err(BenchError::Host(self.last_words())) };
        let host = HostProcess { child, address };
        self.deploy(&host).await?;
        Ok(host)
    }

    async fn deploy(&self, host: &HostProcess) -> Result<()> {
        let mut client = host.client().await?;
        let path = "/v1/namespaces/default/components?grant_http=127.0.0.1:*";
        client.request("POST", path, self.component.clone()).await?;
        Ok(())
    }

    /// How hosts are reached that this program is itself.
    pub(super) fn database_url(&self) -> &str {
        &self.url
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.0.join("host.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(5).collect();
        format!("it did not start: {}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }
}

impl HostProcess {
    pub(super) async fn client(&self) -> Result<Client> {
        Client::connect(self.address).await
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// SIGKILL.
    pub(super) async fn kill(mut self) -> Result<()> {
        self.child.kill().await.map_err(BenchError::io("kill a host"))
    }

    /// Stop it in good order.
    pub(super) async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed())) {
            let terminate = rustix::process::Signal::TERM;
            rustix::process::kill_process(pid, terminate)
                .map_err(|error| BenchError::Io { what: "stop a host", source: error.into() })?;
        }
        self.child.wait().await.map_err(BenchError::io("wait for a host"))?;
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in a folder for temporary files harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}
