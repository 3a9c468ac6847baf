//! How requests come in: TLS, and how many at once.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::api::{ApiLimits, Certificate, Rate};

#[derive(Args, Debug)]
#[command(next_help_heading = "Requests")]
pub(super) struct EntranceOptions {
    /// The certificate of the API, with those that lead to its root, as a PEM file. Read again when it changes, and at SIGHUP
    #[arg(long, env = "WINDLASS_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key, as a PEM file
    #[arg(long, env = "WINDLASS_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Listen without TLS where others can reach it: for a proxy in front that has it
    #[arg(long, env = "WINDLASS_INSECURE_PLAINTEXT", conflicts_with = "tls_cert")]
    insecure_plaintext: bool,
    /// Connections at once
    #[arg(long, env = "WINDLASS_CONNECTIONS", value_name = "COUNT", default_value_t = nonzero(ApiLimits::CONNECTIONS_DEFAULT))]
    connections: NonZeroUsize,
    /// Requests in work at once that do not wait for a run; more are refused with `overloaded`
    #[arg(long, env = "WINDLASS_REQUESTS", value_name = "COUNT", default_value_t = nonzero(ApiLimits::REQUESTS_DEFAULT))]
    requests: NonZeroUsize,
    /// Requests at once that wait for a run or follow it
    #[arg(long, env = "WINDLASS_WAITING_REQUESTS", value_name = "COUNT", default_value_t = nonzero(ApiLimits::WAITING_DEFAULT))]
    waiting_requests: NonZeroUsize,
    /// Requests a second for each namespace; more are refused with `rate-limited`. 0 is no limit
    #[arg(long, env = "WINDLASS_RATE_LIMIT", value_name = "PER-SECOND", default_value_t = ApiLimits::RATE_DEFAULT)]
    rate_limit: u32,
    /// Requests at once for each namespace after a time without any [default: twice those of a second]
    #[arg(long, env = "WINDLASS_RATE_BURST", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    rate_burst: Option<u32>,
    /// Requests a second for each API key, and for each address that has shown none; more are refused with `rate-limited`. 0 is no limit
    #[arg(long, env = "WINDLASS_KEY_RATE_LIMIT", value_name = "PER-SECOND", default_value_t = ApiLimits::RATE_DEFAULT)]
    key_rate_limit: u32,
    /// Requests at once for each of them after a time without any [default: twice those of a second]
    #[arg(long, env = "WINDLASS_KEY_RATE_BURST", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    key_rate_burst: Option<u32>,
}

fn nonzero(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN)
}

impl EntranceOptions {
    /// Whatever is said to the API and by it, anybody on the way could read it.
    pub(super) fn check(&self, listen: SocketAddr) -> anyhow::Result<()> {
        if listen.ip().is_loopback() || self.tls_cert.is_some() || self.insecure_plaintext {
            return Ok(());
        }
        bail!(
            "{} is no loopback address, and without TLS anybody on the way could read and change what is said; give the API \
             a certificate with --tls-cert and --tls-key, or, if a proxy in front of it has one, say --insecure-plaintext",
            listen.ip()
        );
    }

    pub(super) fn certificate(&self) -> anyhow::Result<Option<Arc<Certificate>>> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let certificate = Certificate::open(certificate, key).context("the API has no certificate to show")?;
        Ok(Some(Arc::new(certificate)))
    }

    pub(super) fn limits(&self) -> ApiLimits {
        ApiLimits {
            connections: self.connections.get(),
            requests: self.requests.get(),
            waiting: self.waiting_requests.get(),
            rate: Rate::new(self.rate_limit, self.rate_burst),
            caller_rate: Rate::new(self.key_rate_limit, self.key_rate_burst),
            ..ApiLimits::default()
        }
    }
}
