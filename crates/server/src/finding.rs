//! [`Finding`]: what of a configuration does not agree with the servers that it names, as one line for the operator.

use std::fmt;

use http::Uri;
use portcullis::{
    egress::{EgressError, EgressErrorKind},
    types::error_chain,
};

/// One thing that does not agree: what was found, the key of the configuration, and what to change. It contains no secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    pub(crate) severity: Severity,
    pub(crate) key: String,
    pub(crate) problem: String,
    pub(crate) change: String,
}

/// Whether the server can work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Severity {
    /// Users cannot be authenticated.
    Error,
    /// Something may not work.
    Warning,
}

impl Finding {
    /// Reports whether the server cannot work with this configuration.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        matches!(self.severity, Severity::Error)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.is_error() { "error" } else { "warning" };
        let Self { key, problem, change, .. } = self;
        write!(f, "{severity}: `{key}`: {problem}; {change}")
    }
}

/// The findings of a check.
#[derive(Default)]
pub(crate) struct Findings(pub(crate) Vec<Finding>);

/// The longest problem, in characters: it may contain text of another server.
const LONGEST_PROBLEM: usize = 500;

/// How an endpoint becomes reachable.
pub(crate) const MAKE_REACHABLE: &str = "correct the URL, or make it reachable (section `egress`)";

impl Findings {
    pub(crate) fn error(&mut self, key: &str, problem: impl Into<String>, change: &str) {
        self.add(Severity::Error, key, &problem.into(), change);
    }

    pub(crate) fn warning(&mut self, key: &str, problem: impl Into<String>, change: &str) {
        self.add(Severity::Warning, key, &problem.into(), change);
    }

    pub(crate) fn have_error(&self) -> bool {
        self.0.iter().any(Finding::is_error)
    }

    fn add(&mut self, severity: Severity, key: &str, problem: &str, change: &str) {
        let of_line = |character: char| if character.is_control() { ' ' } else { character };
        let problem = problem.chars().map(of_line).take(LONGEST_PROBLEM).collect();
        self.0.push(Finding { severity, key: key.to_owned(), problem, change: change.to_owned() });
    }
}

/// Returns `url` without its query, which may contain an API key.
pub(crate) fn shown(url: &Uri) -> String {
    url.to_string().split('?').next().unwrap_or_default().to_owned()
}

/// Returns why a request failed, with the key that permits a destination that the egress guard blocks.
pub(crate) fn unreachable(error: &EgressError) -> String {
    match error.kind() {
        EgressErrorKind::Blocked => {
            format!(
                "{} (blocked by the egress guard: see `egress.allowed_networks`, `egress.allow_loopback`)",
                error_chain(error)
            )
        }
        _ => error_chain(error),
    }
}
