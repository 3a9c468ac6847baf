//! What the database did for a query, as short as it can be told: what is read by which index, how many rows, how long. The plans come from
//! `auto_explain`, as notices to the session, which sqlx logs; so they are those of the statements inside of functions, too.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::{Mutex, PoisonError};

use serde_json::{Deserializer, Value};
use tracing_subscriber::fmt::MakeWriter;

/// What is asked for each row, and took less of the whole than this, is not shown.
const SHOWN_FROM: f64 = 0.05;

/// Where notices are collected.
struct Notices;

static COLLECTED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

impl io::Write for Notices {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        COLLECTED.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Notices {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

/// Collect from now on.
pub(crate) fn collect() {
    let plain = tracing_subscriber::fmt().without_time().with_target(false).with_level(false).with_ansi(false);
    plain.with_writer(Notices).init();
}

/// What has been shown: the shape of the plan of a statement, and which query had it first.
#[derive(Default)]
pub(crate) struct Shown(HashMap<String, &'static str>);

impl Shown {
    /// The plans of what was executed since the last time, which is all for this query.
    pub(crate) fn next(&mut self, query: &'static str) -> String {
        let collected = std::mem::take(&mut *COLLECTED.lock().unwrap_or_else(PoisonError::into_inner));
        let statements = statements(&String::from_utf8_lossy(&collected));
        // The query itself contains all others.
        let whole = statements.iter().map(|statement| statement.took).fold(0.0, f64::max);
        let shown = statements.iter().filter(|statement| statement.is_shown(whole));
        shown.map(|statement| self.told(query, statement)).collect()
    }

    fn told(&mut self, query: &'static str, Statement { plan, executed, .. }: &Statement) -> String {
        let times = if *executed > 1 { format!("{executed} times, the longest:\n") } else { String::new() };
        let plans = match self.0.entry(told(plan, "", 0, false)) {
            Entry::Occupied(first) => format!("as for {}{}\n", first.get(), figures(plan)),
            Entry::Vacant(none) => {
                none.insert(query);
                told(plan, "", 0, true)
            }
        };
        (times + &plans).lines().map(|line| format!("        {line}\n")).collect()
    }
}

/// All executions of one statement.
struct Statement {
    text: String,
    executed: usize,
    /// Milliseconds, of all executions.
    took: f64,
    longest: f64,
    /// Of the longest.
    plan: Value,
}

impl Statement {
    fn is_shown(&self, whole: f64) -> bool {
        let is_for_each_row = self.executed > 2;
        reads_tables(&self.plan) && (!is_for_each_row || self.took >= SHOWN_FROM * whole)
    }
}

/// Whether it reads any, but for those that are small however many runs there are.
fn reads_tables(node: &Value) -> bool {
    let relation = text(node, "Relation Name");
    let is_one = !["", "hosts", "pauses"].contains(&relation) && !relation.starts_with("pg_");
    is_one || children(node).any(reads_tables)
}

fn children(node: &Value) -> impl Iterator<Item = &Value> {
    node["Plans"].as_array().into_iter().flatten()
}

fn statements(collected: &str) -> Vec<Statement> {
    let mut statements: Vec<Statement> = Vec::new();
    for notice in collected.split("duration: ").skip(1) {
        let Some((duration, plan)) = notice.split_once(" ms  plan:\n") else { continue };
        let plan = Deserializer::from_str(plan).into_iter::<Value>().next().expect("a plan").expect("JSON");
        let (text, took) = (plan["Query Text"].to_string(), duration.parse().expect("a number"));
        match statements.iter_mut().find(|statement| statement.text == text) {
            Some(statement) => {
                statement.executed += 1;
                statement.took += took;
                if took > statement.longest {
                    (statement.longest, statement.plan) = (took, plan["Plan"].clone());
                }
            }
            None => {
                statements.push(Statement { text, executed: 1, took, longest: took, plan: plan["Plan"].clone() });
            }
        }
    }
    statements
}

/// A node and what is below it, each on a line; without what it came to, it is the shape.
fn told(node: &Value, label: &str, depth: usize, with_figures: bool) -> String {
    let label = [label, text(node, "Subplan Name")].concat();
    let mut below = children(node);
    // Some were never executed, and some only check whose namespace it is, or count.
    match (node["Actual Loops"].as_f64(), text(node, "Node Type"), below.next(), below.next()) {
        (Some(0.0), ..) => return String::new(),
        (_, "Result" | "Limit", Some(child), None) => return told(child, &label, depth, with_figures),
        _ => {}
    }
    let label = if label.is_empty() { label } else { label + ": " };
    let figures = if with_figures { figures(node) } else { String::new() };
    let line = format!("{}{label}{}{figures}\n", "    ".repeat(depth), what(node));
    children(node).fold(line, |lines, child| lines + &told(child, "", depth + 1, with_figures))
}

fn text<'a>(node: &'a Value, name: &str) -> &'a str {
    node[name].as_str().unwrap_or_default()
}

/// What is done, to what, by which index.
fn what(node: &Value) -> String {
    let by = if text(node, "Scan Direction") == "Backward" { " backward by " } else { " by " };
    let parts = [(by, "Index Name"), (" of ", "Relation Name"), (" of ", "Function Name"), (" of ", "CTE Name")];
    let parts = parts.map(|(word, name)| match text(node, name) {
        "" => String::new(),
        value => format!("{word}{value}"),
    });
    let condition = match text(node, "Index Cond") {
        "" => String::new(),
        condition => format!(" where {}", shortened(condition)),
    };
    format!("{}{}{condition}", text(node, "Node Type"), parts.concat())
}

/// What it came to, in all of its loops.
fn figures(node: &Value) -> String {
    let of = |name: &str| node[name].as_f64().unwrap_or_default();
    let loops = of("Actual Loops");
    let times = if loops > 1.0 { format!(" in {loops} times") } else { String::new() };
    format!(": {} rows{times}, {:.2} ms", of("Actual Rows") * loops, of("Actual Total Time") * loops)
}

/// A condition without what is the same in each.
fn shortened(condition: &str) -> String {
    let mut short = condition.replace("(state)::smallint", "state").replace("(seq)::integer", "seq");
    for (long, word) in [
        ("(ROW(started_at, run_id) >= ROW($20, $21))", "from"),
        ("(ROW(started_at, run_id) < ROW($17, $18))", "to"),
        ("(ROW(started_at, run_id) < ROW($6, $7))", "to"),
        ("(started_at >= $5)", "from"),
        ("(((get_byte(uuid_send(u.run_id), 15) % 16))::smallint)", "shard_of(u.run_id)"),
        ("CASE WHEN ($19 = ANY ('{0,1,2,7}'::integer[])) THEN 0 ELSE ($19 - 2) END", "$19"),
    ] {
        short = short.replace(long, word);
    }
    short
}
