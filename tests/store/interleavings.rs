//! Every interleaving of sessions that meet at one run, in the manner of PostgreSQL's isolation tests: each session is a
//! transaction of two statements, which ends well or is rolled back, as by a crash. Whatever the order, the run is in exactly
//! one place, no signal is lost or doubled, and no run that waits for a signal sleeps on one.

use std::time::Duration;

use tokio::sync::mpsc;
use uuid::Uuid;

use super::sql::{Sql, execute, park};

/// How long a statement is given before it counts as waiting for a lock, and the next session has its turn.
const PATIENCE: Duration = Duration::from_millis(12);

/// A session that is given statements one by one.
struct Session {
    statements: mpsc::UnboundedSender<String>,
    done: mpsc::UnboundedReceiver<()>,
    waiting_for: usize,
}

impl Session {
    async fn new(sql: &Sql) -> Self {
        let mut session = sql.database.session().await;
        let (statements, mut todo) = mpsc::unbounded_channel::<String>();
        let (finished, done) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(statement) = todo.recv().await {
                execute(&mut session, &statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
                if finished.send(()).is_err() {
                    return;
                }
            }
        });
        Self { statements, done, waiting_for: 0 }
    }

    /// Give it statements, and a while to do them.
    async fn give(&mut self, statements: Vec<String>) {
        for statement in statements {
            self.statements.send(statement).expect("the session is there");
            self.waiting_for += 1;
        }
        // Not in time: it waits for a lock.
        let _ = tokio::time::timeout(PATIENCE, self.finish()).await;
    }

    /// Until it has done all of them.
    async fn finish(&mut self) {
        while self.waiting_for > 0 {
            self.done.recv().await.expect("no deadlock, and no error");
            self.waiting_for -= 1;
        }
    }
}

/// All orders in which `sessions` sessions can do two statements each.
fn orders(sessions: usize) -> Vec<Vec<usize>> {
    fn extend(left: &mut [usize], order: &mut Vec<usize>, orders: &mut Vec<Vec<usize>>) {
        if left.iter().all(|left| *left == 0) {
            orders.push(order.clone());
        }
        for session in 0..left.len() {
            if left[session] > 0 {
                left[session] -= 1;
                order.push(session);
                extend(left, order, orders);
                order.pop();
                left[session] += 1;
            }
        }
    }
    let mut orders = Vec::new();
    extend(&mut vec![2; sessions], &mut Vec::new(), &mut orders);
    orders
}

/// Where the run is when the sessions begin.
#[derive(Clone, Copy)]
enum Place {
    Owned,
    /// It waits for the signal `go`, and for a time that has come.
    Parked,
    Ready,
    /// It has received a signal, then it was parked as above, and then somebody has paused it.
    Paused,
}

/// What a session does to a run.
type Does = fn(&Sql, Uuid) -> String;

fn sends(_: &Sql, run: Uuid) -> String {
    format!("SELECT send_signal('default', '{run}', 'go', '1', NULL, 10)")
}

/// The same signal in every session that sends it.
fn sends_once(_: &Sql, run: Uuid) -> String {
    format!("SELECT send_signal('default', '{run}', 'go', '1', 'once', 10)")
}

fn cancels(_: &Sql, run: Uuid) -> String {
    format!("SELECT request_cancel('default', '{run}')")
}

fn parks(sql: &Sql, run: Uuid) -> String {
    sql.commit(1, "", &park(run))
}

fn fires(_: &Sql, _: Uuid) -> String {
    "SELECT fire_timers(10)".to_owned()
}

/// The run's host delivers the first signal that is there: what it reads, it takes.
fn delivers(sql: &Sql, run: Uuid) -> String {
    format!(
        "WITH letter AS (SELECT id FROM inbox WHERE run_id = '{run}' AND kind = 0 ORDER BY id LIMIT 1)
         SELECT commit_batch('{}', 1, e_runs => '{{{run}}}', e_seqs => '{{0}}', e_kinds => '{{2}}', e_calls => '{{0}}',
             e_names => '{{go}}', e_inputs => ARRAY['null'::bytea], e_attempts => '{{0}}', e_failed => '{{f}}',
             e_outcomes => ARRAY['1'::bytea], e_asked_ats => '{{2026-01-01}}', e_ats => '{{2026-01-02}}',
             e_inbox => ARRAY[letter.id]) FROM letter",
        sql.host
    )
}

fn claims(sql: &Sql, _: Uuid) -> String {
    format!("SELECT count(*) FROM claim('{}', 1, 0::smallint, 10)", sql.host)
}

/// What may be refused, and then does nothing.
fn tries(statement: &str) -> String {
    format!("DO $$ BEGIN PERFORM {statement}; EXCEPTION WHEN SQLSTATE 'WL010' THEN NULL; END $$")
}

/// To before its first event: its signal is in the inbox again.
fn rewinds(_: &Sql, run: Uuid) -> String {
    tries(&format!(
        "rewind_run('default', '{run}', 0, 1, 0, NULL, '{{\"branches\":[]}}', 0, 0, '{{}}', '{{}}', '{{}}', '{{}}', false, 'run.rewind', 'dev')"
    ))
}

fn resumes(_: &Sql, run: Uuid) -> String {
    tries(&format!("resume_run('default', '{run}', 'dev')"))
}

/// Each order, with no crash and with the crash of each session.
async fn meet(place: Place, does: &[Does]) {
    let mut sql = Sql::new().await;
    let mut sessions = Vec::new();
    for _ in does {
        sessions.push(Session::new(&sql).await);
    }
    for order in orders(does.len()) {
        for crashed in std::iter::once(None).chain((0..does.len()).map(Some)) {
            let run = begin(&mut sql, place).await;
            let mut has_begun = vec![false; does.len()];
            for &session in &order {
                let statement = match std::mem::replace(&mut has_begun[session], true) {
                    // Begun with it, so that BEGIN is not a step of its own.
                    false => does[session](&sql, run),
                    true if crashed == Some(session) => "ROLLBACK".to_owned(),
                    true => "COMMIT".to_owned(),
                };
                let is_first = !matches!(&*statement, "COMMIT" | "ROLLBACK");
                sessions[session]
                    .give(if is_first { vec!["BEGIN".to_owned(), statement] } else { vec![statement] })
                    .await;
            }
            for session in &mut sessions {
                session.finish().await;
            }
            let ended = |session: &usize| crashed != Some(*session);
            let count =
                |what: Does| (0..does.len()).filter(ended).filter(|s| std::ptr::fn_addr_eq(does[*s], what)).count();
            let sent = count(sends) + count(sends_once).min(1) + count(cancels).min(1);
            let letters = i64::from(matches!(place, Place::Paused)) + sent as i64;
            check(&mut sql, run, letters, &format!("order {order:?}, crashed {crashed:?}")).await;
            end(&mut sql, run).await;
        }
    }
}

async fn begin(sql: &mut Sql, place: Place) -> Uuid {
    let run = sql.start(!matches!(place, Place::Ready)).await;
    if matches!(place, Place::Paused) {
        for does in [sends, delivers] {
            let statement = does(sql, run);
            sql.run(&statement).await;
        }
    }
    if matches!(place, Place::Parked | Place::Paused) {
        let commit = parks(sql, run);
        sql.run(&commit).await;
        sql.run(&format!("UPDATE parked SET wake_at = clock_timestamp() WHERE run_id = '{run}'")).await;
    }
    if matches!(place, Place::Paused) {
        sql.run(&format!("UPDATE runs SET paused_at = clock_timestamp() WHERE run_id = '{run}'")).await;
    }
    run
}

async fn check(sql: &mut Sql, run: Uuid, sent: i64, what: &str) {
    let query = format!(
        "SELECT (SELECT count(*) FROM ready WHERE run_id = '{run}') AS ready,
                (SELECT count(*) FROM owned WHERE run_id = '{run}') AS owned,
                (SELECT count(*) FROM parked WHERE run_id = '{run}') AS parked,
                (SELECT count(*) FROM paused WHERE run_id = '{run}') AS paused,
                (SELECT count(*) FROM inbox WHERE run_id = '{run}') AS letters,
                (SELECT count(*) FROM events WHERE run_id = '{run}') AS delivered"
    );
    let state = sql.value(&query).await;
    let number = |name: &str| state[name].as_i64().expect("a number");
    let places = ["ready", "owned", "parked", "paused"].map(number);
    assert_eq!(places.iter().sum::<i64>(), 1, "{what}: the run is in one place: {state}");
    assert_eq!(number("letters") + number("delivered"), sent, "{what}: no letter is lost or doubled: {state}");
    assert!(number("letters") == 0 || number("parked") == 0, "{what}: it sleeps on a letter: {state}");
}

/// Out of the way of the next.
async fn end(sql: &mut Sql, run: Uuid) {
    for table in ["ready", "owned", "parked", "paused", "inbox"] {
        sql.run(&format!("DELETE FROM {table} WHERE run_id = '{run}'")).await;
    }
}

#[tokio::test]
async fn a_run_that_parks_while_signals_and_a_request_to_stop_come() {
    meet(Place::Owned, &[parks, sends]).await;
    meet(Place::Owned, &[parks, sends_once, sends_once]).await;
}

#[tokio::test]
async fn a_run_that_takes_one_signal_while_another_comes_and_then_parks() {
    meet(Place::Owned, &[delivers, sends]).await;
    meet(Place::Owned, &[sends, delivers, sends]).await;
    meet(Place::Owned, &[sends, delivers, parks]).await;
}

#[tokio::test]
async fn a_run_that_parks_while_a_request_to_stop_comes() {
    meet(Place::Owned, &[parks, cancels]).await;
    meet(Place::Owned, &[parks, sends, cancels]).await;
}

#[tokio::test]
async fn a_run_whose_time_has_come_while_signals_come() {
    meet(Place::Parked, &[fires, sends]).await;
    meet(Place::Parked, &[fires, sends, sends]).await;
}

#[tokio::test]
async fn a_run_whose_time_has_come_is_fired_by_two_hosts_and_gets_a_signal() {
    meet(Place::Parked, &[fires, fires]).await;
    meet(Place::Parked, &[fires, fires, sends]).await;
}

#[tokio::test]
async fn a_run_that_is_claimed_while_signals_come() {
    meet(Place::Ready, &[claims, sends]).await;
    meet(Place::Ready, &[claims, claims, sends]).await;
}

#[tokio::test]
async fn a_run_that_is_woken_and_claimed_in_one_moment() {
    meet(Place::Parked, &[sends, claims]).await;
    meet(Place::Parked, &[fires, sends, claims]).await;
}

#[tokio::test]
async fn a_paused_run_that_is_rewound_while_others_wake_claim_or_resume_it() {
    meet(Place::Paused, &[rewinds, rewinds]).await;
    meet(Place::Paused, &[rewinds, resumes]).await;
    meet(Place::Paused, &[rewinds, fires, claims]).await;
    meet(Place::Paused, &[rewinds, sends, claims]).await;
    meet(Place::Paused, &[rewinds, resumes, fires]).await;
}
