//! Machine code on this host's own disk, so that a host that starts again need not compile again.
//!
//! Whoever can write machine code into a process owns the process, so nothing is loaded that this host did not write
//! itself: each file carries an HMAC under a key that never leaves the folder. What is missing, cut, changed, or made by
//! another version or for another machine is compiled again. Never shared, never in the database.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::TryRng as _;
use sha2::Sha256;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::engine::compatibility;
use super::machine_code::deserialize;
use crate::model::Digest;

/// A folder of compiled components.
#[derive(Debug)]
pub struct CodeCache {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
}

const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 32;

/// Bytes of all files together; the oldest go first.
const BYTES_MAX: u64 = 2 << 30;

impl CodeCache {
    /// Use a folder; it is made, and closed to others.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        let cache = Self { folder: folder.to_owned(), key: key(&folder.join("key"))? };
        cache.prune()?;
        Ok(cache)
    }

    /// The machine code of a component for an engine, if it is there and is ours.
    pub(super) fn load(&self, engine: &Engine, digest: Digest) -> Option<Component> {
        let name = name(engine, digest);
        let bytes = fs::read(self.folder.join(&name)).ok()?;
        let Some(code) = self.verified(&name, &bytes) else {
            tracing::warn!(component.digest = %digest, "cached machine code is not as this host wrote it: compiled again");
            return None;
        };
        deserialize(engine, code).ok()
    }

    /// What is behind the HMAC of a file of this name, if this host wrote it.
    pub fn verified<'a>(&self, name: &str, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (mac, code) = bytes.split_first_chunk::<MAC_BYTES>()?;
        self.mac(name, code).verify_slice(mac).ok().map(|()| code)
    }

    /// Keep the machine code of a component for an engine.
    pub(super) fn store(&self, engine: &Engine, digest: Digest, code: &[u8]) -> io::Result<()> {
        let name = name(engine, digest);
        let mac = self.mac(&name, code).finalize().into_bytes();
        // Whoever reads it sees it whole or not at all.
        let unfinished = self.folder.join(format!("{name}.{}", std::process::id()));
        let mut file = File::create(&unfinished)?;
        file.write_all(&mac)?;
        file.write_all(code)?;
        fs::rename(&unfinished, self.folder.join(name))
    }

    fn mac(&self, name: &str, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(name.as_bytes());
        mac.update(&code.len().to_be_bytes());
        mac.update(code);
        mac
    }

    fn prune(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if entry.file_name() != "key" {
                files.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len(), entry.path()));
            }
        }
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in files {
            if bytes <= BYTES_MAX {
                break;
            }
            fs::remove_file(path)?;
            bytes -= length;
        }
        Ok(())
    }
}

/// Read the key, or make one. Two hosts that start at once agree on the one that was first.
fn key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            rand::rngs::SysRng.try_fill_bytes(&mut key).map_err(io::Error::other)?;
            file.write_all(&key)?;
            Ok(key)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            File::open(path)?.read_exact(&mut key)?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}

/// Of a file: the component, the version of wasmtime, and everything about the engine that the machine code depends on.
fn name(engine: &Engine, digest: Digest) -> String {
    format!("{}-{:016x}", digest.hex(), compatibility(engine))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Engines, Limits};

    #[test]
    fn only_what_this_host_wrote_is_loaded() {
        let folder = std::env::temp_dir().join(format!("windlass-cache-{}", std::process::id()));
        let engines = Engines::new(&Limits { workflow_instances: 1, step_instances: 1, ..Limits::default() }).unwrap();
        let bytes = b"\0asm\x0d\0\x01\0";
        let digest = Digest::of(bytes);
        let code = engines.workflow.precompile_component(bytes).unwrap();
        let cache = CodeCache::open(&folder).unwrap();
        assert!(cache.load(&engines.workflow, digest).is_none(), "nothing is there yet");
        cache.store(&engines.workflow, digest, &code).unwrap();
        let again = CodeCache::open(&folder).unwrap();
        assert!(again.load(&engines.workflow, digest).is_some());
        assert!(again.load(&engines.step, digest).is_none(), "that is another engine");
        assert!(again.load(&engines.workflow, Digest::of(b"")).is_none(), "that is another component");

        let path = folder.join(name(&engines.workflow, digest));
        let whole = fs::read(&path).unwrap();
        for place in [0, MAC_BYTES, whole.len() / 2, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            fs::write(&path, changed).unwrap();
            assert!(again.load(&engines.workflow, digest).is_none(), "changed at {place}");
        }
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(again.load(&engines.workflow, digest).is_none(), "cut");
        fs::write(&path, &whole).unwrap();
        assert!(again.load(&engines.workflow, digest).is_some());
        fs::write(folder.join("key"), [0; KEY_BYTES]).unwrap();
        assert!(CodeCache::open(&folder).unwrap().load(&engines.workflow, digest).is_none(), "another key");
        fs::remove_dir_all(&folder).unwrap();
    }
}
