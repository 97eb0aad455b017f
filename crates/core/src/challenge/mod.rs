//! [`Challenge`]: the `WWW-Authenticate` header, written and parsed.

mod model;
mod parse;
mod write;

pub use model::Challenge;
pub use parse::ParseChallengeError;
