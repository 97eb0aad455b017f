//! What an error of a token endpoint means: for the user, for us, or for nobody.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;

use super::Provider;
use crate::{
    ProtocolError,
    response::{client_refused, error_code, failure},
    strict_json,
};

/// What an error code means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Meaning {
    /// The code or refresh token is no good: the user must log in again.
    Grant,
    /// Our id or secret is no good.
    Credentials,
    /// What we are or ask is not allowed.
    Client,
    /// It may work in a moment.
    Transient,
}

/// [RFC 6749 section 5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2), and two codes that belong to the authorization
/// endpoint (section 4.1.2.1) and turn up here all the same. Every other code is about us.
const STANDARD: [(&str, &str, Meaning); 4] = [
    ("invalid_grant", "", Meaning::Grant),
    ("invalid_client", "", Meaning::Credentials),
    ("temporarily_unavailable", "", Meaning::Transient),
    ("server_error", "", Meaning::Transient),
];

impl Provider {
    /// Why there is no token in `response`; `None` if there may be one.
    ///
    /// 429, 408 and 5xx tell of the provider alone. With every other status an error code counts, also with 200. A refusal *without*
    /// a code is never the user's: it is no evidence that the token presented is dead, and a firewall in between says the same.
    pub(super) fn token_refusal(&self, response: &Response<Bytes>) -> Option<ProtocolError> {
        let status = response.status();
        if let Some(failure) = failure(response) {
            return Some(failure);
        }
        let Some(code) = error_code(response) else {
            let is_refusal =
                matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            return is_refusal.then(|| client_refused(response));
        };
        let description = description(response).unwrap_or_default();
        Some(match self.meaning(&code, &description) {
            Meaning::Grant => ProtocolError::GrantRefused { code, description: fit_for_a_log(description) },
            Meaning::Transient => ProtocolError::ServerError { status, retry_after: None },
            Meaning::Credentials | Meaning::Client => client_refused(response),
        })
    }

    /// Whether `error` says that our id or secret is no good, whatever is asked with them. A status without an error code does not: it
    /// may be about the code or refresh token that was presented.
    #[must_use]
    pub fn refuses_credentials(&self, error: &ProtocolError) -> bool {
        match error {
            ProtocolError::ClientRefused { code: Some(code), .. } => self.meaning(code, "") == Meaning::Credentials,
            _ => false,
        }
    }

    fn meaning(&self, code: &str, description: &str) -> Meaning {
        let description = description.to_ascii_lowercase();
        let mut known = self.vendor.errors.iter().chain(&STANDARD);
        let found = known.find(|(known, part, _)| *known == code && description.contains(part));
        found.map_or(Meaning::Client, |(_, _, meaning)| *meaning)
    }
}

fn description(response: &Response<Bytes>) -> Option<String> {
    let members = strict_json::parse_object(response.body()).ok()?;
    members.get("error_description").and_then(Value::as_str).map(str::to_owned)
}

/// Short, one line, and without a word as long as a token.
pub(super) fn fit_for_a_log(description: String) -> Option<String> {
    const LONGEST: usize = 160;
    const LONGEST_WORD: usize = 24;
    let is_plain = description.bytes().all(|b| matches!(b, b' '..=b'~'));
    let is_short = (1..=LONGEST).contains(&description.len());
    let has_token = description.split([' ', ':', '"', '\'']).any(|word| word.len() > LONGEST_WORD);
    (is_plain && is_short && !has_token).then_some(description)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_with_a_token_in_it_is_not_kept() {
        let kept = |text: &str| fit_for_a_log(text.to_owned()).is_some();
        assert!(kept("Session doesn't have required client"));
        assert!(kept("Token has been expired or revoked."));
        for text in [
            "",
            "a\nb",
            "Unknown token 1//0gAbCdEfGhIjKlMnOpQrStUvWx",
            "token:\"00D5g000004aBcD!AQ0AQAbCdEf\"",
            "caf\u{e9}",
        ] {
            assert!(!kept(text), "{text:?}");
        }
        assert!(!kept(&"word ".repeat(40)));
    }
}
