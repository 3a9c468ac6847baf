//! What one claim takes of each namespace, when one of them has far more waiting than another.

use serde_json::json;

use super::sql::Sql;

/// Runs of the namespace that has many, all of them older than those of the other, and of the one that has few.
const MANY: u32 = 480;
const FEW: u32 = 8;

impl Sql {
    /// So many more runs of a namespace are ready, all of one priority, in the first shards, as many in each of them.
    async fn have_ready(&mut self, namespace: &str, runs: u32, priority: u8, shards: u32) {
        // The last digit of an id is its shard.
        let ready = format!(
            "WITH new AS (INSERT INTO runs (shard, run_id, namespace, workflow, component, version, durability, seed, input, priority)
                          SELECT shard_of(u.id), u.id, '{namespace}', 'w', 'c', 1, 0, uuid_send(u.id), '1', {priority}
                          FROM (SELECT (left(gen_random_uuid()::text, 35) || to_hex(n % {shards}))::uuid AS id
                                FROM generate_series(1, {runs}) n) u
                          RETURNING shard, run_id)
             INSERT INTO ready (shard, namespace, priority, run_id, strikes)
             SELECT shard, '{namespace}', {priority}, run_id, 0 FROM new"
        );
        self.run(&ready).await;
    }

    /// Claim up to `limit` runs: of `many`, which the host has some of already, at most so many; of others at most `each`. Returns how
    /// many it took of `many`, and how many of `few`.
    async fn claim_of_both(&mut self, limit: u32, each: u32, of_many: u32) -> (u64, u64) {
        let claim = format!(
            "SELECT count(*) FILTER (WHERE namespace = 'many') AS many, count(*) FILTER (WHERE namespace = 'few') AS few
             FROM claim('{}', 1, 0::smallint, {limit}, {each}, '{{many}}', '{{{of_many}}}')",
            self.host
        );
        let taken = self.value(&claim).await;
        (taken["many"].as_u64().expect("a number"), taken["few"].as_u64().expect("a number"))
    }

    /// How many wait of both together.
    async fn are_left(&mut self) -> u64 {
        self.value("SELECT count(*) AS runs FROM ready").await["runs"].as_u64().expect("a number")
    }
}

/// A database with two namespaces: runs of `many`, with this priority, and then some of `few`, with that one.
async fn many_and_few(of_many: u8, of_few: u8) -> Sql {
    let mut sql = Sql::new().await;
    sql.run("INSERT INTO namespaces (namespace) VALUES ('many'), ('few')").await;
    sql.have_ready("many", MANY, of_many, 16).await;
    sql.have_ready("few", FEW, of_few, 16).await;
    sql
}

#[tokio::test]
async fn one_claim_takes_what_a_namespace_has_however_many_older_runs_of_another_wait() {
    let mut sql = many_and_few(3, 3).await;
    // A host that has none of either: ten of each are fair.
    assert_eq!(sql.claim_of_both(200, 10, 10).await, (10, u64::from(FEW)));
    // One that has ten of the first: a few more are, and what there is of the other.
    sql.have_ready("few", FEW, 3, 16).await;
    assert_eq!(sql.claim_of_both(200, 10, 4).await, (4, u64::from(FEW)));
    // One that has as many as is fair takes none, and the other need not wait for that.
    sql.have_ready("few", FEW, 3, 16).await;
    assert_eq!(sql.claim_of_both(5, 10, 0).await, (0, 5));
    assert_eq!(sql.claim_of_both(200, 10, 0).await, (0, 3));
    assert_eq!(sql.are_left().await, u64::from(MANY) - 14);
}

#[tokio::test]
async fn the_most_urgent_runs_of_a_namespace_take_nothing_from_the_least_urgent_of_another() {
    let mut sql = many_and_few(1, 5).await;
    assert_eq!(sql.claim_of_both(200, 10, 10).await, (10, u64::from(FEW)));
    // Where both meet in one shard, and there is not room for all: of whom the host has less, comes first, urgent or not.
    sql.have_ready("few", FEW, 5, 1).await;
    assert_eq!(sql.claim_of_both(10, 9, 5).await, (2, u64::from(FEW)));
    // It is nothing to them how urgent the runs of the other are.
    sql.run("DELETE FROM ready WHERE namespace = 'many'").await;
    sql.have_ready("many", MANY, 5, 16).await;
    sql.have_ready("few", FEW, 5, 1).await;
    assert_eq!(sql.claim_of_both(10, 9, 5).await, (2, u64::from(FEW)));
    let taken = sql.value("SELECT count(*) AS runs FROM owned WHERE namespace = 'few' AND priority = 5").await;
    assert_eq!(taken, json!({ "runs": 3 * FEW }));
}
