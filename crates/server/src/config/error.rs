//! [`ConfigError`]: where the configuration is wrong, and what is expected.

/// One line: where (file and line, or variable), which key, what is wrong. It never contains the value of a secret.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{place}: {problem}")]
pub(crate) struct ConfigError {
    place: String,
    problem: String,
}

impl ConfigError {
    pub(crate) fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        // Parsers explain themselves over several lines; an operator greps for one.
        let problem = problem.into().lines().collect::<Vec<_>>().join(", ");
        Self { place: place.into(), problem }
    }
}
