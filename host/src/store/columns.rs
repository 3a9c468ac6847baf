//! The parameters of `commit_batch`: for each kind of record, a column for each of its fields. Those of a kind that the batch has
//! none of are null: the server reads 80 arrays, however short, in a third of the time that a small commit takes.

use chrono::{DateTime, Utc};
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use uuid::Uuid;

/// A call with one more parameter for each column.
type Call<'q, O> = QueryAs<'q, Postgres, O, PgArguments>;

macro_rules! columns {
    ($($name:ident { $($column:ident: $type:ty),+ $(,)? })+) => {
        $(
            #[derive(Default)]
            pub(super) struct $name { $(pub(super) $column: Vec<$type>),+ }

            impl $name {
                pub(super) const COUNT: usize = [$(stringify!($column)),+].len();

                pub(super) fn bind<'q, O>(self, call: Call<'q, O>) -> Call<'q, O> {
                    call$(.bind(some(self.$column)))+
                }
            }
        )+
    };
}

type Time = DateTime<Utc>;

/// A column of which there is something to say. One that is null, or has nothing but nulls, reads the same.
fn some<T: Field>(column: Vec<T>) -> Option<Vec<T>> {
    Some(column).filter(|column| !column.iter().all(Field::is_null))
}

trait Field {
    fn is_null(&self) -> bool {
        false
    }
}

impl<T> Field for Option<T> {
    fn is_null(&self) -> bool {
        self.is_none()
    }
}

macro_rules! never_null {
    ($($type:ty)+) => { $(impl Field for $type {})+ };
}

never_null! { Uuid String Time Vec<u8> bool i16 i32 i64 }

columns! {
    Starts {
        runs: Uuid, namespaces: String, workflows: String, components: String, versions: i32, durabilities: i16,
        seeds: Vec<u8>, keys: Option<String>, inputs: Vec<u8>, started_ats: Time, deadline_ats: Option<Time>, states: i16,
        results: Option<Vec<u8>>, closed_ats: Option<Time>, codes: Option<String>, tags: Option<String>,
        priorities: Option<i16>,
    }
    Events {
        runs: Uuid, seqs: i32, kinds: i16, calls: Option<i32>, names: String, inputs: Option<Vec<u8>>, attempts: i32,
        failed: bool, outcomes: Option<Vec<u8>>, asked_ats: Option<Time>, ats: Time, inbox: Option<i64>,
    }
    Attempts {
        runs: Uuid, calls: i32, attempts: i32, steps: Option<String>, limits: Option<i32>, failures: Option<Vec<u8>>,
        heartbeats: Option<Vec<u8>>, started_ats: Time, ended_ats: Option<Time>, next_ats: Option<Time>,
    }
    Logs { runs: Uuid, sources: i32, attempts: i32, numbers: i32, levels: i16, messages: String }
    Values { runs: Uuid, keys: String, values: Vec<u8> }
    Taggings { runs: Uuid, tags: String }
    Children {
        runs: Uuid, calls: i32, ids: Uuid, workflows: String, inputs: Vec<u8>, seeds: Vec<u8>, abandon: bool,
        detached: bool,
    }
    Releases { runs: Uuid, calls: i32 }
    Answers { runs: Uuid, calls: i32, failed: bool, answers: Vec<u8> }
    Discards { runs: Uuid, inbox: i64 }
    Continuations { runs: Uuid, generations: i32, seqs: i32, calls: i32, inputs: Vec<u8>, ats: Time, told: Option<String> }
    Ends { runs: Uuid, states: i16, results: Vec<u8>, ats: Time, codes: Option<String> }
    Parks { runs: Uuid, wake_ats: Option<Time>, signals: String, updates: String, strikes: i16, open_calls: Vec<u8> }
}
