//! [`Answer`]: what an authorization server answers.

use std::{fmt, ops::Index};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use serde_json::Value;

/// What an authorization server answers. `Debug` prints neither headers nor values.
///
/// `answer["access_token"]` is a member of the body, and `null` if there is none.
#[derive(Clone)]
pub struct Answer {
    response: Response<Bytes>,
    json: Value,
}

impl Answer {
    pub(super) fn new(response: Response<Bytes>) -> Self {
        let json = serde_json::from_slice(response.body()).unwrap_or_default();
        Self { response, json }
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Its headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Its body, if that is JSON, else `null`.
    #[must_use]
    pub const fn json(&self) -> &Value {
        &self.json
    }

    /// Its body, whatever it is.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        self.response.body()
    }

    /// A member of the body that has to be a string: a token.
    ///
    /// # Panics
    /// If there is none: with the status and the error.
    #[must_use]
    #[track_caller]
    pub fn text(&self, name: &str) -> &str {
        let text = self.json[name].as_str();
        text.ok_or_else(|| format!("no {name} in {self:?}")).expect("an answer of success")
    }

    /// The access token.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    #[track_caller]
    pub fn access_token(&self) -> &str {
        self.text("access_token")
    }

    /// The refresh token.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    #[track_caller]
    pub fn refresh_token(&self) -> &str {
        self.text("refresh_token")
    }

    /// The member `error`, if there is one.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.json["error"].as_str()
    }
}

impl Index<&str> for Answer {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        &self.json[name]
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status())
            .field("error", &self.error())
            .field("error_description", &self.json["error_description"].as_str())
            .field("members", &self.json.as_object().map(|members| members.keys().collect::<Vec<_>>()))
            .finish_non_exhaustive()
    }
}
