//! How many runs may be under way at once, and how many attempts may begin in a second, as the API asks for it.

use super::Host;
use crate::model::{Name, Namespace, Who};
use crate::store::{self, Concurrency, RateLimit};

/// Runs and gates that are looked at, and runs that are let go on, in one transaction.
const SETTLED_MAX: u32 = 1_000;

impl Host {
    /// Limit a workflow, or the whole namespace: so many runs at once, and so many of each concurrency key. None is no limit. Those
    /// that are under way stay so; those that wait go on if there is room now.
    pub async fn set_concurrency(
        &self,
        namespace: &Namespace,
        workflow: Option<&Name>,
        limits: (Option<u32>, Option<u32>),
        who: &Who,
    ) -> store::Result<()> {
        self.store.set_concurrency(namespace, workflow, limits, who).await?;
        self.settle_concurrency(namespace, workflow).await
    }

    /// The limits of a namespace.
    pub async fn concurrency(&self, namespace: &Namespace) -> store::Result<Vec<Concurrency>> {
        self.store.list_concurrency(namespace).await
    }

    /// Limit a step: so many attempts in a second, and so many at once. Other hosts follow within a second. Returns whether it is: a
    /// namespace has only so many limits.
    pub async fn set_rate_limit(
        &self,
        namespace: &Namespace,
        step: &Name,
        rate: (f64, u32),
        who: &Who,
    ) -> store::Result<bool> {
        let set = self.store.set_rate_limit(namespace, step, rate, who).await?;
        self.namespaces.forget(namespace).await;
        Ok(set)
    }

    /// Take the limit of a step away. Returns whether there was one.
    pub async fn unset_rate_limit(&self, namespace: &Namespace, step: &Name, who: &Who) -> store::Result<bool> {
        let unset = self.store.unset_rate_limit(namespace, step, who).await?;
        self.namespaces.forget(namespace).await;
        Ok(unset)
    }

    /// The rate limits of a namespace.
    pub async fn rate_limits(&self, namespace: &Namespace) -> store::Result<Vec<RateLimit>> {
        self.store.list_rate_limits(namespace).await
    }

    /// What somebody who changed a limit has left to be done: it died over it, or is just at it, and then it is done by both.
    pub(super) async fn settle_left_concurrency(&self) -> store::Result<()> {
        for (namespace, workflow) in self.store.unsettled_concurrency().await? {
            self.settle_concurrency(&namespace, workflow.as_ref()).await?;
        }
        Ok(())
    }

    /// Runs that began before there was a limit count as well. Returns how many.
    async fn count_under_way(&self, namespace: &Namespace, workflow: Option<&Name>) -> store::Result<u32> {
        let (mut all, mut after) = (0, None);
        loop {
            let (counted, next) = self.store.count_under_way(namespace, workflow, after, SETTLED_MAX).await?;
            all += counted;
            if next.is_none() {
                return Ok(all);
            }
            after = next;
        }
    }

    async fn settle_concurrency(&self, namespace: &Namespace, workflow: Option<&Name>) -> store::Result<()> {
        // Some may come in behind the place where it is.
        while self.count_under_way(namespace, workflow).await? > 0 {}
        let mut from = Some(String::new());
        while let Some(key) = from {
            let (gone, next) = self.store.settle_gates(namespace, workflow, &key, SETTLED_MAX).await?;
            if gone > 0 {
                self.became_ready();
            }
            from = next;
        }
        Ok(())
    }
}
