//! Hints between hosts over NOTIFY: something may be there for you. They make things fast and nothing depends on them: every
//! actor also looks by itself.
//!
//! A hint is sent after the commit that it is about, in a statement of its own that writes nothing: NOTIFY inside a writing
//! transaction would hold a lock of the whole cluster over its fsync.

use sqlx::postgres::PgListener;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{Result, Store};
use crate::model::RunId;

/// What may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hint {
    /// Runs are ready to be claimed.
    Ready,
    /// A letter has come for a run that a host is at.
    Mail(RunId),
    /// A schedule is another than it was: its next tick may be sooner than hosts know.
    Schedule,
}

/// The most hints in one NOTIFY, whose payload has at most 8,000 bytes.
const HINTS_MAX: usize = 190;

impl Hint {
    fn encode(self) -> String {
        match self {
            Self::Ready => "r".to_owned(),
            Self::Mail(run_id) => format!("m{}", run_id.0.simple()),
            Self::Schedule => "s".to_owned(),
        }
    }

    /// What cannot be read is from another version: not for us.
    fn decode(text: &str) -> Option<Self> {
        let run_id = || Some(RunId(Uuid::try_parse(text.get(1..)?).ok()?));
        match text.as_bytes().first()? {
            b'r' => Some(Self::Ready),
            b'm' => run_id().map(Self::Mail),
            b's' => Some(Self::Schedule),
            _ => None,
        }
    }
}

/// A session that sends and one that listens.
pub struct Hints {
    sender: PgConnection,
    channel: String,
}

impl Store {
    fn channel(&self) -> String {
        format!("windlass_{}", self.schema())
    }

    /// A session to send hints with.
    pub async fn hints(&self) -> Result<Hints> {
        Ok(Hints { sender: self.connection().await?, channel: self.channel() })
    }

    /// A session that listens. It reconnects by itself; what was sent meanwhile is missed.
    pub async fn listen(&self) -> Result<HintListener> {
        // A pool of its own: the listener keeps its connection for ever.
        let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect_with(self.options.clone()).await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(&self.channel()).await?;
        Ok(HintListener { listener })
    }
}

impl Hints {
    /// Send these, each once.
    pub async fn send(&mut self, hints: &[Hint]) -> Result<()> {
        for part in hints.chunks(HINTS_MAX) {
            let payload = part.iter().map(|hint| hint.encode()).collect::<Vec<_>>().join(" ");
            let notify = sqlx::query("SELECT pg_notify($1, $2)").bind(&self.channel).bind(payload);
            notify.execute(&mut self.sender).await?;
        }
        Ok(())
    }

    /// Close the session in good order.
    pub async fn close(self) -> Result<()> {
        Ok(self.sender.close().await?)
    }
}

/// Receives the hints of all hosts, its own among them.
pub struct HintListener {
    listener: PgListener,
}

impl HintListener {
    /// Wait for the next. None of them: the connection was lost and is there again, and anything may have been missed.
    pub async fn receive(&mut self) -> Result<Option<Vec<Hint>>> {
        let notification = self.listener.try_recv().await?;
        Ok(notification.map(|notification| notification.payload().split(' ').filter_map(Hint::decode).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_read_as_they_were_written_and_fit_into_a_notification() {
        let run_id = RunId::new();
        for hint in [Hint::Ready, Hint::Mail(run_id), Hint::Schedule] {
            assert_eq!(Hint::decode(&hint.encode()), Some(hint));
        }
        assert!(HINTS_MAX * (Hint::Mail(run_id).encode().len() + 1) < 8_000);
        assert_eq!(Hint::decode("x123"), None);
        assert_eq!(Hint::decode(""), None);
    }
}
