//! A database that is not on this machine, or seems not to be.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sqlx::{Connection as _, PgConnection};
use windlass_host::postgres::{Binaries, Server};
use windlass_host::store::{ConnectError, Store, connect_options};

use crate::harness::certificates::Authority;
use crate::harness::eventually;

/// A PostgreSQL server that speaks TLS over TCP, in a folder of its own.
struct TlsServer {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl TlsServer {
    fn start(authority: &Authority, name: &str) -> Self {
        let binaries = Binaries::find().expect("installed");
        let folder = std::env::temp_dir().join(format!("windlass-tls-{}", std::process::id()));
        // It makes the folder and the database, for the account that PostgreSQL runs under.
        drop(Server::start(&folder, &binaries).expect("a server"));
        let data = folder.join("postgres");
        let owner = fs::metadata(&data).expect("it is there");
        let (certificate, key) = (data.join("certificate.pem"), data.join("key.pem"));
        authority.sign_into(name, &certificate, &key);
        for file in [&certificate, &key] {
            fs::set_permissions(file, Permissions::from_mode(0o600)).expect("changed");
            chown(file, Some(owner.uid()), Some(owner.gid())).expect("changed");
        }
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let mut command = Command::new(binaries.program("postgres"));
        command.arg("-D").arg(&data).arg("-k").arg(&folder).args(["-p", &port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "ssl=on", "ssl_cert_file=certificate.pem", "ssl_key_file=key.pem"]
        {
            command.args(["-c", setting]);
        }
        command.current_dir(&data).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if rustix::process::geteuid().is_root() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        Self { child: command.spawn().expect("it starts"), folder, port }
    }

    /// 0.0.0.0 is this machine as well, and is not known to be.
    fn url(&self, parameters: &str) -> String {
        format!("postgres://windlass@0.0.0.0:{}/postgres{parameters}", self.port)
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        // It may have ended already, and what is left in a folder for temporary files harms nobody.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

async fn connect(url: String) -> Result<(), ConnectError> {
    let store = Store::connect(&url, "windlass").await?;
    store.ping().await.expect("an answer");
    store.close().await;
    Ok(())
}

fn root(authority: &Authority) -> String {
    format!("sslrootcert={}", Path::new(&authority.file()).display())
}

#[tokio::test]
async fn a_database_elsewhere_is_believed_only_if_it_shows_who_it_is() {
    // As `windlass` does for itself.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let (right, wrong) = (Authority::new(), Authority::new());
    let server = TlsServer::start(&right, "0.0.0.0");
    let trusted = server.url(&format!("?{}", root(&right)));
    eventually("the server is there", async || connect(trusted.clone()).await.ok()).await;

    let is_encrypted = async |url: String| {
        let options = connect_options(&url).expect("a URL");
        let mut session = PgConnection::connect_with(&options).await.expect("a session");
        let query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        sqlx::query_scalar::<_, bool>(query).fetch_one(&mut session).await.expect("one row")
    };
    assert!(is_encrypted(trusted.clone()).await);
    for (why, url) in [
        ("nobody is said to be trusted", server.url("")),
        ("another authority is", server.url(&format!("?{}", root(&wrong)))),
        ("it has another name", trusted.replace("0.0.0.0", "127.0.0.1") + "&sslmode=verify-full"),
    ] {
        let error = connect(url).await.expect_err(why);
        assert!(matches!(error, ConnectError::NotSafe(_)), "{why}: {error}");
        assert!(error.to_string().contains("sslrootcert=") && error.to_string().contains("sslmode="), "{error}");
    }
    assert!(is_encrypted(server.url("?sslmode=require")).await, "whoever it is");
    assert!(!is_encrypted(server.url("?sslmode=disable")).await);
    assert!(!is_encrypted(server.url("").replace("0.0.0.0", "127.0.0.1")).await, "that is this machine");
}
