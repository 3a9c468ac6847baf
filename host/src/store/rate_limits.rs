//! How many attempts of a step may begin in a second.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::types::PgInterval;

use super::batch::int;
use super::schedule::duration;
use super::{Result, Store};
use crate::model::{Name, Namespace, Timestamp, Who};

/// Rate limits of a namespace: hosts hold all of them.
pub const RATE_LIMITS_MAX: u32 = 1_000;

/// A limit on a step.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct RateLimit {
    /// Which.
    pub step: String,
    /// How many attempts may begin in a second.
    pub per_second: f64,
    /// How many at once, if there were none for a while.
    pub burst: i32,
}

/// When attempts may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turns {
    /// The first.
    pub first: Timestamp,
    /// Each of the others after the one before.
    pub spacing: Duration,
}

impl Turns {
    /// When the attempt of this number may begin, from 0 on.
    pub fn at(&self, number: u32) -> Timestamp {
        self.first.after(self.spacing.saturating_mul(number))
    }
}

impl Store {
    /// Give so many attempts of a step their times. `None`: it has no limit.
    pub async fn reserve_attempts(&self, namespace: &Namespace, step: &Name, count: u32) -> Result<Option<Turns>> {
        let row: Option<(DateTime<Utc>, PgInterval)> =
            sqlx::query_as("SELECT first_at, spacing FROM reserve_attempts($1, $2, $3)")
                .bind(&**namespace)
                .bind(&**step)
                .bind(int(count))
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.map(|(first, spacing)| Turns { first: first.into(), spacing: duration(spacing) }))
    }

    /// Limit a step. Returns whether it is: not if the namespace had more than [`RATE_LIMITS_MAX`] limits then.
    pub async fn set_rate_limit(
        &self,
        namespace: &Namespace,
        step: &Name,
        (per_second, burst): (f64, u32),
        who: &Who,
    ) -> Result<bool> {
        let set = sqlx::query_scalar("SELECT set_rate_limit($1, $2, $3, $4, $5, $6)")
            .bind(&**namespace)
            .bind(&**step)
            .bind(per_second)
            .bind(int(burst))
            .bind(int(RATE_LIMITS_MAX))
            .bind(who.to_string());
        Ok(set.fetch_one(&mut *self.tenant(namespace).await?).await?)
    }

    /// Take the limit of a step away. Returns whether there was one.
    pub async fn unset_rate_limit(&self, namespace: &Namespace, step: &Name, who: &Who) -> Result<bool> {
        let unset = sqlx::query_scalar("SELECT unset_rate_limit($1, $2, $3)").bind(&**namespace).bind(&**step);
        Ok(unset.bind(who.to_string()).fetch_one(&mut *self.tenant(namespace).await?).await?)
    }

    /// The limits of a namespace, by step.
    pub async fn list_rate_limits(&self, namespace: &Namespace) -> Result<Vec<RateLimit>> {
        let list = "SELECT step, per_second, burst FROM rate_limits WHERE namespace = $1 ORDER BY step";
        Ok(sqlx::query_as(list).bind(&**namespace).fetch_all(&mut *self.tenant(namespace).await?).await?)
    }
}
