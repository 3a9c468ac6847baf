//! What the outside of a workflow does in a test.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::agenda::Entry;
use super::family::Family;
use super::scripts::SharedScripts;
use super::{At, Run, Script, Started, Workflow, attempt, limits, rfc3339, run_id};
use crate::timer::micros;
use crate::{CancelReason, Result};

/// A world for workflows to run in: scripts for steps, and what comes from outside when.
///
/// ```
/// use std::time::Duration;
/// use windlass::testing::Test;
///
/// #[windlass::workflow]
/// async fn sell_house() -> windlass::Result<u64> {
///     let price = estimate().await?;
///     let bid = windlass::signal::<u64>("bid").timeout(Duration::from_secs(7 * 24 * 3600)).await?;
///     Ok(bid.unwrap_or(price / 2))
/// }
///
/// #[windlass::step(http = ["broker.example"])]
/// async fn estimate() -> windlass::Result<u64> {
///     windlass::http::get("https://broker.example/").send().await?.success()?.json()
/// }
///
/// let mut test = Test::new();
/// test.step("estimate", |()| Ok(500_000));
/// test.at(Duration::from_secs(24 * 3600)).signal("bid", 480_000);
/// assert_eq!(test.start(sell_house, ()).result(), Ok(480_000));
/// ```
pub struct Test {
    started_at: SystemTime,
    seed: u64,
    jitter: bool,
    timeout: Option<Duration>,
    scripts: SharedScripts,
    pub(super) planned: Vec<(u64, Planned)>,
}

/// What happens to each run of the test, so long after its start.
pub(super) type Planned = Box<dyn Fn() -> Entry>;

impl Test {
    /// Nothing is scripted and nothing comes from outside. The time is the beginning of the year 2000.
    ///
    /// ```
    /// # #[windlass::workflow]
    /// # async fn do_nothing() -> windlass::Result<()> { Ok(()) }
    /// assert_eq!(windlass::testing::Test::new().start(do_nothing, ()).result(), Ok(()));
    /// ```
    #[expect(clippy::new_without_default, reason = "a test begins with words, not with a default")]
    pub fn new() -> Self {
        let started_at = UNIX_EPOCH + Duration::from_secs(946_684_800);
        let (scripts, planned) = (SharedScripts::default(), Vec::new());
        Self { started_at, seed: 0, jitter: false, timeout: None, scripts, planned }
    }

    /// Let runs start at another time.
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    ///
    /// # #[windlass::workflow]
    /// # async fn look_at_clock() -> windlass::Result<std::time::SystemTime> { Ok(windlass::now()) }
    /// let time = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    /// let mut run = windlass::testing::Test::new().started_at(time).start(look_at_clock, ());
    /// assert_eq!(run.result(), Ok(time));
    /// ```
    #[must_use]
    pub fn started_at(self, time: SystemTime) -> Self {
        Self { started_at: time, ..self }
    }

    /// Give [`random`](crate::random()) other numbers.
    ///
    /// ```
    /// # #[windlass::workflow]
    /// # async fn roll_dice() -> windlass::Result<u64> { Ok(windlass::random()) }
    /// let rolled = |seed| windlass::testing::Test::new().seed(seed).start(roll_dice, ()).result();
    /// assert_ne!(rolled(1), rolled(2));
    /// ```
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Make the waits between attempts shorter by chance, as the retry policies say. The chance is that of the
    /// [`seed`](Self::seed). Without this, waits have their full length.
    ///
    /// ```
    /// # #[windlass::workflow]
    /// # async fn open_door() -> windlass::Result<()> { turn_key().await }
    /// # #[windlass::step]
    /// # async fn turn_key() -> windlass::Result<()> { Ok(()) }
    /// use std::time::Duration;
    ///
    /// let mut test = windlass::testing::Test::new().jitter();
    /// test.step_attempts("turn_key", [Err(windlass::Failure::new("stuck", "it does not turn")), Ok(())]);
    /// let mut run = test.start(open_door, ());
    /// run.result().unwrap();
    /// assert!(run.elapsed() < Duration::from_millis(200));
    /// ```
    #[must_use]
    pub fn jitter(self) -> Self {
        Self { jitter: true, ..self }
    }

    /// Give runs a deadline, so long after their start: they are then asked to stop, if they were not before. Their children have
    /// none.
    ///
    /// ```
    /// use std::time::Duration;
    /// use windlass::testing::{State, Test};
    ///
    /// # #[windlass::workflow]
    /// # async fn linger() -> windlass::Result<()> { windlass::signal("never").await }
    /// let mut run = Test::new().timeout(Duration::from_secs(60)).start(linger, ());
    /// assert_eq!(run.result().unwrap_err().code, "deadline-exceeded");
    /// assert_eq!((run.state(), run.elapsed()), (State::Failed, Duration::from_secs(60)));
    /// ```
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// Let `code` run instead of the step's own, in each attempt. It gets the step's input: `()` for no argument, the
    /// argument itself for one, a tuple for more. [`step::attempt`](crate::step::attempt) tells it which attempt it is.
    ///
    /// # Panics
    ///
    /// If there is no such step.
    ///
    /// ```
    /// use windlass::{Failure, step};
    ///
    /// # #[windlass::workflow]
    /// # async fn count_sheep() -> windlass::Result<u32> { add_up(1, 2).await }
    /// # #[windlass::step]
    /// # async fn add_up(a: u32, b: u32) -> windlass::Result<u32> { Ok(a + b) }
    /// let mut test = windlass::testing::Test::new();
    /// test.step("add_up", |(a, b): (u32, u32)| match step::attempt().number {
    ///     1 => Err(Failure::new("asleep", "it dozed off")),
    ///     _ => Ok(a * 10 + b),
    /// });
    /// assert_eq!(test.start(count_sheep, ()).result(), Ok(12));
    /// ```
    #[track_caller]
    pub fn step<I: DeserializeOwned, O: Serialize>(
        &mut self,
        name: &str,
        code: impl FnMut(I) -> Result<O> + 'static,
    ) -> Script {
        self.script(name, Script::new(&format!("the step `{name}`"), code))
    }

    /// Let the attempts of a step end with these results, one after the other. It panics when there is one more.
    ///
    /// # Panics
    ///
    /// If there is no such step.
    ///
    /// ```
    /// use windlass::Failure;
    ///
    /// # #[windlass::workflow]
    /// # async fn phone() -> windlass::Result<String> { dial().await }
    /// # #[windlass::step]
    /// # async fn dial() -> windlass::Result<String> { Ok(String::new()) }
    /// let mut test = windlass::testing::Test::new();
    /// test.step_attempts("dial", [Err(Failure::new("busy", "beep")), Ok("hello?")]);
    /// let mut run = test.start(phone, ());
    /// assert_eq!(run.result().unwrap(), "hello?");
    /// assert_eq!(run.history().events[0].attempt, Some(2));
    /// ```
    #[track_caller]
    pub fn step_attempts<O: Serialize>(&mut self, name: &str, results: impl IntoIterator<Item = Result<O>>) -> Script {
        self.script(name, Script::of_attempts(name, results))
    }

    #[track_caller]
    fn script(&mut self, name: &str, script: Script) -> Script {
        assert!(attempt::declared(name).is_some(), "no step is called `{name}`; there are {:?}", attempt::names());
        self.scripts.borrow_mut().steps.insert(name.to_owned(), script.clone());
        script
    }

    /// Let `code` say how children of this workflow end, instead of running it: for workflows of other components, which a test
    /// does not have, or to have less to think of. It gets the child's input, as [`step`](Self::step) gets a step's.
    ///
    /// Such a child takes signals until it ends, and what becomes of them is nobody's business.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// #[windlass::workflow]
    /// async fn move_house() -> windlass::Result<String> {
    ///     windlass::child("carriers/carry", &("piano", 3)).await
    /// }
    ///
    /// let mut test = windlass::testing::Test::new();
    /// let carry = test.child("carriers/carry", |(what, floors): (String, u32)| Ok(format!("{what}, {floors} floors up")));
    /// carry.takes(Duration::from_secs(3600));
    /// let mut run = test.start(move_house, ());
    /// assert_eq!(run.result().unwrap(), "piano, 3 floors up");
    /// assert_eq!(run.elapsed(), Duration::from_secs(3600));
    /// ```
    #[track_caller]
    pub fn child<I: DeserializeOwned, O: Serialize>(
        &mut self,
        workflow: &str,
        code: impl FnMut(I) -> Result<O> + 'static,
    ) -> Script {
        limits::name(workflow);
        let script = Script::new(&format!("the child `{workflow}`"), code);
        self.scripts.borrow_mut().children.insert(workflow.to_owned(), script.clone());
        script
    }

    /// Let there be a run of somebody else: `code` gets the name and the payload of each signal that is
    /// [sent](crate::send_signal) to this id, and says whether it is accepted. Signals to any other id, but those of the run itself
    /// and its children, fail with `no-such-run`.
    ///
    /// # Panics
    ///
    /// If that is no id of a run, which is a UUID.
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use std::rc::Rc;
    ///
    /// #[windlass::workflow]
    /// async fn tell(run_id: String) -> windlass::Result<()> {
    ///     windlass::send_signal(run_id, "news", &"it rains").await
    /// }
    ///
    /// let told = Rc::new(RefCell::new(Vec::new()));
    /// let id = "01a1fd79-4996-73cf-9a58-5c763cc70966";
    /// let mut test = windlass::testing::Test::new();
    /// let by_test = told.clone();
    /// test.other_run(id, move |name, payload| {
    ///     by_test.borrow_mut().push(format!("{name}: {payload}"));
    ///     Ok(())
    /// });
    /// test.start(tell, id).result()?;
    /// assert_eq!(*told.borrow(), [r#"news: "it rains""#]);
    /// # Ok::<(), windlass::Failure>(())
    /// ```
    #[track_caller]
    pub fn other_run(&mut self, run_id: &str, code: impl FnMut(&str, Value) -> Result<()> + 'static) -> &mut Self {
        let Some(run_id) = run_id::parse(run_id) else { panic!("`{run_id}` is no id of a run: it should be a UUID") };
        self.scripts.borrow_mut().runs.insert(run_id, Rc::new(RefCell::new(code)));
        self
    }

    /// Something that comes from outside, so long after the start of a run.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # #[windlass::workflow]
    /// # async fn answer_door() -> windlass::Result<String> { windlass::signal("bell").await }
    /// let mut test = windlass::testing::Test::new();
    /// test.at(Duration::from_secs(60)).signal("bell", "the postman");
    /// test.at(Duration::from_secs(90)).cancel();
    /// assert_eq!(test.start(answer_door, ()).result(), Ok("the postman".to_owned()));
    /// ```
    pub fn at(&mut self, after: Duration) -> At<'_> {
        At { test: self, after: micros(after) }
    }

    /// Start a workflow, by its function or its name. The input is the function's argument; `()` if it has none, a tuple
    /// if it has more.
    ///
    /// It runs until it waits for something that takes time.
    ///
    /// ```
    /// # #[windlass::workflow]
    /// # async fn echo(text: String) -> windlass::Result<String> { Ok(text) }
    /// assert_eq!(windlass::testing::Test::new().start(echo, "cuckoo").result(), Ok("cuckoo".to_owned()));
    /// ```
    #[track_caller]
    pub fn start<M, W: Workflow<M>>(&self, workflow: W, input: impl Serialize) -> Run<W::Value> {
        let workflow = workflow.find();
        let started = Started {
            run_id: run_id::FIRST.to_owned(),
            workflow: workflow.name.to_owned(),
            version: 1,
            input: serde_json::to_value(input).unwrap_or_else(|error| panic!("the input: {error}")),
            started_at: self.started_at,
            deadline_at: self.timeout.map(|timeout| self.started_at + timeout),
            parent_run_id: None,
            generation: 0,
            seed: Some(self.seed),
        };
        let (start, input) = (rfc3339::instant(self.started_at), started.input.to_string());
        let family = Family::new(start, self.scripts.clone(), self.jitter);
        let runner = family.add(workflow, started, None);
        for (after, entry) in &self.planned {
            runner.borrow().world.borrow().put(start.saturating_add(*after), entry());
        }
        if let Some(timeout) = self.timeout {
            let deadline = Entry::Cancel(CancelReason::Deadline);
            runner.borrow().world.borrow().put(start.saturating_add(micros(timeout)), deadline);
        }
        runner.borrow_mut().start(input.into_bytes());
        let mut run = Run::of(family, runner);
        run.advance(Duration::ZERO);
        run
    }
}

impl fmt::Debug for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Test").field("scripts", &self.scripts.borrow()).finish_non_exhaustive()
    }
}
