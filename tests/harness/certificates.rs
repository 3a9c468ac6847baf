//! Certificates for tests, and an authority that signs them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// An authority that nobody trusts who is not told to.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    folder: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name.push(DnType::CommonName, format!("authority {number} of the tests"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signed").pem();
        let folder = std::env::temp_dir().join(format!("windlass-certificates-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("ca.pem"), &pem).expect("written");
        Self { issuer: Issuer::new(params, key), pem, folder }
    }

    /// Its own certificate, as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The file of its own certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Files with a certificate for a name or an address, and with its key.
    pub fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let files = (self.folder.join("certificate.pem"), self.folder.join("key.pem"));
        self.sign_into(name, &files.0, &files.1);
        files
    }

    /// The same, into files of one's own.
    pub fn sign_into(&self, name: &str, certificate: &Path, key: &Path) {
        let pair = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let signed = params.signed_by(&pair, &self.issuer).expect("signed");
        std::fs::write(certificate, signed.pem()).expect("written");
        std::fs::write(key, pair.serialize_pem()).expect("written");
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // What is left in a folder for temporary files harms nobody.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
