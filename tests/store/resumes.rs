//! What a resume lets go on: whoever asks for it may die over it, and others finish it.

use windlass_host::model::{Name, Namespace, Who};

use super::sql::Sql;

/// So many runs of the workflow `w`, held back; every third is paused by itself as well.
async fn held_back(sql: &mut Sql, runs: usize) {
    for number in 0..runs {
        let run = sql.start(false).await;
        if number % 3 == 0 {
            sql.run(&format!("UPDATE runs SET paused_at = now() WHERE run_id = '{run}'")).await;
        }
    }
    sql.run(
        "WITH gone AS (DELETE FROM ready RETURNING shard, run_id, namespace, strikes)
         INSERT INTO paused (shard, run_id, namespace, strikes, open_calls) SELECT g.*, '[]' FROM gone g",
    )
    .await;
}

#[tokio::test]
async fn what_whoever_resumed_a_workflow_has_left_behind_is_let_go_and_what_is_paused_by_itself_is_not() {
    let mut sql = Sql::new().await;
    let store = sql.database.store().await;
    let namespace = Namespace::new("default").expect("a namespace");
    let workflow = Name::new("w").expect("a name");
    store.pause_workflow(&namespace, Some(&workflow), &Who::Dev).await.expect("paused");
    held_back(&mut sql, 30).await;
    assert_eq!(store.release_paused(&namespace, None, 100).await.expect("asked"), (0, None), "all of them are paused");

    // Somebody resumes it, and does no more than that.
    store.resume_workflow(&namespace, Some(&workflow), &Who::Dev).await.expect("resumed");
    let left = store.resumes().await.expect("read");
    let [(found, at)] = &left[..] else { panic!("{left:?}") };
    assert_eq!(found, &namespace);
    // In parts, of which none begins again with those that stay.
    let (mut released, mut parts, mut after) = (0, 0, None);
    loop {
        let (some, next) = store.release_paused(&namespace, after, 7).await.expect("asked");
        (released, parts, after) = (released + some, parts + 1, next);
        if next.is_none() {
            break;
        }
    }
    assert_eq!((released, parts), (20, 5));
    assert_eq!(sql.database.count("SELECT count(*) FROM ready").await, 20);
    let by_itself = "SELECT count(*) FROM paused JOIN runs USING (run_id) WHERE runs.paused_at IS NOT NULL";
    assert_eq!(sql.database.count(by_itself).await, 10);

    // It is looked at again until nobody can have put a run there who did not know of the resume.
    store.end_resume(&namespace, *at).await.expect("asked");
    assert_eq!(store.resumes().await.expect("read").len(), 1);
    sql.run("UPDATE resumes SET resumed_at = resumed_at - interval '2 minutes'").await;
    let (_, at) = store.resumes().await.expect("read").pop().expect("still there");
    store.end_resume(&namespace, at).await.expect("asked");
    assert!(store.resumes().await.expect("read").is_empty());
}
