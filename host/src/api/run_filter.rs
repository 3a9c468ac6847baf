//! What runs are asked for, as it stands in a query.

use super::{Code, Problem};
use crate::model::{Tag, TagError};
use crate::store::RunFilter;

/// Parameters that choose runs, and others. Parts of a query that are flattened into each other would lose their types.
macro_rules! filter_parameters {
    ($(#[$of:meta])* $visibility:vis struct $name:ident { $($rest:tt)* }) => {
        #[derive(serde::Deserialize, utoipa::IntoParams)]
        #[serde(deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        $(#[$of])*
        $visibility struct $name {
            /// Of this workflow only.
            #[param(value_type = Option<String>)]
            workflow: Option<crate::model::Name>,
            /// Of this component only.
            #[param(value_type = Option<String>)]
            component: Option<crate::model::Name>,
            /// Pinned to this version of the component, which has to be named too.
            version: Option<u32>,
            /// In this state only.
            state: Option<crate::model::RunState>,
            /// Started by this run only.
            #[param(value_type = Option<String>)]
            parent: Option<crate::model::RunId>,
            /// That failed, were cancelled or are quarantined with this code only.
            #[param(value_type = Option<String>)]
            failure_code: Option<crate::model::Name>,
            /// With all of these tags only: `customer=acme,env=production`.
            tags: Option<String>,
            /// Accepted then or later.
            #[param(value_type = Option<String>, format = DateTime)]
            started_from: Option<crate::model::Timestamp>,
            /// Accepted before.
            #[param(value_type = Option<String>, format = DateTime)]
            started_to: Option<crate::model::Timestamp>,
            /// Ended then or later.
            #[param(value_type = Option<String>, format = DateTime)]
            closed_from: Option<crate::model::Timestamp>,
            /// Ended before.
            #[param(value_type = Option<String>, format = DateTime)]
            closed_to: Option<crate::model::Timestamp>,
            $($rest)*
        }

        impl $name {
            /// What of it chooses runs.
            fn filter(&self) -> Result<crate::store::RunFilter, super::Problem> {
                super::run_filter::checked(crate::store::RunFilter {
                    workflow: self.workflow.clone(),
                    component: self.component.clone(),
                    version: self.version,
                    state: self.state,
                    parent: self.parent,
                    failure_code: self.failure_code.clone(),
                    tags: super::run_filter::tags(self.tags.as_deref())?,
                    started_from: self.started_from,
                    started_to: self.started_to,
                    closed_from: self.closed_from,
                    closed_to: self.closed_to,
                })
            }
        }
    };
}

pub(super) use filter_parameters;

/// Most tags in a query.
const TAGS_MAX: usize = 8;

/// The tags in a text; they have no commas.
pub(super) fn tags(text: Option<&str>) -> Result<Vec<Tag>, Problem> {
    let refused = |error: String| Problem::new(Code::BadRequest, format!("in the query: tags: {error}"));
    let Some(text) = text else { return Ok(Vec::new()) };
    let tags: Result<Vec<Tag>, TagError> = text.split(',').map(str::parse).collect();
    let tags = tags.map_err(|error| refused(error.to_string()))?;
    if tags.len() > TAGS_MAX {
        return Err(refused(format!("no more than {TAGS_MAX} are asked for at once")));
    }
    Ok(tags)
}

/// A version is one of a component.
pub(super) fn checked(filter: RunFilter) -> Result<RunFilter, Problem> {
    if filter.version.is_some() && filter.component.is_none() {
        let detail = "in the query: a version is one of a component: name it with `component`";
        return Err(Problem::new(Code::BadRequest, detail));
    }
    Ok(filter)
}

/// What the archive can be asked for, and no more.
pub(super) fn archived(filter: RunFilter) -> Result<RunFilter, Problem> {
    let RunFilter { workflow, component, version, state, .. } = filter.clone();
    if (RunFilter { workflow, component, version, state, ..RunFilter::default() }) != filter {
        let detail = "in the query: archived runs are found by `workflow`, `component`, `version` and `state` only";
        return Err(Problem::new(Code::BadRequest, detail));
    }
    Ok(filter)
}
