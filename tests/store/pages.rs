//! A history in parts that fit into memory.

use windlass_host::model::{Namespace, RunId};

use super::sql::Sql;

#[tokio::test]
async fn a_page_of_a_history_ends_after_so_many_events_or_bytes_and_says_what_comes_next() {
    let mut sql = Sql::new().await;
    let run = RunId(sql.start(false).await);
    // A megabyte each, but for the first.
    sql.run(&format!(
        "INSERT INTO events (shard, run_id, seq, kind, call, name, input, attempt, failed, outcome, asked_at, at)
         SELECT {}, '{run}', n, 0, n, 's', '1', 1, false,
             convert_to(to_jsonb(repeat('x', CASE n WHEN 0 THEN 1 ELSE 1 << 20 END))::text, 'UTF8'), now(), now()
         FROM generate_series(0, 9) n",
        run.shard()
    ))
    .await;
    let (store, namespace) = (sql.database.store().await, Namespace::new("default").expect("a namespace"));
    let page = async |first, limit, bytes| {
        let (events, next) = store.history_page(&namespace, run, first, limit, bytes).await.expect("a page");
        (events.iter().map(|event| event.seq).collect::<Vec<_>>(), next)
    };
    assert_eq!(page(0, 3, u32::MAX).await, (vec![0, 1, 2], Some(3)));
    assert_eq!(page(7, 3, u32::MAX).await, (vec![7, 8, 9], None));
    assert_eq!(page(0, 100, 2 << 20).await, (vec![0, 1, 2], Some(3)), "the event that is too much ends the page");
    assert_eq!(page(3, 100, 1).await, (vec![3], Some(4)), "one is always there");
    assert_eq!(page(9, 100, 1).await, (vec![9], None));
    assert_eq!(page(10, 100, 1).await, (vec![], None));
}
