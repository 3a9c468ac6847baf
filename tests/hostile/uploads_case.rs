//! A hostile upload, and what comes of it.

use crate::harness::api::Api;

/// An upload, and what may come of it: a code of `docs/errors.md`, or `ok` if it harms nobody.
pub(crate) struct Case {
    pub(crate) vector: &'static str,
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) expected: &'static [&'static str],
}

/// All of them.
pub(crate) fn corpus() -> Vec<Case> {
    [super::uploads_shapes::cases(), super::uploads_programs::cases()].into_iter().flatten().collect()
}

pub(crate) fn case(
    vector: &'static str,
    name: impl Into<String>,
    expected: &'static [&'static str],
    bytes: Vec<u8>,
) -> Case {
    Case { vector, name: name.into(), bytes, expected }
}

impl Case {
    /// Upload it. An error says what was to come of it.
    pub(crate) async fn check(&self, api: &Api) -> Result<(), String> {
        let Self { vector, name, bytes, expected } = self;
        let found = match api.deploy(bytes.clone(), "").await {
            Ok(_) => "ok".to_owned(),
            Err(problem) if expected.contains(&&*problem.code) => problem.code,
            Err(problem) => format!("{}: {}", problem.code, problem.detail),
        };
        if expected.contains(&&*found) {
            Ok(())
        } else {
            Err(format!("{vector}, {name}: {found} instead of {expected:?}"))
        }
    }
}
