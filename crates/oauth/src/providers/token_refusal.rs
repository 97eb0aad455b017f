//! What an error of a token endpoint means: for the user, for us, or for nobody.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value};

use super::Provider;
use crate::{
    ProtocolError,
    response::{client_refused, error_code, failure, is_error_code},
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
    /// The provider says it of a refresh token and of this server: by itself it is evidence of nothing.
    Unknown,
}

/// [RFC 6749 section 5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2), and codes that belong to the authorization
/// endpoint (section 4.1.2.1) or to no standard and turn up here all the same. What every other code is about is unknown.
const STANDARD: [(&str, &str, Meaning); 4] = [
    ("invalid_grant", "", Meaning::Grant),
    ("invalid_client", "", Meaning::Credentials),
    // What no request of this server may ask, whoever its user is.
    ("unauthorized_client", "", Meaning::Client),
    ("unsupported_grant_type", "", Meaning::Client),
];

/// What says, in whichever member and in lower case, that it may work in a moment.
const TRANSIENT: [&str; 13] = [
    "temporarily_unavailable",
    "server_error",
    "unavailable",
    "service_unavailable",
    "internal",
    "internal_error",
    "internal_server_error",
    "fatal_error",
    "slow_down",
    "ratelimited",
    "rate_limited",
    "rate_limit_exceeded",
    "too_many_requests",
];

impl Provider {
    /// Why there is no token in `response`; `None` if there may be one.
    ///
    /// 429, 408, 425 and 5xx tell of the provider alone. With every other status an error code counts, also with 200. A refusal that no
    /// standard and no vendor knows is [`ProtocolError::UnknownRefusal`]: by itself it is no evidence that the token presented is dead,
    /// and a firewall in between says the same.
    pub(super) fn token_refusal(&self, response: &Response<Bytes>) -> Option<ProtocolError> {
        let status = response.status();
        if let Some(failure) = failure(response) {
            return Some(failure);
        }
        let members = strict_json::parse_object(response.body()).unwrap_or_default();
        if !is_refusal(status, &members) {
            return None;
        }
        let code = error_code(response);
        let description = members.get("error_description").and_then(Value::as_str).unwrap_or_default();
        let meaning = code.as_deref().and_then(|code| self.meaning(code, description));
        let wordings = wordings(&members);
        let transient = || ProtocolError::ServerError { status, retry_after: None };
        Some(match (meaning, code) {
            (Some(Meaning::Credentials), _) => client_refused(response),
            (Some(Meaning::Transient), _) => transient(),
            (Some(Meaning::Grant), Some(code)) => {
                ProtocolError::GrantRefused { code, description: fit_for_a_log(description.to_owned()) }
            }
            _ if status == StatusCode::TOO_EARLY => transient(),
            (_, code) => match client_refused(response) {
                limited @ ProtocolError::RateLimited { .. } => limited,
                refused => {
                    if wordings.iter().any(|(_, value)| TRANSIENT.contains(&&*value.to_ascii_lowercase())) {
                        return Some(transient());
                    }
                    if let Some((_, known)) = wordings.iter().find(|(_, value)| self.ends_grants(value)) {
                        return Some(ProtocolError::GrantRefused { code: known.clone(), description: None });
                    }
                    // A bare 401 is what RFC 6749 has for a client that is not known.
                    let is_known = meaning.is_some_and(|meaning| meaning != Meaning::Unknown);
                    if is_known || (status == StatusCode::UNAUTHORIZED && code.is_none()) {
                        return Some(refused);
                    }
                    let wording = wordings.into_iter().find(|(name, _)| *name != "error");
                    let wording = wording.map(|(name, value)| format!("{name}={}", shown(&value)));
                    ProtocolError::UnknownRefusal { status, code, wording }
                }
            },
        })
    }

    /// Whether `error` says that our id or secret is no good, whatever is asked with them. A status without an error code does not: it
    /// may be about the code or refresh token that was presented.
    #[must_use]
    pub fn refuses_credentials(&self, error: &ProtocolError) -> bool {
        match error {
            ProtocolError::ClientRefused { code: Some(code), .. } => {
                self.meaning(code, "") == Some(Meaning::Credentials)
            }
            _ => false,
        }
    }

    /// Whether the operator has said that this word ends a grant.
    fn ends_grants(&self, word: &str) -> bool {
        self.dead_grant_errors.iter().any(|known| **known == *word)
    }

    fn meaning(&self, code: &str, description: &str) -> Option<Meaning> {
        let description = description.to_ascii_lowercase();
        let mut known = self.vendor.errors.iter().chain(&STANDARD);
        let found = known.find(|(known, part, _)| *known == code && description.contains(part));
        found.map(|(_, _, meaning)| *meaning)
    }
}

/// Whether an answer refuses. A redirect, or that a proxy in between wants credentials, is no answer of the provider; with 200 it has to say
/// so: by `error`, or by `ok`.
fn is_refusal(status: StatusCode, members: &Map<String, Value>) -> bool {
    if status.is_success() {
        let has_error = members
            .get("error")
            .is_some_and(|error| error.is_object() || error.as_str().is_some_and(|code| !code.is_empty()));
        return has_error || members.get("ok") == Some(&Value::Bool(false));
    }
    status.is_client_error() && status != StatusCode::PROXY_AUTHENTICATION_REQUIRED
}

/// The members that name an error, and their values: no longer and no other than an error code may be. They are logged.
fn wordings(members: &Map<String, Value>) -> Vec<(&'static str, String)> {
    const TOP: [&str; 4] = ["error", "error_code", "code", "status"];
    const BELOW: [(&str, &str); 3] = [("error.code", "code"), ("error.status", "status"), ("error.type", "type")];
    let below = members.get("error").and_then(Value::as_object);
    let top = TOP.into_iter().filter_map(|name| Some((name, members.get(name)?)));
    let below = BELOW.into_iter().filter_map(|(path, name)| Some((path, below?.get(name)?)));
    let worded = top.chain(below).filter_map(|(name, value)| match value {
        Value::String(text) => Some((name, text.clone())),
        Value::Number(number) => Some((name, number.to_string())),
        _ => None,
    });
    worded.filter(|(_, value)| !value.is_empty() && is_error_code(value)).collect()
}

/// `value` as the log shows it: a provider may repeat the token or code that it refuses, and those are long and have digits.
fn shown(value: &str) -> &str {
    let may_be_a_secret = value.len() > 24 && value.bytes().any(|byte| byte.is_ascii_digit());
    if may_be_a_secret { "(not shown: it may be a secret)" } else { value }
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
