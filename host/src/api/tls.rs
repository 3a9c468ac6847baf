//! The certificate of the API, which may change while the host serves.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, ServerConfig};

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file.
    #[error("{path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is in it.
    #[error("{path} is not what it should be, a PEM file with {what}: {source}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
        /// What is wrong.
        source: pem::Error,
    },
    /// Both, together.
    #[error("the certificate in {certificate} and the key in {key} cannot be used together: {source}")]
    Pair {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// A certificate and its key, from files.
pub struct Certificate {
    files: Files,
    acceptor: TlsAcceptor,
    shown: Arc<Shown>,
    last: Mutex<Option<Contents>>,
}

#[derive(Clone, Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What they held when they were last read.
type Contents = (Vec<u8>, Vec<u8>);

/// What new connections are shown. Those that are there keep what they have seen.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Certificate {
    /// Read a certificate, with those that lead to its root, and its key; both are PEM files.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned() };
        let provider = Arc::new(ring::default_provider());
        let contents = files.read()?;
        let shown = Arc::new(Shown(RwLock::new(Arc::new(files.certified(&contents, &provider)?))));
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .expect("the provider knows both versions");
        let mut config = config.with_no_client_auth().with_cert_resolver(shown.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { files, acceptor: TlsAcceptor::from(Arc::new(config)), shown, last: Mutex::new(Some(contents)) })
    }

    /// What does the handshake of a connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Look whether the files have changed; new connections are then shown what they hold now. What cannot be used changes
    /// nothing: a key may be written a moment after its certificate.
    pub async fn read_again(&self) {
        let files = self.files.clone();
        let read = tokio::task::spawn_blocking(move || files.read()).await;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(Ok(contents)) if last.as_ref() == Some(&contents) => {}
            Ok(Ok(contents)) => {
                match self.files.certified(&contents, &ring::default_provider()) {
                    Ok(certified) => {
                        *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
                        tracing::info!("new connections are shown the new certificate");
                    }
                    Err(error) => tracing::warn!(%error, "the certificate has changed, and the old one stays in use"),
                }
                *last = Some(contents);
            }
            Ok(Err(error)) => {
                // Said once.
                if last.take().is_some() {
                    tracing::warn!(%error, "the certificate cannot be read again; the old one stays in use");
                }
            }
            Err(panic) => tracing::error!(%panic, "the certificate could not be read again"),
        }
    }
}

impl Files {
    fn read(&self) -> Result<Contents, CertificateError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| CertificateError::Read { path: path.clone(), source })
        };
        Ok((read(&self.certificate)?, read(&self.key)?))
    }

    fn certified(&self, contents: &Contents, provider: &CryptoProvider) -> Result<CertifiedKey, CertificateError> {
        let content = |path: &PathBuf, what| {
            let path = path.clone();
            move |source| CertificateError::Content { path, what, source }
        };
        let chain = CertificateDer::pem_slice_iter(&contents.0).collect::<Result<Vec<_>, _>>();
        let chain = chain.and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) });
        let chain = chain.map_err(content(&self.certificate, "certificates"))?;
        let key = PrivateKeyDer::from_pem_slice(&contents.1).map_err(content(&self.key, "a private key"))?;
        CertifiedKey::from_der(chain, key, provider).map_err(|source| CertificateError::Pair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        })
    }
}
