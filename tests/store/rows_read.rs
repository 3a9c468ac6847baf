//! What hosts ask for all the time reads what it is about, whatever else waits: each is asked of a database whose tables are full and
//! whose statistics say so, and the rows that it reads are counted.

use super::sql::{Sql, event, park};

/// Rows in each of the tables.
const MANY: u64 = 20_000;

/// Rows that may be read of one table by what is about ten runs: sixteen shards, and each index that leads there.
const FEW: u64 = 100;

impl Sql {
    /// Many runs that are ready, due, paused and with another host, letters to them, events of theirs, children that nobody wants; and the
    /// statistics of it.
    async fn fill(&mut self) {
        self.run(&format!(
            "CREATE FUNCTION new_runs() RETURNS SETOF runs LANGUAGE sql AS $$
                 INSERT INTO runs (shard, run_id, namespace, workflow, component, version, durability, seed, input)
                 SELECT shard_of(u.id), u.id, 'default', 'w', 'c', 1, 0, uuid_send(u.id), '1'
                 FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, {MANY})) u RETURNING *
             $$"
        ))
        .await;
        for statement in [
            "SELECT take_lease('00000000-0000-0000-0000-000000000002', 'another', '1h')",
            "INSERT INTO ready (shard, namespace, run_id, strikes) SELECT shard, namespace, run_id, 0 FROM new_runs()",
            "INSERT INTO owned (shard, namespace, run_id, host_id, strikes)
             SELECT shard, namespace, run_id, '00000000-0000-0000-0000-000000000002', 0 FROM new_runs()",
            "INSERT INTO parked (shard, namespace, run_id, wake_at, strikes, signals, updates, open_calls)
             SELECT shard, namespace, run_id, now() - interval '1 second', 0, '{go}', '{}', '[]' FROM new_runs()",
            "INSERT INTO paused (shard, namespace, run_id, strikes, open_calls) SELECT shard, namespace, run_id, 0, '[]' FROM new_runs()",
            "INSERT INTO children (shard, run_id, call, child_id, abandon, released)
             SELECT shard, run_id, 1, gen_random_uuid(), false, true FROM parked",
            "INSERT INTO inbox (shard, run_id, kind, name, payload) SELECT shard, run_id, 0, 'x', '1' FROM parked",
            "INSERT INTO events (shard, run_id, seq, kind, call, name, input, attempt, failed, outcome, asked_at, at)
             SELECT shard, run_id, n, 0, n, 's', '1', 1, false, '1', now(), now() FROM parked, generate_series(0, 1) n",
            "INSERT INTO attempts (shard, run_id, call, attempt, step, attempt_limit, started_at, failure, ended_at)
             SELECT shard, run_id, 2, 1, 's', 3, now(), '{}', now() FROM parked",
            "ANALYZE",
            // As hosts' sessions are.
            "SET plan_cache_mode = force_generic_plan",
            "SET enable_seqscan = off",
            "SET jit = off",
        ] {
            self.run(statement).await;
        }
    }

    /// Of which table this reads most rows, and how many; as if it had never been asked.
    async fn most_read(&mut self, statement: &str) -> (String, u64) {
        let read = "(SELECT coalesce(jsonb_object_agg(relname, seq_tup_read + idx_tup_fetch) FILTER (WHERE idx_tup_fetch IS NOT NULL), '{}')
                     FROM pg_stat_xact_user_tables WHERE schemaname = current_schema())";
        self.run("BEGIN").await;
        let before = self.value(&format!("SELECT {read} AS read")).await;
        self.run(statement).await;
        let after = self.value(&format!("SELECT {read} AS read")).await;
        self.run("ROLLBACK").await;
        let tables = after["read"].as_object().expect("tables").iter();
        let read = tables.map(|(table, rows)| {
            let before = before["read"][table].as_u64().unwrap_or_default();
            (table.clone(), rows.as_u64().expect("a number") - before)
        });
        read.max_by_key(|(_, rows)| *rows).expect("a table")
    }

    async fn reads_few(&mut self, statement: &str) {
        let (table, rows) = self.most_read(statement).await;
        assert!(rows <= FEW, "{rows} rows of {table} are read by {statement}");
    }

    /// From now on, whatever is asked is asked as the API does it.
    async fn be_tenant(&mut self) {
        let role = self.value("SELECT tenant_role() AS role").await["role"].as_str().expect("a role").to_owned();
        self.run(&format!("SET ROLE {role}")).await;
        self.run("SET windlass.namespace = 'default'").await;
    }

    /// One of the runs that stand in a table.
    async fn one_of(&mut self, table: &str) -> String {
        let run = self.value(&format!("SELECT run_id FROM {table} OFFSET 77 LIMIT 1")).await;
        run["run_id"].as_str().expect("an id").to_owned()
    }
}

#[tokio::test]
async fn what_hosts_ask_for_reads_no_more_than_it_is_about_however_much_waits() {
    let mut sql = Sql::new().await;
    sql.fill().await;
    let (host, mine) = (sql.host, sql.start(true).await);
    let waits = sql.one_of("parked").await;
    let commit = |parts: &str| sql.commit(1, parts, "");
    let statements = [
        format!("SELECT claim('{host}', 1, 3::smallint, 10, 100)"),
        format!("SELECT claim_suspect('{host}', 1, 3::smallint)"),
        format!("SELECT standing('{{{waits}}}')"),
        format!("SELECT orphans('{host}', 1, '{{}}', '1s')"),
        format!("SELECT renew_lease('{host}', 1, '1h')"),
        format!("SELECT reap('{host}', '1h', '1h')"),
        "SELECT fire_timers(10)".to_owned(),
        "SELECT release_paused('default', -1::smallint, '00000000-0000-0000-0000-000000000000', 10)".to_owned(),
        "SELECT cancel_released(10)".to_owned(),
        format!("SELECT not_open('{{{waits}}}')"),
        format!("SELECT rewound_runs('{{{waits}}}', '1h')"),
        commit(&park(mine)),
        commit(&event(mine, 0, "1")),
        commit(&format!("x_runs => '{{{waits}}}', x_calls => '{{1}}'")),
        commit(&format!("d_runs => '{{{waits}}}', d_inbox => '{{1}}'")),
        commit(&format!("t_runs => '{{{mine}}}', t_tags => '{{a}}'")),
        commit(&format!("v_runs => '{{{mine}}}', v_keys => '{{k}}', v_values => ARRAY['1'::bytea]")),
        commit(&format!(
            "c_runs => '{{{mine}}}', c_states => '{{1}}', c_results => ARRAY['1'::bytea], c_ats => ARRAY[now()], c_codes => '{{NULL}}'"
        )),
        commit(&format!(
            "s_runs => '{{{mine}}}', s_calls => '{{0}}', s_children => ARRAY[gen_random_uuid()], s_workflows => '{{w}}',
             s_inputs => ARRAY['1'::bytea], s_seeds => ARRAY['\\x00000000000000000000000000000000'::bytea], s_abandon => '{{f}}',
             s_detached => '{{f}}'"
        )),
        commit(&format!(
            "n_runs => '{{{mine}}}', n_generations => '{{1}}', n_seqs => '{{0}}', n_calls => '{{0}}', n_inputs => ARRAY['1'::bytea],
             n_ats => ARRAY[now()], n_told => '{{NULL}}'"
        )),
        format!(
            "SELECT start_runs('{host}', 1, '{{default}}', ARRAY[gen_random_uuid()], '{{w}}', '{{0}}',
             ARRAY['\\x00000000000000000000000000000000'::bytea], '{{NULL}}', ARRAY['null'::bytea], '{{NULL}}')"
        ),
    ];
    for statement in statements {
        sql.reads_few(&statement).await;
    }
}

#[tokio::test]
async fn what_a_tenant_asks_about_one_run_reads_what_there_is_of_it_behind_the_second_wall_too() {
    let mut sql = Sql::new().await;
    sql.fill().await;
    let (waits, paused, stuck) = (sql.one_of("parked").await, sql.one_of("paused").await, sql.one_of("owned").await);
    let of = |run: &str| format!("shard = shard_of('{run}') AND run_id = '{run}'");
    sql.run(&format!("UPDATE runs SET paused_at = now() WHERE {}", of(&paused))).await;
    sql.run(&format!("UPDATE runs SET state = 4 WHERE {}", of(&stuck))).await;
    sql.run(&format!("DELETE FROM owned WHERE {}", of(&stuck))).await;
    let mut statements = vec![
        format!("SELECT send_signal('default', '{waits}', 'go', '1', 'id', 10)"),
        format!("SELECT send_update('default', '{waits}', 'go', '1', 'id', 10)"),
        format!("SELECT request_cancel('default', '{waits}')"),
        format!("SELECT pause_run('default', '{waits}', 'cli:a')"),
        format!("SELECT resume_run('default', '{paused}', 'cli:a')"),
        format!("SELECT retry_run('default', '{stuck}', 'cli:a')"),
        format!("SELECT terminate_run('default', '{waits}', '{{}}')"),
        format!("SELECT migrate_run('default', '{waits}', 1, 1, 0, 2, 'cli:a')"),
        format!("SELECT get_run('default', '{waits}')"),
        format!("SELECT step_readiness('default', '{{{waits}}}')"),
        format!("SELECT run_context('default', '{{{waits}}}')"),
    ];
    let of_one = ["events", "attempts", "logs", "published", "inbox", "children", "updates", "rewinds", "past_events"];
    statements.extend(of_one.map(|table| format!("SELECT * FROM {table} WHERE {}", of(&waits))));
    for statement in &statements {
        sql.reads_few(statement).await;
    }
    sql.be_tenant().await;
    for statement in &statements {
        sql.reads_few(statement).await;
    }
}

#[tokio::test]
async fn a_run_that_is_limited_passes_its_gates_and_gives_its_slots_back_however_many_wait_and_whatever_keys_there_are()
{
    let mut sql = Sql::new().await;
    let start = |key: &str| {
        format!(
            "SELECT * FROM start_runs(NULL, NULL, '{{default}}', ARRAY[gen_random_uuid()], '{{w}}', '{{0}}',
             ARRAY['\\x00000000000000000000000000000000'::bytea], '{{NULL}}', ARRAY['null'::bytea], '{{NULL}}',
             p_concurrency_keys => '{{{key}}}')"
        )
    };
    sql.run("SELECT set_concurrency('default', 'w', 3, 1, 'cli:a')").await;
    let first = sql.value(&start("busy")).await["run_id"].as_str().expect("an id").to_owned();
    sql.run(&start("busy")).await;
    sql.fill().await;
    sql.run(&format!(
        "INSERT INTO gates (namespace, workflow, key, taken) SELECT 'default', 'w', 'key ' || n, 1 FROM generate_series(1, {MANY}) n"
    ))
    .await;
    for (key, level) in [("busy", 1), ("", 2)] {
        sql.run(&format!(
            "INSERT INTO queued (shard, run_id, namespace, gate_id, level, priority)
             SELECT r.shard, r.run_id, 'default', g.gate_id, {level}, 3 FROM new_runs() r, gates g WHERE g.key = '{key}'"
        ))
        .await;
    }
    sql.run("ANALYZE").await;
    sql.reads_few(&start("another")).await;
    sql.reads_few(&start("busy")).await;
    let end = format!("SELECT terminate_run('default', '{first}', '{{}}')");
    // When a limit was changed, all of them are looked at, some at a time.
    let settles = [
        "SELECT count_under_way('default', 'w', '2000-01-01', '00000000-0000-0000-0000-000000000000', 10)",
        "SELECT settle_gates('default', 'w', '', 10)",
        "SELECT settle_gates('default', 'w', 'key 7', 10)",
    ];
    for statement in settles.into_iter().chain([&*end]) {
        sql.reads_few(statement).await;
    }
    sql.be_tenant().await;
    for statement in settles.into_iter().chain([&*end]) {
        sql.reads_few(statement).await;
    }
}

#[tokio::test]
async fn ticks_are_found_and_dealt_with_however_many_schedules_there_are_and_however_many_wait() {
    let mut sql = Sql::new().await;
    sql.fill().await;
    // One after the other is due; of half of them an earlier tick waits for the end of a run.
    sql.run(&format!(
        "INSERT INTO schedules (namespace, schedule, workflow, input, durability, spec, overlap, jitter_us, catch_up_us, next_tick, due_at,
                                queued_tick)
         SELECT 'default', 's' || n, 'w', '1', 0, '{{}}', 1, 0, 1000000000, t.at, t.at, CASE WHEN n % 2 = 0 THEN now() END
         FROM generate_series(1, {MANY}) n, LATERAL (SELECT now() + interval '1 second' * (n - 10000) AS at) t"
    ))
    .await;
    sql.run(
        "INSERT INTO schedule_ticks (namespace, schedule, tick, outcome, run_id)
         SELECT 'default', 's' || row_number() OVER (), now(), 0, run_id FROM parked",
    )
    .await;
    sql.run("ANALYZE").await;
    let fire = |schedule: &str| {
        format!(
            "SELECT fire_schedule('default', s.schedule, s.spec, s.next_tick, now() + interval '1 hour', now() + interval '1 hour',
                                  gen_random_uuid(), '\\x00000000000000000000000000000000', 'key', NULL)
             FROM schedules s WHERE s.namespace = 'default' AND s.schedule = '{schedule}'"
        )
    };
    let statements = [
        "SELECT due_schedules(10, '{}', '', '')".to_owned(),
        "SELECT due_schedules(10, '{another}', 'default', 's7')".to_owned(),
        fire("s8"),
        fire("s9"),
        "SELECT fire_queued('default', 's8', now(), gen_random_uuid(), '\\x00', 'key', NULL)".to_owned(),
        "SELECT miss_ticks('default', 's9', '{}', now(), NULL, NULL, 1)".to_owned(),
        "SELECT pause_schedule('default', 's8', 'cli:a')".to_owned(),
        "SELECT delete_schedule('default', 's8', 'cli:a')".to_owned(),
    ];
    for statement in &statements {
        sql.reads_few(statement).await;
    }
}
