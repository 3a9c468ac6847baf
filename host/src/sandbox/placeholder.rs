//! `{{secret:NAME}}`: what a guest writes where a secret is to stand.

use bytes::Bytes;
use http::Uri;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::refusal::{Problem, Refusal, Rule};
use super::{Vault, VaultError};
use crate::model::{Name, Namespace, Secret, Target};

/// How a placeholder begins. Nothing that holds it is sent as it is.
pub(super) const BEGINNING: &str = "{{secret:";
const END: &str = "}}";

/// The secrets of a namespace.
type Of<'a> = (&'a dyn Vault, &'a Namespace);

/// A header whose value holds secrets, as it is to be sent.
pub(super) struct Filled {
    name: HeaderName,
    /// Which of the values of this header.
    index: usize,
    value: Zeroizing<Vec<u8>>,
}

/// What becomes of the placeholders of a request.
#[derive(Default)]
pub(super) struct Filling {
    headers: Vec<Filled>,
    /// Each once: what is looked for in the response.
    pub(super) secrets: Vec<Secret>,
}

impl Filling {
    /// Look up the secrets that a request's headers name, and whether each may go there. Nothing is put in yet.
    pub(super) async fn prepare(headers: &HeaderMap, target: &Target, vault: Of<'_>) -> Result<Self, Problem> {
        let mut filling = Self::default();
        for name in headers.keys() {
            for (index, value) in headers.get_all(name).iter().enumerate() {
                if find(value.as_bytes(), BEGINNING.as_bytes()).is_none() {
                    continue;
                }
                let value = filling.fill(name, value, target, vault).await?;
                filling.headers.push(Filled { name: name.clone(), index, value });
            }
        }
        Ok(filling)
    }

    async fn fill(
        &mut self,
        header: &HeaderName,
        value: &HeaderValue,
        target: &Target,
        vault: Of<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, Problem> {
        // Large enough from the beginning: a vector that grows leaves copies behind.
        let mut filled = Zeroizing::new(Vec::with_capacity(value.len() + 4 * 4_096));
        let mut rest = value.as_bytes();
        while let Some(at) = find(rest, BEGINNING.as_bytes()) {
            filled.extend_from_slice(&rest[..at]);
            rest = &rest[at + BEGINNING.len()..];
            let end = find(rest, END.as_bytes()).ok_or_else(|| malformed(header))?;
            let name = std::str::from_utf8(&rest[..end]).ok().and_then(|name| Name::new(name).ok());
            let name = name.ok_or_else(|| malformed(header))?;
            rest = &rest[end + END.len()..];
            let secret = self.look_up(&name, vault).await?;
            if !secret.binding.allows(target, header.as_str()) {
                return Err(not_here(&secret, target, header).into());
            }
            filled.extend_from_slice(secret.value.reveal());
        }
        filled.extend_from_slice(rest);
        Ok(filled)
    }

    async fn look_up(&mut self, name: &Name, (vault, namespace): Of<'_>) -> Result<Secret, Problem> {
        if let Some(secret) = self.secrets.iter().find(|secret| secret.name == *name) {
            return Ok(secret.clone());
        }
        let secret = vault.secret(namespace, name).await.map_err(|error| match error {
            VaultError::Locked(_) => Problem::from(Refusal::new(Rule::Secret, error.to_string())),
            VaultError::Unavailable => Problem::from(wasmtime_wasi_http::Error::InternalError(Some(error.to_string()))),
        })?;
        let secret = secret.ok_or_else(|| {
            let message =
                format!("there is no secret `{name}` in the namespace; `windlass secret set {name}` makes one");
            Refusal::new(Rule::Secret, message)
        })?;
        self.secrets.push(secret.clone());
        Ok(secret)
    }

    /// Put the values in. The last thing that happens to a request.
    pub(super) fn put_into(self, headers: &mut HeaderMap) -> Vec<Secret> {
        for Filled { name, index, value } in self.headers {
            // Shares the memory that is cleared when it is dropped. What the host put together out of checked pieces is a value.
            let Ok(mut filled) = HeaderValue::from_maybe_shared(Bytes::from_owner(Shared(value))) else { continue };
            filled.set_sensitive(true);
            if let http::header::Entry::Occupied(mut entry) = headers.entry(name)
                && let Some(place) = entry.iter_mut().nth(index)
            {
                *place = filled;
            }
        }
        self.secrets
    }
}

struct Shared(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn malformed(header: &HeaderName) -> Refusal {
    let message =
        format!("the header `{header}` holds the beginning of a placeholder; a whole one is {BEGINNING}NAME{END}");
    Refusal::new(Rule::Secret, message)
}

fn not_here(secret: &Secret, target: &Target, header: &HeaderName) -> Refusal {
    let (name, binding) = (&secret.name, &secret.binding);
    let places: Vec<_> = binding.targets.iter().map(|target| format!("`{target}`")).collect();
    let message = format!(
        "the secret `{name}` may not be sent to `{target}` in the header `{header}`: it is bound to the header `{}` of requests \
         to {}. Nothing was sent",
        binding.header,
        places.join(", ")
    );
    Refusal::new(Rule::Secret, message)
}

/// Whether a placeholder stands in a URL, escaped or not.
pub(super) fn is_in_url(uri: &Uri) -> bool {
    let Some(text) = uri.path_and_query().map(|path| path.as_str().to_ascii_lowercase()) else { return false };
    // Escaped once more for each that reads it.
    let plain = text.replace("%25", "%").replace("%7b", "{").replace("%3a", ":");
    [text, plain].iter().any(|text| text.contains(BEGINNING))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SecretBinding, SecretValue};
    use crate::sandbox::Opening;

    struct One;

    impl Vault for One {
        fn secret<'a>(&'a self, _namespace: &'a Namespace, name: &'a Name) -> Opening<'a> {
            let targets = vec!["https://api.example.com".parse().unwrap()];
            let secret = Secret {
                name: name.clone(),
                binding: SecretBinding::new(targets, "authorization").unwrap(),
                value: SecretValue::new(Zeroizing::new(b"sk_live_0123".to_vec())).unwrap(),
            };
            Box::pin(async move {
                match &**name {
                    "stripe" => Ok(Some(secret)),
                    "locked" => Err(VaultError::Locked("no key".into())),
                    _ => Ok(None),
                }
            })
        }
    }

    async fn filled(target: &str, header: &'static str, value: &'static str) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        headers.append(header, HeaderValue::from_static("first"));
        headers.append(header, HeaderValue::from_static(value));
        let filling = Filling::prepare(&headers, &target.parse().unwrap(), (&One, &Namespace::new("n").unwrap())).await;
        let filling = filling.map_err(|problem| match problem {
            Problem::Refused(refusal) => refusal.rule.code(),
            Problem::Failed(_) => "failed",
        })?;
        filling.put_into(&mut headers);
        let values: Vec<_> = headers.get_all(header).iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(values[0], "first");
        Ok(values[1].to_owned())
    }

    #[tokio::test]
    async fn a_placeholder_becomes_the_value_where_it_may() {
        let bearer = filled("https://api.example.com", "authorization", "Bearer {{secret:stripe}}!").await;
        assert_eq!(bearer.as_deref(), Ok("Bearer sk_live_0123!"));
        let twice = filled("https://api.example.com", "authorization", "{{secret:stripe}} {{secret:stripe}}").await;
        assert_eq!(twice.as_deref(), Ok("sk_live_0123 sk_live_0123"));
        assert_eq!(
            filled("https://other.example", "x-plain", "{{not a secret}}").await.as_deref(),
            Ok("{{not a secret}}")
        );
    }

    #[tokio::test]
    async fn anywhere_else_it_is_refused() {
        for (target, header, value) in [
            ("https://api.example.com", "x-api-key", "{{secret:stripe}}"),
            ("https://evil.example", "authorization", "{{secret:stripe}}"),
            ("http://api.example.com", "authorization", "{{secret:stripe}}"),
            ("https://api.example.com:8443", "authorization", "{{secret:stripe}}"),
            ("https://api.example.com", "authorization", "{{secret:unknown}}"),
            ("https://api.example.com", "authorization", "{{secret:locked}}"),
            ("https://api.example.com", "authorization", "{{secret:stripe"),
            ("https://api.example.com", "authorization", "{{secret:}}"),
            ("https://api.example.com", "authorization", "{{secret:a b}}"),
        ] {
            assert_eq!(filled(target, header, value).await, Err("secret-denied"), "{target} {header} {value}");
        }
    }

    #[test]
    fn a_placeholder_in_a_url_is_seen() {
        for bad in
            ["/?key={{secret:stripe}}", "/%7b%7Bsecret:x", "/%7B%7Bsecret%3Ax", "/%257b%257bsecret:x", "/{{SECRET:x"]
        {
            assert!(is_in_url(&bad.parse().unwrap()), "{bad}");
        }
        for fine in ["/", "/?q={x}", "/secret:x", "/%7b%7bx"] {
            assert!(!is_in_url(&fine.parse().unwrap()), "{fine}");
        }
    }
}
