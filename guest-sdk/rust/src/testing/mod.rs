//! Run workflows in a plain `cargo test`, on virtual time: no server, no database, no WebAssembly.
//!
//! A [`Test`] says what the outside does: what steps give, which signals come when. [`Test::start`] starts a workflow in
//! it and gives a [`Run`], which skips time while nothing happens: a week of sleep takes no time at all. What happened is
//! its [`History`]; [`replay()`] checks that a workflow still makes the calls of an old one.
//!
//! Steps without a script run their real code, natively; those that send HTTP need a [script](Test::step). So do the
//! [children](Test::child) and the [runs](Test::other_run) of other components.
//!
//! Within a test the workflow sees what it would see on a host: one event at a time, calls numbered in the order in which
//! they are made, signals and updates first in first out, retries and timeouts as the steps declare them. Its children run in
//! the same test and on the same clock: see [`Run::child`]. Two things are only so in the sandbox: `SystemTime::now` and the
//! crates that draw from the system's randomness are not virtual here. Use [`now`](crate::now) and
//! [`random`](crate::random()) in workflows that are to be tested.
//!
//! ```
//! use std::time::Duration;
//! use windlass::testing::Test;
//! use windlass::{Failure, Result};
//!
//! #[windlass::workflow]
//! async fn lend(book: String) -> Result<String> {
//!     let days = Duration::from_secs(14 * 24 * 60 * 60);
//!     match windlass::signal::<String>("brought-back").timeout(days).await? {
//!         Some(place) => Ok(place),
//!         None => remind(&book).await,
//!     }
//! }
//!
//! #[windlass::step(http = ["mail.example"])]
//! async fn remind(book: &str) -> Result<String> {
//!     windlass::http::post("https://mail.example/").json(&book).send().await?.success()?.json()
//! }
//!
//! let mut test = Test::new();
//! test.step_attempts("remind", [Err(Failure::new("mail-down", "no answer")), Ok("reminded")]);
//! let mut run = test.start(lend, "Emma");
//! assert_eq!(run.result(), Ok("reminded".to_owned()));
//! assert_eq!(run.elapsed(), Duration::from_millis(14 * 24 * 60 * 60 * 1000 + 200));
//! ```

mod agenda;
mod answer;
mod ask;
mod at;
mod attempt;
mod children;
mod family;
mod history;
pub(crate) mod imports;
mod inbox;
mod instance;
mod limits;
mod line;
mod reason;
mod replay;
mod rfc3339;
mod run;
mod run_id;
mod runner;
mod script;
mod scripts;
mod state;
mod steps;
mod test;
mod workflow;
mod world;

pub use answer::Answer;
pub use ask::Asked;
pub use at::At;
pub(crate) use attempt::refuse_http;
pub use history::{Event, FailedAttempt, History, Kind, Started};
pub use line::Line;
pub use replay::{Divergence, replay};
pub use run::Run;
pub use script::Script;
pub use state::State;
pub use test::Test;
pub use workflow::Workflow;
#[doc(hidden)]
pub use workflow::type_id;
