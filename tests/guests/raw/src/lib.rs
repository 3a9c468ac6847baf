//! A guest that speaks the WIT itself, without an SDK: what only such a guest can do. It runs no code of a futures
//! executor; each workflow is what its exports return.

use std::cell::RefCell;

use exports::windlass::workflow::program::{Attempt, Guest, Manifest, Progress, StepDeclaration, WorkflowDeclaration};
use windlass::workflow::event::{self, CancelReason, Event, Outcome};
use windlass::workflow::types::{Failure, RetryPolicy};
use windlass::workflow::{step, timer};

wit_bindgen::generate!({ path: "../../../wit", world: "workflow" });

thread_local! {
    static WORKFLOW: RefCell<String> = const { RefCell::new(String::new()) };
    static OUTCOMES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Raw;

/// Tests change these bytes of the component, to make its manifest lie.
const WORKFLOWS: [&str; 8] = [
    "yields",
    "yields-for-ever",
    "never-pulls",
    "not-json",
    "ignores-cancel",
    "ends-early",
    "bad-failure",
    "raw-workflow-name",
];

impl Guest for Raw {
    fn describe() -> Manifest {
        let workflow = |name: &str| WorkflowDeclaration {
            name: name.to_owned(),
            docs: String::new(),
            input_schema: b"{\"raw\":1}".to_vec(),
            output_schema: b"true".to_vec(),
        };
        let step = StepDeclaration {
            name: "raw-step".to_owned(),
            docs: String::new(),
            input_schema: b"true".to_vec(),
            output_schema: b"true".to_vec(),
            retry: RetryPolicy { max_attempts: 1, initial: 0, factor: 1.0, maximum: 0, jitter: 0.0 },
            timeout: 1_000_000,
            total_timeout: None,
            http: vec!["raw-host.example".to_owned()],
        };
        let workflows = WORKFLOWS.into_iter().map(workflow).collect();
        Manifest { name: "raw-component".to_owned(), sdk: "none".to_owned(), workflows, steps: vec![step] }
    }

    fn start(workflow: String, _input: Vec<u8>) -> Progress {
        WORKFLOW.set(workflow.clone());
        match &*workflow {
            "not-json" => return Progress::Completed(b"{not json".to_vec()),
            "bad-failure" => {
                let code = "no code".to_owned();
                return Progress::Failed(Failure {
                    code,
                    message: String::new(),
                    details: None,
                    cause: None,
                    retryable: false,
                });
            }
            _ => {}
        }
        ask();
        ask();
        if workflow == "ignores-cancel" {
            timer::sleep(300_000);
        }
        Progress::Waiting
    }

    fn resume() -> Progress {
        match &*WORKFLOW.take() {
            // Returns at once, and only then does its microtasks, as JavaScript would.
            name @ "yields" => {
                WORKFLOW.set(name.to_owned());
                let pulled = pull();
                if OUTCOMES.with_borrow(Vec::len) < 2 {
                    return if pulled { Progress::Yielded } else { Progress::Waiting };
                }
            }
            name @ "yields-for-ever" => {
                WORKFLOW.set(name.to_owned());
                return Progress::Yielded;
            }
            name @ "never-pulls" => {
                WORKFLOW.set(name.to_owned());
                return Progress::Waiting;
            }
            name => {
                WORKFLOW.set(name.to_owned());
                while pull() {}
                let wanted = if name == "ignores-cancel" { 4 } else { 2 };
                if name != "ends-early" && OUTCOMES.with_borrow(Vec::len) < wanted {
                    return Progress::Waiting;
                }
            }
        }
        Progress::Completed(format!("{:?}", OUTCOMES.take()).into_bytes())
    }

    fn run_step(_name: String, input: Vec<u8>, attempt: Attempt) -> Result<Vec<u8>, Failure> {
        Ok(format!("\"{} {}\"", String::from_utf8_lossy(&input), attempt.number).into_bytes())
    }
}

fn ask() {
    step::run("raw-step", b"1", step::Options { retry: None, timeout: None, total_timeout: None });
}

fn pull() -> bool {
    let Some(event) = event::next() else { return false };
    let text = match event {
        Event::Completed(completion) => match completion.outcome {
            Outcome::Ok(payload) => String::from_utf8_lossy(&payload).into_owned(),
            Outcome::Failed(failure) => failure.code,
        },
        Event::CancelRequested(CancelReason::Requested) => "cancel".to_owned(),
        Event::CancelRequested(reason) => format!("{reason:?}"),
    };
    OUTCOMES.with_borrow_mut(|outcomes| outcomes.push(text));
    true
}

export!(Raw);
