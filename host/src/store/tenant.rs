//! In whose name a statement is made: the second wall between tenants, see `migrations/0025_tenants.sql`.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::time::timeout;

use super::Store;
use crate::fair::{Held, Places};
use crate::model::{Namespace, Reach};

/// Connections for what tenants ask for. They are opened when they are needed. One namespace has four fifths of them at most, and of those
/// that wait for one, whoever has least is next.
const SESSIONS: u32 = 10;

/// How long one waits for a session.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sessions in the role of tenants.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    pool: PgPool,
    places: Arc<Places>,
}

/// One of them, which sees what one namespace has.
pub(super) struct Session {
    connection: PoolConnection<Postgres>,
    _place: Option<Held>,
}

impl Store {
    /// A session that sees what this namespace has, and nothing of any other.
    pub(super) async fn tenant(&self, namespace: &Namespace) -> sqlx::Result<Session> {
        // Large, and over before the statement begins: apart from it.
        Box::pin(async {
            let place = timeout(PATIENCE, self.tenants.places.acquire(namespace));
            let place = place.await.map_err(|_| sqlx::Error::PoolTimedOut)?;
            self.tenants.begin(namespace, Some(place)).await
        })
        .await
    }

    /// The same; or one that sees what belongs to no namespace.
    pub(super) async fn within(&self, reach: &Reach) -> sqlx::Result<Session> {
        match reach {
            Reach::One(namespace) => self.tenant(namespace).await,
            Reach::All => Box::pin(self.tenants.begin(reach.as_str(), None)).await,
        }
    }
}

impl Sessions {
    /// None is open yet.
    pub(super) fn new(options: PgConnectOptions, role: &str) -> Self {
        let pool = PgPoolOptions::new().max_connections(SESSIONS).acquire_timeout(PATIENCE).test_before_acquire(false);
        Self { pool: pool.connect_lazy_with(options.options([("role", role)])), places: Places::new(SESSIONS as usize) }
    }

    async fn begin(&self, namespace: &str, place: Option<Held>) -> sqlx::Result<Session> {
        let mut broken = 0;
        loop {
            let mut connection = self.pool.acquire().await?;
            // For the session: whoever takes it next says it again.
            let said = sqlx::query("SELECT set_config('windlass.namespace', $1, false)").bind(namespace);
            match said.execute(&mut *connection).await {
                Ok(_) => return Ok(Session { connection, _place: place }),
                // Those that were open when the database went away are found out here.
                Err(_) if broken < SESSIONS => broken += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Close all.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

impl Deref for Session {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
