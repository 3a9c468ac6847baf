//! A guest whose program is a line of text. Tests change that text in the component's bytes, and have the same run with another
//! program.

use std::cell::RefCell;

use exports::windlass::workflow::program::{Attempt, Guest, Manifest, Progress, StepDeclaration, WorkflowDeclaration};
use windlass::workflow::types::{Failure, RetryPolicy};
use windlass::workflow::{child, event, run, signal, step, timer, update};

wit_bindgen::generate!({ path: "../../../wit", world: "workflow" });

/// What the workflow asks: a letter for the kind of call and a digit for its input, and `;` where it waits for all of them.
/// `s` and `r` are two steps, `t` sleeps, `g` waits for a signal, `u` for an update, `c` starts a child, `m` sends a signal.
#[used]
static SCRIPT: [u8; 48] = *b"script:s1s2;t3;s4c5m6;g7;s8                     ";

thread_local! {
    /// How far the script has come, and how many calls it waits for.
    static PLACE: RefCell<(usize, usize)> = const { RefCell::new((7, 0)) };
}

struct Script;

impl Guest for Script {
    fn describe() -> Manifest {
        let any = || b"true".to_vec();
        let workflow = WorkflowDeclaration {
            name: "script".to_owned(),
            docs: String::new(),
            input_schema: any(),
            output_schema: any(),
        };
        let step = |name: &str| StepDeclaration {
            name: name.to_owned(),
            docs: String::new(),
            input_schema: any(),
            output_schema: any(),
            retry: RetryPolicy { max_attempts: 1, initial: 0, factor: 1.0, maximum: 0, jitter: 0.0 },
            timeout: 1_000_000,
            total_timeout: None,
            http: Vec::new(),
        };
        let (name, sdk) = ("script".to_owned(), "none".to_owned());
        Manifest { name, sdk, workflows: vec![workflow], steps: vec![step("s"), step("r")] }
    }

    fn start(_workflow: String, _input: Vec<u8>) -> Progress {
        go_on()
    }

    fn resume() -> Progress {
        go_on()
    }

    fn run_step(_name: String, input: Vec<u8>, _attempt: Attempt) -> Result<Vec<u8>, Failure> {
        Ok(input)
    }
}

fn go_on() -> Progress {
    // Volatile: the compiler must not know what tests will change.
    let script = unsafe { std::ptr::read_volatile(&raw const SCRIPT) };
    PLACE.with_borrow_mut(|(next, open)| {
        loop {
            while *open > 0 {
                match event::next() {
                    Some(_) => *open -= 1,
                    None => return Progress::Waiting,
                }
            }
            if script[*next] == b' ' {
                return Progress::Completed(b"\"done\"".to_vec());
            }
            while script[*next] != b';' && script[*next] != b' ' {
                ask(script[*next], script[*next + 1]);
                *next += 2;
                *open += 1;
            }
            *next += usize::from(script[*next] == b';');
        }
    })
}

fn ask(kind: u8, digit: u8) {
    let (input, name) = ([digit], char::from(digit).to_string());
    match kind {
        b's' | b'r' => {
            let options = step::Options { retry: None, timeout: None, total_timeout: None };
            step::run(&char::from(kind).to_string(), &input, options)
        }
        b't' => timer::sleep(1_000 * u64::from(digit - b'0')),
        b'g' => signal::receive(&name),
        b'u' => update::receive(&name),
        b'c' => {
            let options = child::Options { parent_close: child::ParentClose::Cancel, detached: false };
            child::start("nobody-has-this", &input, options)
        }
        b'm' => signal::send(&run::current().run_id, "nobody-asks", &input),
        other => panic!("`{other}` is no kind of call"),
    };
}

export!(Script);
