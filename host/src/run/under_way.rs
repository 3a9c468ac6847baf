//! A call that is under way when its run is to go on with another version.

use crate::model::{Ask, Call, CallId, Payload};

/// A call that was asked for and is not answered.
#[derive(Clone, Debug)]
pub struct UnderWay {
    /// Its number.
    pub call: CallId,
    /// The word for its kind, as [`Ask::kind`] says it.
    pub kind: String,
    /// The name in it.
    pub name: String,
    /// What it hands over, if that is known.
    pub input: Option<Payload>,
}

impl From<&Call> for UnderWay {
    fn from(call: &Call) -> Self {
        let Call { id, ask, .. } = call;
        Self { call: *id, kind: ask.kind().to_owned(), name: ask.name().to_owned(), input: Some(ask.input()) }
    }
}

impl UnderWay {
    /// What of it would be otherwise with a version that makes the calls `new`, in order. Only what has reached outside, or may have,
    /// has to be the same: a wait for a signal, an update or a time has reached nobody, and a version may do without it.
    pub fn difference(&self, new: &[Call]) -> Option<String> {
        let Self { call, kind, name, input } = self;
        if !["step", "child", "send"].contains(&kind.as_str()) {
            return None;
        }
        let asked = format!("call {call}, the {kind} `{name}`, is under way");
        let Ok(at) = new.binary_search_by_key(call, |other| other.id) else {
            return Some(format!("{asked}, and this version does not make it"));
        };
        let other: &Ask = &new[at].ask;
        if (other.kind(), other.name()) != (kind, name) {
            return Some(format!("{asked}, and is the {} `{}` in this version", other.kind(), other.name()));
        }
        let is_other_input = input.as_ref().is_some_and(|input| *input != other.input());
        is_other_input.then(|| format!("{asked} with another input than this version gives it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Name, StepOptions, Timestamp};

    fn call(id: u32, ask: Ask) -> Call {
        Call { id, asked_at: Timestamp::from_micros(0), ask }
    }

    fn step(name: &str, input: u32) -> Ask {
        let (name, input) = (Name::new(name).unwrap(), Payload::of(&input));
        Ask::Step { name, input, options: StepOptions::default() }
    }

    #[test]
    fn a_step_that_is_under_way_has_to_be_the_same_call_and_a_wait_does_not() {
        let open = UnderWay::from(&call(5, step("ship", 1)));
        let told = |new: &[Call]| open.difference(new).unwrap_or_default();
        assert_eq!(told(&[call(4, step("pay", 1)), call(5, step("ship", 1))]), "");
        assert_eq!(told(&[]), "call 5, the step `ship`, is under way, and this version does not make it");
        let other = "call 5, the step `ship`, is under way, and is the step `send` in this version";
        assert_eq!(told(&[call(5, step("send", 1))]), other);
        let input = "call 5, the step `ship`, is under way with another input than this version gives it";
        assert_eq!(told(&[call(5, step("ship", 2))]), input);
        let wait = UnderWay::from(&call(5, Ask::Receive { name: Name::new("go").unwrap() }));
        assert_eq!(wait.difference(&[]), None);
        let unknown = UnderWay { input: None, ..open.clone() };
        assert_eq!(unknown.difference(&[call(5, step("ship", 2))]), None, "what it hands over is not known");
    }
}
