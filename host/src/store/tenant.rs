//! In whose name a statement is made: the second wall between tenants, see `migrations/0025_tenants.sql`.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, Postgres};

use super::Store;

/// Connections for what tenants ask for. They are opened when they are needed.
const POOL_SIZE: u32 = 8;

impl Store {
    /// A session that sees what this namespace has, and nothing of any other; `*` has what belongs to none.
    pub(super) async fn tenant(&self, namespace: &str) -> sqlx::Result<PoolConnection<Postgres>> {
        // Large, and over before the statement begins: apart from it.
        Box::pin(self.session_of(namespace)).await
    }

    async fn session_of(&self, namespace: &str) -> sqlx::Result<PoolConnection<Postgres>> {
        let mut broken = 0;
        loop {
            let mut session = self.tenants.acquire().await?;
            // For the session: whoever takes it next says it again.
            let said = sqlx::query("SELECT set_config('windlass.namespace', $1, false)").bind(namespace);
            match said.execute(&mut *session).await {
                Ok(_) => return Ok(session),
                // Those that were open when the database went away are found out here.
                Err(_) if broken < POOL_SIZE => broken += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Sessions in the role of tenants.
pub(super) fn sessions(options: PgConnectOptions, role: &str) -> PgPool {
    PgPoolOptions::new()
        .max_connections(POOL_SIZE)
        .acquire_timeout(Duration::from_secs(10))
        .test_before_acquire(false)
        .connect_lazy_with(options.options([("role", role)]))
}
