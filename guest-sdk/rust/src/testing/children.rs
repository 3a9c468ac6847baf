//! The runs that a run has started.

use std::fmt::Write as _;

use serde_json::Value;

use super::family::SharedRunner;
use super::{Kind, Run, Workflow};

impl<T> Run<T> {
    /// The first run of this workflow that the run has started, detached ones among them, as a run of its own: it can be
    /// looked at, be sent signals, and be waited for. All of them are on one clock.
    ///
    /// # Panics
    ///
    /// If there is none so far. A child that is only a [script](super::Test::child) is no run.
    ///
    /// ```
    /// use windlass::{Result, child};
    ///
    /// #[windlass::workflow]
    /// async fn publish_book(title: String) -> Result<String> {
    ///     child("review", &title).await
    /// }
    ///
    /// #[windlass::workflow]
    /// async fn review(title: String) -> Result<String> {
    ///     let verdict = windlass::signal::<String>("verdict").await?;
    ///     Ok(format!("{title}: {verdict}"))
    /// }
    ///
    /// let mut run = windlass::testing::Test::new().start(publish_book, "Emma");
    /// run.child(review).signal("verdict", "good");
    /// assert_eq!(run.child(review).result(), Ok("Emma: good".to_owned()));
    /// assert_eq!(run.result(), Ok("Emma: good".to_owned()));
    /// ```
    #[track_caller]
    pub fn child<M, W: Workflow<M>>(&self, workflow: W) -> Run<W::Value> {
        let name = workflow.find().name;
        let found = self.started().into_iter().find(|runner| is_of(runner, name));
        let Some(runner) = found else {
            let there: Vec<_> = self.started().iter().map(workflow_of).collect();
            panic!("the run has started no `{name}` so far; it has started {there:?}")
        };
        Run::of(self.family.clone(), runner)
    }

    /// All runs that the run has started so far, in order.
    ///
    /// ```
    /// use windlass::{Result, child, join_all};
    ///
    /// #[windlass::workflow]
    /// async fn choir(voices: u32) -> Result<()> {
    ///     for end in join_all((0..voices).map(|voice| child::<()>("voice", &voice))).await {
    ///         end?;
    ///     }
    ///     Ok(())
    /// }
    ///
    /// #[windlass::workflow]
    /// async fn voice(number: u32) -> Result<()> {
    ///     windlass::log!("la, la, {number}");
    ///     Ok(())
    /// }
    ///
    /// let run = windlass::testing::Test::new().start(choir, 2);
    /// assert_eq!(run.children()[1].logs()[0].message, "la, la, 1");
    /// ```
    pub fn children(&self) -> Vec<Run<Value>> {
        self.started().into_iter().map(|runner| Run::of(self.family.clone(), runner)).collect()
    }

    /// Its children, not theirs.
    fn started(&self) -> Vec<SharedRunner> {
        let own = self.run_id();
        let is_own = |runner: &&SharedRunner| runner.borrow().world.borrow().info.parent.as_ref() == Some(&own);
        self.family.runners.borrow().iter().filter(is_own).cloned().collect()
    }

    /// Why nothing can happen any more.
    pub(super) fn stalled(&self) -> String {
        let waits_for = self.waits_for();
        let Some(first) = waits_for.first() else {
            return "stalled: the run waits, and no call of it is open: nothing can ever wake it".to_owned();
        };
        let calls: Vec<_> = waits_for.iter().map(ToString::to_string).collect();
        let mut message = format!("the run waits for what never comes: {}", calls.join("; "));
        for child in self.children().iter().filter(|child| !child.waits_for().is_empty()) {
            let calls: Vec<_> = child.waits_for().iter().map(ToString::to_string).collect();
            // Writing to a string does not fail.
            let _ = write!(message, "; its child `{}` for {}", child.workflow(), calls.join(", "));
        }
        let name = &first.name;
        message += &match first.kind {
            Kind::Update => format!("; send it with `run.update(\"{name}\", …)`"),
            Kind::Child => format!("; send that what it needs, as to `run.child(\"{name}\")`"),
            _ => format!(
                "; send it with `run.signal(\"{name}\", …)` or, before the start, `test.at(…).signal(\"{name}\", …)`"
            ),
        };
        message
    }
}

fn workflow_of(runner: &SharedRunner) -> String {
    runner.borrow().world.borrow().info.workflow.clone()
}

fn is_of(runner: &SharedRunner, workflow: &str) -> bool {
    runner.borrow().world.borrow().info.workflow == workflow
}
