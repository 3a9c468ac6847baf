//! `windlass grant`, `windlass grants`, `windlass revoke-grant`

use clap::Args;
use reqwest::Method;

use super::client::Client;
use super::{Done, output};
use crate::api::Grants;
use crate::model::{HttpGrant, Name};

/// What a grant is, in the words of the command line.
#[derive(Args, Debug)]
pub(super) struct Change {
    /// The component
    component: Name,
    /// HOST, HOST:PORT or HOST:*; or narrower: 'GET,POST api.example.com/v1/*'
    #[arg(long, value_name = "GRANT", required = true)]
    http: Vec<HttpGrant>,
}

#[derive(Args, Debug)]
pub(super) struct Show {
    /// The component
    component: Name,
}

impl Change {
    pub(super) async fn grant(self, client: &Client) -> anyhow::Result<Done> {
        self.send(Method::PUT, client).await
    }

    pub(super) async fn revoke(self, client: &Client) -> anyhow::Result<Done> {
        self.send(Method::DELETE, client).await
    }

    async fn send(self, method: Method, client: &Client) -> anyhow::Result<Done> {
        let grants = self.http.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let request = client.request(method, &path(&self.component)).query(&[("http", grants)]);
        show(client.send(request).await?, client.json)
    }
}

impl Show {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        show(client.get(&path(&self.component)).await?, client.json)
    }
}

/// A name may have slashes.
fn path(component: &Name) -> String {
    format!("/components/{}/grants", component.replace('/', "%2F"))
}

/// What is asked and what is granted, side by side.
fn show(grants: Grants, as_json: bool) -> anyhow::Result<Done> {
    if as_json {
        output::json(&grants)?;
        return Ok(Done::Well);
    }
    let Grants { steps, granted, .. } = grants;
    let asked_for = |grant: &String| steps.iter().any(|step| step.granted.contains(grant));
    let unasked: Vec<_> = granted.iter().filter(|grant| !asked_for(grant)).cloned().collect();
    let rows = steps.iter().map(|step| {
        let granted = if step.granted.is_empty() { "no".to_owned() } else { step.granted.join(", ") };
        vec![step.step.clone(), step.asked.clone(), granted]
    });
    let unasked = unasked.into_iter().map(|grant| vec!["-".to_owned(), "nothing".to_owned(), grant]);
    output::table(&["step", "asks for", "granted"], rows.chain(unasked));
    Ok(Done::Well)
}
