//! [`Challenges`]: the `WWW-Authenticate` headers of one resource.

use http::HeaderValue;
use portcullis_core::{AuthError, AuthErrorKind, Challenge, ScopeSet};

/// The challenges of one resource. All but those for missing scopes are the same for every request, and are built once.
#[derive(Debug)]
pub(super) struct Challenges {
    resource_metadata: String,
    scope: String,
    missing_token: HeaderValue,
    invalid_request: HeaderValue,
    invalid_token: HeaderValue,
}

impl Challenges {
    /// Creates the challenges. `scope` is the set of scopes that a client should request; the parameter is omitted if it is empty.
    pub(super) fn new(resource_metadata: String, scope: &ScopeSet) -> Self {
        let write = |error| write(&resource_metadata, error, &without_offline_access(scope)).to_header_value();
        Self {
            missing_token: write(None),
            invalid_request: write(AuthErrorKind::InvalidRequest.error_code()),
            invalid_token: write(AuthErrorKind::InvalidToken.error_code()),
            scope: without_offline_access(scope),
            resource_metadata,
        }
    }

    /// Returns the challenge for `error`, or `None` if a challenge cannot help the client.
    pub(super) fn challenge(&self, error: &AuthError) -> Option<HeaderValue> {
        match error.kind() {
            AuthErrorKind::MissingToken => Some(self.missing_token.clone()),
            AuthErrorKind::InvalidRequest => Some(self.invalid_request.clone()),
            AuthErrorKind::InvalidToken => Some(self.invalid_token.clone()),
            AuthErrorKind::InsufficientScope => {
                let needed = without_offline_access(error.scopes());
                let scope = if needed.is_empty() { &self.scope } else { &needed };
                let code = AuthErrorKind::InsufficientScope.error_code();
                Some(write(&self.resource_metadata, code, scope).to_header_value())
            }
            _ => None,
        }
    }
}

fn write(resource_metadata: &str, error: Option<&str>, scope: &str) -> Challenge {
    let mut challenge = Challenge::bearer();
    if let Some(error) = error {
        challenge = challenge.with("error", error);
    }
    if !scope.is_empty() {
        challenge = challenge.with("scope", scope);
    }
    challenge.with("resource_metadata", resource_metadata)
}

/// Returns the names without `offline_access`: a resource does not request refresh tokens (RS-16).
fn without_offline_access(scope: &ScopeSet) -> String {
    let names: Vec<_> = scope.iter().filter(|name| *name != "offline_access").collect();
    names.join(" ")
}
