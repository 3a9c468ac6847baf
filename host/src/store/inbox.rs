//! What comes to a run from outside.

use uuid::Uuid;

use super::batch::int;
use super::{Error, Result, Store};
use crate::model::{HostId, Name, Namespace, Payload, RunId};

/// Something that came and was not delivered yet.
#[derive(Clone, Debug, PartialEq)]
pub enum Letter {
    /// A signal.
    Signal {
        /// Its row; later ones have greater numbers.
        id: i64,
        /// Its name.
        name: Name,
        /// What was sent.
        payload: Payload,
    },
    /// Somebody asked the run to stop.
    Cancel {
        /// Its row.
        id: i64,
    },
}

/// What became of a letter.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Whether it is a new one; the same was accepted before if not.
    pub accepted: bool,
    /// The host that is at the run, if one is: it can be told.
    pub owner: Option<HostId>,
}

/// Letters that may wait in the inbox of a run.
const INBOX_MAX: u32 = 10_000;

impl Store {
    /// Send a signal. The same id is accepted once.
    pub async fn send_signal(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        name: &Name,
        payload: &Payload,
        signal_id: Option<&str>,
    ) -> Result<Sent> {
        let sent: (bool, Option<Uuid>) =
            sqlx::query_as("SELECT accepted, owner FROM send_signal($1, $2, $3, $4, $5, $6)")
                .bind(&**namespace)
                .bind(run_id.0)
                .bind(&**name)
                .bind(&payload.as_bytes()[..])
                .bind(signal_id)
                .bind(int(INBOX_MAX))
                .fetch_one(&self.pool)
                .await?;
        Ok(sent.into())
    }

    /// Ask a run to stop.
    pub async fn request_cancel(&self, namespace: &Namespace, run_id: RunId) -> Result<Sent> {
        let sent: (bool, Option<Uuid>) = sqlx::query_as("SELECT accepted, owner FROM request_cancel($1, $2)")
            .bind(&**namespace)
            .bind(run_id.0)
            .fetch_one(&self.pool)
            .await?;
        Ok(sent.into())
    }

    /// The letters of a run after the one with the number `after`, in the order in which they came.
    pub async fn letters(&self, run_id: RunId, after: i64) -> Result<Vec<Letter>> {
        let rows: Vec<(i64, i16, String, Option<Vec<u8>>)> = sqlx::query_as(
            "SELECT id, kind, name, payload FROM inbox WHERE shard = $1 AND run_id = $2 AND id > $3 ORDER BY id",
        )
        .bind(run_id.shard())
        .bind(run_id.0)
        .bind(after)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(letter).collect()
    }
}

impl Letter {
    /// Its row.
    pub fn id(&self) -> i64 {
        match self {
            Self::Signal { id, .. } | Self::Cancel { id } => *id,
        }
    }
}

fn letter((id, kind, name, payload): (i64, i16, String, Option<Vec<u8>>)) -> Result<Letter> {
    match (kind, payload) {
        (0, Some(payload)) => {
            let name = Name::new(&name).map_err(|error| Error::Internal(sqlx::Error::Decode(error.into())))?;
            Ok(Letter::Signal { id, name, payload: Payload::stored(payload) })
        }
        _ => Ok(Letter::Cancel { id }),
    }
}

impl From<(bool, Option<Uuid>)> for Sent {
    fn from((accepted, owner): (bool, Option<Uuid>)) -> Self {
        Self { accepted, owner: owner.map(HostId) }
    }
}
