//! [`Authorization`]: an authorization request, and the check of its response.

use std::fmt;

use serde_json::Value;
use url::Url;

use super::call::ClientError;
use crate::fields::Fields;

/// One authorization request, made by [`OAuthClient::authorization`](crate::OAuthClient::authorization): everything about it can be
/// changed before the browser gets its [`url`](Self::url). `Debug` prints no values.
#[derive(Clone)]
#[must_use]
pub struct Authorization {
    pub(super) endpoint: String,
    pub(super) parameters: Fields,
    pub(super) verifier: String,
    pub(super) state: String,
    pub(super) redirect_uri: String,
    pub(super) metadata: Value,
}

impl Authorization {
    /// Sets this parameter, in place of those of its name.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.parameters.set(name, value);
        self
    }

    /// Adds this parameter, also if there is one of its name.
    pub fn with_another(mut self, name: &str, value: &str) -> Self {
        self.parameters.add(name, value);
        self
    }

    /// Removes the parameters of this name.
    pub fn without(mut self, name: &str) -> Self {
        self.parameters.remove(name);
        self
    }

    /// Returns the URL of the request.
    #[must_use]
    pub fn url(&self) -> String {
        self.parameters.appended_to(&self.endpoint)
    }

    /// Returns the verifier of the `code_challenge`.
    #[must_use]
    pub fn verifier(&self) -> &str {
        &self.verifier
    }

    /// Returns the `state` with which the request was created.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }

    /// Returns the code of the authorization response at `callback`, after the checks that a client performs: its redirect URI, its
    /// `state`, and its authorization server (RFC 9207).
    ///
    /// # Errors
    /// [`ClientError::CallbackMismatch`] if it does not match this request, [`ClientError::Refused`] if it is an error.
    pub fn code(&self, callback: &Url) -> Result<String, ClientError> {
        let expected = Url::parse(&self.redirect_uri).map(String::from).unwrap_or_default();
        let query = callback.as_str().strip_prefix(&expected);
        if !query.is_some_and(|query| query.starts_with(['?', '&'])) {
            return Err(ClientError::CallbackMismatch("redirect_uri"));
        }
        let parameter = |name: &str| -> Result<Option<String>, ClientError> {
            let mut values = callback.query_pairs().filter(|(known, _)| known == name).map(|(_, value)| value);
            match (values.next(), values.next()) {
                (value, None) => Ok(value.map(String::from)),
                _ => Err(ClientError::CallbackMismatch("number of parameters")),
            }
        };
        if parameter("state")?.as_deref() != Some(&self.state) {
            return Err(ClientError::CallbackMismatch("state"));
        }
        let is_promised = self.metadata["authorization_response_iss_parameter_supported"] == true;
        match parameter("iss")? {
            None if is_promised => return Err(ClientError::CallbackMismatch("iss")),
            Some(issuer) if self.metadata["issuer"] != *issuer => return Err(ClientError::CallbackMismatch("iss")),
            _ => {}
        }
        if let Some(error) = parameter("error")? {
            let description = parameter("error_description")?.unwrap_or_default();
            return Err(ClientError::Refused { error, description });
        }
        parameter("code")?.ok_or(ClientError::CallbackMismatch("code"))
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization")
            .field("endpoint", &self.endpoint)
            .field("parameters", &self.parameters)
            .finish_non_exhaustive()
    }
}
