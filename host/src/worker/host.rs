//! One host: what the API asks of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::authenticate::Authenticator;
use super::config::{Authentication, HostConfig};
use super::depths::Depths;
use super::notify::Notifier;
use super::{listen, notify, session};
use crate::fair::{Busy, LinePlace};
use crate::model::{Failure, GuestLimits, HostId, HttpGrant, Level, Name, Namespace, Payload, RunId, Who};
use crate::run::{
    self, GuestThreads, Namespaces, Programs, Quarantines, Runner, SandboxError, Secrets, UploadError, Uploaded,
    build_sandbox,
};
use crate::sandbox::Network;
use crate::store::{self, Hint, InboxMax, LogRow, NewRun, RunSummary, Sent, Started, Store, Update, Watcher, Watchers};

/// One host. It works until [`shutdown`](Self::shutdown).
pub struct Host {
    /// Its id: a new one for each life of the process.
    pub host_id: HostId,
    /// Where everything is kept.
    pub store: Store,
    pub(super) programs: Arc<Programs>,
    pub(super) network: Arc<Network>,
    pub(super) namespaces: Arc<Namespaces>,
    /// The secrets of its guests' namespaces.
    pub secrets: Arc<Secrets>,
    pub(super) config: HostConfig,
    pub(super) authenticator: Authenticator,
    pub(super) watchers: Watchers,
    pub(super) depths: Depths,
    pub(super) quarantines: Arc<Quarantines>,
    pub(super) threads: GuestThreads,
    /// Runs may be ready to be claimed.
    pub(super) ready: Notify,
    /// The next tick of a schedule may be sooner than is known here.
    pub(super) schedules: Notify,
    /// A claim or a start failed: it may have been committed all the same.
    pub(super) unanswered: Notify,
    pub(super) notifier: Notifier,
    /// The runner of the lease that it has; none while it has none.
    pub(super) runner: watch::Sender<Option<Arc<Runner>>>,
    pub(super) shutdown: CancellationToken,
}

/// What came of waiting for a run's end.
pub enum Waited {
    /// It has ended, or cannot go on.
    Ended(RunSummary),
    /// Not in time.
    StillOpen(RunSummary),
    /// There is no such run.
    NoSuchRun,
}

/// How often a run that something is awaited of is looked at when nothing is heard of it: another host may be at it. (For its end, see
/// `watch_others.rs`.)
const LOOK_AGAIN: Duration = Duration::from_millis(200);

impl Host {
    /// Begin to work. Guests compute on `threads`. The task ends after [`shutdown`](Self::shutdown).
    pub fn start(
        store: Store,
        config: HostConfig,
        threads: GuestThreads,
    ) -> Result<(Arc<Self>, JoinHandle<()>), SandboxError> {
        let sandbox = Arc::new(build_sandbox(config.limits.clone(), config.compiler.clone(), config.cache.as_deref())?);
        let store = store.with_master_keys(config.master_keys.clone());
        let (notifier, hints) = notify::channel();
        let host = Arc::new(Self {
            host_id: HostId::new(),
            programs: Arc::new(Programs::new(store.clone(), sandbox, config.editions.clone())),
            authenticator: Authenticator::new(store.clone()),
            network: Arc::new(Network::new(config.resolver.0.clone())),
            namespaces: Arc::new(Namespaces::new(store.clone(), config.limits.guest.clone())),
            secrets: Arc::new(Secrets::new(store.clone(), config.master_keys.clone())),
            store,
            config,
            watchers: Watchers::default(),
            depths: Depths::default(),
            quarantines: Arc::default(),
            threads,
            ready: Notify::new(),
            schedules: Notify::new(),
            unanswered: Notify::new(),
            notifier,
            runner: watch::Sender::new(None),
            shutdown: CancellationToken::new(),
        });
        let working = host.clone();
        let work = tokio::spawn(async move {
            let listening = tokio::spawn(listen::run(working.clone()));
            let notifying = tokio::spawn(notify::run(working.clone(), hints));
            session::run(&working).await;
            listening.abort();
            notifying.abort();
        });
        Ok((host, work))
    }

    /// Stop in good order: no more claims, park what waits, let steps end, give up the lease. Takes less than 5 s.
    pub fn shutdown(&self) {
        self.shutdown.cancel();
    }

    /// The processor time that guests have used on it.
    pub fn guest_time(&self) -> Duration {
        self.threads.computed()
    }

    /// Whether it has a lease: can take up runs.
    pub fn is_serving(&self) -> bool {
        self.runner.borrow().is_some()
    }

    /// Whom the API serves.
    pub fn authentication(&self) -> Authentication {
        self.config.authentication
    }

    /// Checks API keys.
    pub fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// Wait until the bytes of another upload may be taken into memory. They may stay there for as long as the place is kept.
    pub async fn upload_place(&self, namespace: &Namespace) -> Result<LinePlace, Busy> {
        self.programs.upload_place(namespace).await
    }

    /// Inspect a component and keep it. `name`: instead of the one that it gives itself.
    pub async fn upload(
        &self,
        namespace: &Namespace,
        name: Option<Name>,
        bytes: Bytes,
        grants: &[HttpGrant],
        who: &Who,
    ) -> Result<Uploaded, UploadError> {
        let tenant = self.tenant(namespace).await?;
        let (programs, threads) = (&*self.programs, &self.threads);
        run::upload(&self.store, (programs, threads), (namespace, &tenant), name, bytes, grants, who).await
    }

    /// What was granted to a component has changed.
    pub async fn forget_grants(&self, namespace: &Namespace, component: &Name) {
        self.programs.forget_grants(namespace, component).await;
    }

    /// Accept a run. `is_awaited`: whoever asks waits for its end, and hears of both at once.
    pub async fn start_run(&self, run: &NewRun, is_awaited: bool) -> store::Result<Started> {
        let tenant = self.tenant_with_room(&run.namespace).await?;
        let started = self.start_here_or_anywhere(run, is_awaited).await?;
        // A signal of another start may have been the same: it is counted once too often.
        run.signal.iter().for_each(|signal| tenant.account.add_row(signal.payload.len()));
        Ok(started)
    }

    async fn start_here_or_anywhere(&self, run: &NewRun, is_awaited: bool) -> store::Result<Started> {
        let runner = self.runner.borrow().clone();
        let Some(runner) = runner else {
            let started = self.store.start_run(run, None).await?;
            if started.is_new() {
                self.namespaces.accounts.of(&run.namespace).add_run(&run.input, &run.tags);
            }
            self.became_ready();
            return Ok(started);
        };
        let (started, is_ours) = runner.start(run, is_awaited).await.inspect_err(|_| self.unanswered.notify_one())?;
        if !is_ours {
            self.became_ready();
        }
        if run.signal.is_some() && !started.is_new() {
            // Where it is, only the database knows.
            self.tell(run.run_id);
            self.notifier.send(Hint::Mail(run.run_id));
        }
        Ok(started)
    }

    /// Send a signal to a run.
    pub async fn send_signal(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        name: &Name,
        payload: &Payload,
        signal_id: Option<&str>,
    ) -> store::Result<Sent> {
        let tenant = self.tenant_with_room(namespace).await?;
        let inbox = InboxMax::from(&*tenant.limits);
        let sent = self.store.send_signal(namespace, run_id, name, payload, signal_id, inbox).await;
        let sent = self.unless_archived(namespace, run_id, sent).await?;
        if sent.accepted {
            tenant.account.add_row(payload.len());
        }
        self.tell_owner(run_id, sent.owner);
        Ok(sent)
    }

    /// Ask a run to stop.
    pub async fn request_cancel(&self, namespace: &Namespace, run_id: RunId, who: &Who) -> store::Result<Sent> {
        let sent = self.store.request_cancel(namespace, run_id, who).await;
        let sent = self.unless_archived(namespace, run_id, sent).await?;
        self.tell_owner(run_id, sent.owner);
        Ok(sent)
    }

    /// Wait for the end of the run that is watched, but no longer than `timeout`. `has_begun`: just now, so that it is likely
    /// to be heard of sooner than it could be looked up.
    pub async fn wait_for_end(
        &self,
        watcher: &Watcher,
        namespace: &Namespace,
        timeout: Duration,
        has_begun: bool,
    ) -> store::Result<Waited> {
        let deadline = tokio::time::Instant::now() + timeout;
        let first = watcher.ended();
        if has_begun && !watcher.has_ended() {
            self.pause(first, deadline).await;
        }
        loop {
            let ended = watcher.ended();
            // What is told of a run is told to whoever asks for its id: only its own namespace may hear it.
            if let Some(run) = watcher.summary().filter(|run| run.namespace == **namespace) {
                return Ok(Waited::Ended(run));
            }
            let Some(run) = self.store.get_run(namespace, watcher.run_id()).await? else {
                return Ok(Waited::NoSuchRun);
            };
            if run.result.is_some() {
                return Ok(Waited::Ended(run));
            }
            if tokio::time::Instant::now() >= deadline || self.shutdown.is_cancelled() {
                return Ok(Waited::StillOpen(run));
            }
            self.pause(ended, deadline).await;
        }
    }

    /// Tells of changes that this host makes to a run.
    pub fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// What a namespace may use.
    pub async fn limits(&self, namespace: &Namespace) -> store::Result<Arc<GuestLimits>> {
        Ok(self.tenant(namespace).await?.limits)
    }

    /// Bytes of the longest component.
    pub fn component_bytes(&self) -> usize {
        self.config.limits.component_bytes
    }

    /// The token that is cancelled when the host is to stop.
    pub fn stopping(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// Runs became ready: this host may claim them, and so may others.
    pub(super) fn became_ready(&self) {
        self.ready.notify_one();
        self.notifier.send(Hint::Ready);
    }

    /// Ask a run for something that its workflow answers.
    pub async fn send_update(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        name: &Name,
        payload: &Payload,
        update_id: &str,
    ) -> store::Result<Sent> {
        let tenant = self.tenant_with_room(namespace).await?;
        let inbox = InboxMax::from(&*tenant.limits);
        let sent = self.store.send_update(namespace, run_id, name, payload, update_id, inbox).await;
        let sent = self.unless_archived(namespace, run_id, sent).await?;
        if sent.accepted {
            tenant.account.add_row(payload.len());
        }
        self.tell_owner(run_id, sent.owner);
        Ok(sent)
    }

    /// Wait for the answer to an update, but no longer than `timeout`. `None`: there is no such update.
    pub async fn wait_for_answer(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        update_id: &str,
        timeout: Duration,
    ) -> store::Result<Option<Update>> {
        let watcher = self.watchers.watch(run_id);
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            let changed = watcher.changed();
            let Some(update) = self.store.get_update(namespace, run_id, update_id).await? else { return Ok(None) };
            let is_settled = update.answer.is_some() || update.has_ended;
            if is_settled || tokio::time::Instant::now() >= deadline || self.shutdown.is_cancelled() {
                return Ok(Some(update));
            }
            self.pause(or_soon(changed), deadline).await;
        }
    }

    /// End a run from outside, whatever it is at.
    pub async fn terminate_run(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        failure: &Failure,
        who: &Who,
    ) -> store::Result<()> {
        let terminated = self.store.terminate_run(namespace, run_id, failure, who).await;
        let (owner, parent) = self.unless_archived(namespace, run_id, terminated).await?;
        if owner.is_some() {
            self.tell_owner(run_id, owner);
        }
        if let Some(parent) = parent {
            self.tell(parent);
            self.notifier.send(Hint::Mail(parent));
        }
        // Its parent, or whoever has its slot now.
        self.became_ready();
        self.watchers.ended(run_id, None);
        Ok(())
    }

    /// Lines of a run's log, and whether it has ended: those of [`Store::logs`] after the `id`, of this level or above, at most
    /// so many. If there is none, and the run has not ended, wait for one, but no longer than `timeout`.
    pub async fn wait_for_lines(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        (after, level, limit): (i64, Level, u32),
        timeout: Duration,
    ) -> store::Result<(Vec<LogRow>, bool)> {
        let watcher = self.watchers.watch(run_id);
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            let changed = watcher.changed();
            // The run before its lines: what it says at its end is there when it has ended.
            let run = self.store.get_run(namespace, run_id).await?.ok_or(store::Error::NoSuchRun)?;
            let lines = self.store.logs(namespace, run_id, after, level, limit).await?;
            let is_late = tokio::time::Instant::now() >= deadline || self.shutdown.is_cancelled();
            if !lines.is_empty() || run.state.is_closed() || is_late {
                return Ok((lines, run.state.is_closed()));
            }
            self.pause(or_soon(changed), deadline).await;
        }
    }

    /// Until something has changed, or there is no more time.
    async fn pause(&self, changed: impl Future<Output = ()>, deadline: tokio::time::Instant) {
        tokio::select! {
            () = changed => {}
            () = self.shutdown.cancelled() => {}
            () = tokio::time::sleep_until(deadline) => {}
        }
    }

    pub(super) fn tell_owner(&self, run_id: RunId, owner: Option<HostId>) {
        match owner {
            Some(owner) if owner == self.host_id => self.tell(run_id),
            Some(_) => self.notifier.send(Hint::Mail(run_id)),
            None => self.became_ready(),
        }
    }

    pub(super) fn tell(&self, run_id: RunId) {
        if let Some(runner) = &*self.runner.borrow() {
            runner.tell(run_id);
        }
    }
}

/// When something has changed, or may have where it is not heard of.
async fn or_soon(changed: impl Future<Output = ()>) {
    tokio::select! {
        () = changed => {}
        () = tokio::time::sleep(LOOK_AGAIN) => {}
    }
}
