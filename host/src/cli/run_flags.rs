//! Flags that choose runs.

use chrono::{DateTime, Utc};
use clap::Args;

use crate::model::{Name, RunId, RunState, Tag, Timestamp};

/// All that are given have to hold.
#[derive(Args, Clone, Debug)]
pub(super) struct RunFlags {
    /// Of this workflow only
    #[arg(long)]
    workflow: Option<Name>,
    /// Of this component only
    #[arg(long)]
    component: Option<Name>,
    /// Pinned to this version of the component only
    #[arg(long, requires = "component", value_name = "NUMBER")]
    pinned_to: Option<u32>,
    /// In this state only
    #[arg(long)]
    state: Option<RunState>,
    /// Started by this run only
    #[arg(long, value_name = "RUN")]
    parent: Option<RunId>,
    /// That failed, were cancelled or are quarantined with this code only
    #[arg(long, visible_alias = "code", value_name = "CODE")]
    failure_code: Option<Name>,
    /// With this tag only; several times: with all of them
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<Tag>,
    /// Accepted then or later: a time, as 2026-11-28T10:00:00Z, or how long ago, as 2h
    #[arg(long, value_name = "TIME", value_parser = time)]
    started_from: Option<Timestamp>,
    /// Accepted before
    #[arg(long, value_name = "TIME", value_parser = time)]
    started_to: Option<Timestamp>,
    /// Ended then or later
    #[arg(long, value_name = "TIME", value_parser = time)]
    closed_from: Option<Timestamp>,
    /// Ended before
    #[arg(long, value_name = "TIME", value_parser = time)]
    closed_to: Option<Timestamp>,
}

impl RunFlags {
    /// As the API takes them.
    pub(super) fn query(self) -> Vec<(&'static str, String)> {
        let tags: Vec<_> = self.tags.iter().map(Tag::to_string).collect();
        let given = [
            ("workflow", self.workflow.map(|name| name.to_string())),
            ("component", self.component.map(|name| name.to_string())),
            ("version", self.pinned_to.map(|version| version.to_string())),
            ("state", self.state.map(|state| state.as_str().to_owned())),
            ("parent", self.parent.map(|run| run.to_string())),
            ("failure_code", self.failure_code.map(|code| code.to_string())),
            ("tags", Some(tags.join(",")).filter(|tags| !tags.is_empty())),
            ("started_from", self.started_from.map(|time| time.to_string())),
            ("started_to", self.started_to.map(|time| time.to_string())),
            ("closed_from", self.closed_from.map(|time| time.to_string())),
            ("closed_to", self.closed_to.map(|time| time.to_string())),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// A time, or how long ago it was.
fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        let now = Timestamp::from(Utc::now());
        return Ok(Timestamp::default().after(now.since(Timestamp::default()).saturating_sub(ago)));
    }
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc).into());
    time.map_err(|_| "a time as 2026-11-28T10:00:00Z, or how long ago as 90s, 2h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_is_given_as_such_or_as_how_long_ago() {
        assert_eq!(time("2026-11-28T10:00:00Z").unwrap().to_string(), "2026-11-28T10:00:00.000000Z");
        assert_eq!(time("2026-11-28T12:00:00+02:00").unwrap(), time("2026-11-28T10:00:00Z").unwrap());
        let ago = Timestamp::from(Utc::now()).since(time("2h").unwrap());
        assert!((Duration::from_secs(7_190)..Duration::from_secs(7_260)).contains(&ago), "{ago:?}");
        assert!(time("yesterday").unwrap_err().contains("how long ago"));
    }
}
