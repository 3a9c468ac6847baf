//! `windlass audit`

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Serialize;

use super::client::{Client, ClientError};
use super::{Done, output};
use crate::api::{AuditPage, AuditView};
use crate::model::{AuditHead, BrokenChain, Reach};

#[derive(Args, Debug)]
pub(super) struct Audit {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the audit log of the namespace, oldest first
    List(List),
    /// Check that the audit log of the namespace is whole, and print where it ends
    Verify(Verify),
}

#[derive(Args, Debug)]
struct List {
    /// Only entries after the one with this number
    #[arg(long, default_value_t = 0)]
    after: u64,
    /// What belongs to no namespace: those that were made, and keys for all of them
    #[arg(long)]
    all_namespaces: bool,
}

#[derive(Args, Debug)]
struct Verify {
    /// Where the log ended when it was last verified: that entry must be there, and the same
    #[arg(long, value_name = "SEQ:HASH")]
    head: Option<AuditHead>,
    /// What belongs to no namespace: those that were made, and keys for all of them
    #[arg(long)]
    all_namespaces: bool,
}

/// What it came to.
#[derive(Serialize)]
struct Verified {
    entries: u64,
    /// `SEQ:HASH`, if all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<BrokenChain>,
}

/// Reads a log page by page: it may have any length.
struct Pages<'a> {
    client: &'a Client,
    reach: Reach,
    after: u64,
}

impl<'a> Pages<'a> {
    fn new(client: &'a Client, all_namespaces: bool, after: u64) -> Self {
        let reach = if all_namespaces { Reach::All } else { Reach::One(client.namespace.clone()) };
        Self { client, reach, after }
    }

    async fn next(&mut self) -> Result<AuditPage, ClientError> {
        let request = self.client.request_of_all(Method::GET, &format!("/{}/audit", self.reach));
        let page: AuditPage = self.client.send(request.query(&[("after", self.after)])).await?;
        self.after = page.entries.last().map_or(self.after, |entry| entry.seq);
        Ok(page)
    }
}

impl Audit {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        match self.command {
            Command::List(list) => list.run(client).await,
            Command::Verify(verify) => verify.run(client).await,
        }
    }
}

impl List {
    async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let mut pages = Pages::new(client, self.all_namespaces, self.after);
        loop {
            let page = pages.next().await?;
            if page.entries.is_empty() {
                return Ok(Done::Well);
            }
            for entry in &page.entries {
                if client.json {
                    output::json(entry)?;
                } else {
                    let AuditView { seq, at, who, what, subject, details, .. } = entry;
                    output::line(format!("{seq:6} {} {who:12} {what:16} {subject} {details}", output::time(*at)));
                }
            }
        }
    }
}

impl Verify {
    async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let (last, broken) = verify(Pages::new(client, self.all_namespaces, 0), self.head).await?;
        let head = broken.is_none().then(|| last.to_string());
        if client.json {
            output::json(&Verified { entries: last.seq, head, broken: broken.clone() })?;
        } else {
            match &broken {
                None => {
                    output::line(format!("{} entries, each follows from the one before", last.seq));
                    output::line(format!("head {last}"));
                    output::line(
                        "Keep the head elsewhere: whoever can write all of the database can write another log, and only \
                         `verify --head` tells.",
                    );
                }
                Some(broken) => output::line(format!("after {} good entries: {broken}", last.seq)),
            }
        }
        Ok(if broken.is_none() { Done::Well } else { Done::NotCompleted })
    }
}

/// Go through the whole log, a page in memory at a time. Returns the last entry that fits, and what does not.
async fn verify(
    mut pages: Pages<'_>,
    noted: Option<AuditHead>,
) -> Result<(AuditHead, Option<BrokenChain>), ClientError> {
    let not_understood = || ClientError::NotUnderstood("a hash of the audit log is none".into());
    let mut last = AuditHead::EMPTY;
    loop {
        let page = pages.next().await?;
        let head = page.head.into_head().ok_or_else(not_understood)?;
        let is_end = page.entries.is_empty();
        for view in page.entries {
            let entry = view.into_entry(&pages.reach).ok_or_else(not_understood)?;
            if let Err(broken) = last.follow(&entry) {
                return Ok((last, Some(broken)));
            }
            if noted.is_some_and(|noted| noted.seq == last.seq && noted.hash != last.hash) {
                return Ok((last, Some(BrokenChain::NotAsNoted { seq: last.seq })));
            }
        }
        // What is written meanwhile is on the next page.
        if is_end {
            let gone = noted.filter(|noted| noted.seq > last.seq);
            let gone = gone.map(|noted| BrokenChain::NotedAndGone { seq: noted.seq, last: last.seq });
            return Ok((last, last.ends_at(&head).err().or(gone)));
        }
    }
}
