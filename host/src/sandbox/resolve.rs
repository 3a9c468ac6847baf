//! Looking up names: once for a request, and what comes back is checked before anything is connected to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use wasmtime_wasi_http::Error;

use super::address::special;
use super::refusal::{Problem, Refusal, Rule};
use crate::model::{Target, TargetHost};

/// What a lookup comes to.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Looks up names.
pub trait Resolve: Send + Sync {
    /// All addresses of a name, in the order in which they are to be tried.
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a>;
}

/// As the system does it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Addresses that are tried, at most.
const ADDRESSES_MAX: usize = 8;

/// Where a request that was granted may be sent: to exactly these, without another lookup. One address that is not public
/// spoils all of them: a service of the public has none, and an attacker mixes them in.
pub(super) async fn addresses(resolver: &dyn Resolve, target: &Target) -> Result<Vec<SocketAddr>, Problem> {
    let name = match &target.host {
        // Only a grant of this very address can have led here.
        TargetHost::Address(address) => return Ok(vec![SocketAddr::new(*address, target.port)]),
        TargetHost::Name(name) => name,
    };
    let found = resolver.resolve(name).await.map_err(Error::Connect)?;
    if let Some((address, special)) = found.iter().find_map(|address| Some((address, special(*address)?))) {
        let message = format!(
            "`{name}` leads to {address}, {}; names are followed to public addresses only, and an address that is not public \
             can only be granted, and asked for, by itself",
            special.as_str()
        );
        return Err(Refusal::new(Rule::AddressBlocked, message).into());
    }
    if found.is_empty() {
        return Err(Error::DnsError { rcode: Some("no address".into()), info_code: None }.into());
    }
    Ok(found.into_iter().take(ADDRESSES_MAX).map(|address| SocketAddr::new(address, target.port)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives the same answers to everything.
    struct Always(&'static [&'static str]);

    impl Resolve for Always {
        fn resolve<'a>(&'a self, _name: &'a str) -> Resolving<'a> {
            Box::pin(async { Ok(self.0.iter().map(|address| address.parse().unwrap()).collect()) })
        }
    }

    async fn resolved(answers: &'static [&'static str]) -> Result<usize, &'static str> {
        let target: Target = "https://api.example.com".parse().unwrap();
        match addresses(&Always(answers), &target).await {
            Ok(addresses) => Ok(addresses.len()),
            Err(Problem::Refused(refusal)) => Err(refusal.rule.code()),
            Err(Problem::Failed(_)) => Err("failed"),
        }
    }

    #[tokio::test]
    async fn one_answer_that_is_not_public_spoils_all() {
        assert_eq!(resolved(&["1.1.1.1", "2606:4700::1111"]).await, Ok(2));
        assert_eq!(resolved(&["1.1.1.1", "10.0.0.1"]).await, Err("http-address-blocked"));
        assert_eq!(resolved(&["::ffff:169.254.169.254"]).await, Err("http-address-blocked"));
        assert_eq!(
            resolved(&["1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4", "9.9.9.9", "::1"]).await,
            Err("http-address-blocked")
        );
        assert_eq!(resolved(&[]).await, Err("failed"));
    }

    #[tokio::test]
    async fn an_address_is_not_looked_up() {
        let target: Target = "http://127.0.0.1:8080".parse().unwrap();
        let found = addresses(&Always(&["8.8.8.8"]), &target).await;
        assert_eq!(found.ok(), Some(vec!["127.0.0.1:8080".parse().unwrap()]));
    }
}
