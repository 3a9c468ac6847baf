//! The folder of a host: one host at a time, and as root under an account that PostgreSQL accepts.

use std::fs::{self, File, Permissions, TryLockError};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};

use super::Error;

/// Held as long as the folder is used.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    account: Option<Account>,
    /// Freed by the system when the process ends, however it ends.
    _lock: File,
}

#[derive(Clone, Debug)]
struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

/// A socket's path has at most 107 bytes, and `/.s.PGSQL.5432` is part of it.
const SOCKET_FOLDER_MAX: usize = 90;

impl Folder {
    /// Make the folder if it is not there, and lock it.
    pub(super) fn open(root: &Path) -> Result<Self, Error> {
        fs::create_dir_all(root).map_err(Error::io(format!("create {}", root.display())))?;
        let root = root.canonicalize().map_err(Error::io(format!("find {}", root.display())))?;
        let path = root.join("lock");
        let lock = File::create(&path).map_err(Error::io(format!("create {}", path.display())))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse(root)),
            Err(TryLockError::Error(error)) => return Err(Error::io(format!("lock {}", path.display()))(error)),
        }
        let account = if rustix::process::geteuid().is_root() { Some(Account::find()?) } else { None };
        let folder = Self { root, account, _lock: lock };
        folder.own(&folder.root, 0o700)?;
        folder.check_reachable()?;
        Ok(folder)
    }

    /// Where the database is.
    pub(super) fn data(&self) -> PathBuf {
        self.root.join("postgres")
    }

    /// A file in the folder, or another folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Where the socket is: here, unless the path is too long for a socket.
    pub(super) fn socket(&self) -> Result<PathBuf, Error> {
        if self.root.as_os_str().len() <= SOCKET_FOLDER_MAX {
            return Ok(self.root.clone());
        }
        let hash = Sha256::digest(self.root.as_os_str().as_encoded_bytes());
        let name: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = std::env::temp_dir().join(format!("windlass-{name}"));
        fs::create_dir_all(&folder).map_err(Error::io(format!("create {}", folder.display())))?;
        self.own(&folder, 0o700)?;
        Ok(folder)
    }

    /// A command that runs under the account of the database and knows nothing of our environment.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", "/usr/bin:/bin")
            .current_dir(&self.root)
            .stdin(Stdio::null());
        if let Some(Account { uid, gid, .. }) = self.account {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn own(&self, path: &Path, mode: u32) -> Result<(), Error> {
        if let Some(Account { uid, gid, .. }) = self.account {
            chown(path, Some(uid), Some(gid)).map_err(Error::io(format!("change the owner of {}", path.display())))?;
        }
        let permissions = Permissions::from_mode(mode);
        fs::set_permissions(path, permissions).map_err(Error::io(format!("change the mode of {}", path.display())))
    }

    /// The account must be able to enter every folder on the way; `/root`, for one, it cannot.
    fn check_reachable(&self) -> Result<(), Error> {
        let Some(Account { name, uid, gid }) = &self.account else { return Ok(()) };
        for folder in self.root.ancestors().skip(1) {
            let metadata = fs::metadata(folder).map_err(Error::io(format!("look at {}", folder.display())))?;
            let bit = match () {
                () if metadata.uid() == *uid => 0o100,
                () if metadata.gid() == *gid => 0o010,
                () => 0o001,
            };
            if metadata.mode() & bit == 0 {
                return Err(Error::NotReachable { account: name.clone(), folder: folder.to_owned() });
            }
        }
        Ok(())
    }
}

impl Account {
    /// PostgreSQL does not run as root.
    fn find() -> Result<Self, Error> {
        let accounts = fs::read_to_string("/etc/passwd").map_err(Error::io("read /etc/passwd"))?;
        let account = |wanted: &str| {
            let line = accounts.lines().find(|line| line.split(':').next() == Some(wanted))?;
            let mut fields = line.split(':').skip(2);
            let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            Some(Self { name: wanted.to_owned(), uid, gid })
        };
        account("postgres").or_else(|| account("nobody")).ok_or(Error::NoAccount)
    }
}
