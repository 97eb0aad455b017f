//! Errors of a token endpoint, and what each says about: the grant, this server, or neither.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value};

use super::{Provider, vendor::ErrorMeaning};
use crate::{
    ProtocolError,
    response::{client_refused, error_code, failure, is_error_code},
    strict_json,
};

/// [RFC 6749 section 5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2), and codes that belong to the authorization
/// endpoint (section 4.1.2.1) but are returned here by some providers. Every other code is unknown.
const STANDARD: [(&str, &str, ErrorMeaning); 4] = [
    ("invalid_grant", "", ErrorMeaning::Grant),
    ("invalid_client", "", ErrorMeaning::Credentials),
    // About the client, not about the user.
    ("unauthorized_client", "", ErrorMeaning::Client),
    ("unsupported_grant_type", "", ErrorMeaning::Client),
];

/// Values, in lower case and in any of the members, which say that a later attempt may succeed.
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
    /// Returns the error in `response`; `None` if the response may contain tokens.
    ///
    /// 429, 408, 425 and 5xx are about the provider alone. With every other status an error code counts, also with 200. An error that
    /// neither the standard nor the vendor defines is [`ProtocolError::UnknownRefusal`]: it does not prove that the presented token is
    /// dead, and a firewall between here and the provider may have sent it.
    pub(super) fn token_error(&self, response: &Response<Bytes>) -> Option<ProtocolError> {
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
            (Some(ErrorMeaning::Credentials), _) => client_refused(response),
            (Some(ErrorMeaning::Transient), _) => transient(),
            (Some(ErrorMeaning::Grant), Some(code)) => {
                ProtocolError::GrantRefused { code, description: loggable_description(description.to_owned()) }
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
                    // RFC 6749 section 5.2: 401 is the status for an unknown client.
                    let is_known = meaning.is_some_and(|meaning| meaning != ErrorMeaning::Unknown);
                    if is_known || (status == StatusCode::UNAUTHORIZED && code.is_none()) {
                        return Some(refused);
                    }
                    let wording = wordings.into_iter().find(|(name, _)| *name != "error");
                    let wording = wording.map(|(name, value)| format!("{name}={}", shown(&value)));
                    let code = code.map(|code| shown(&code).into());
                    ProtocolError::UnknownRefusal { status, code, wording }
                }
            },
        })
    }

    /// Reports whether `error` says that the client ID or secret of this server is invalid, for every request. A status without an error
    /// code does not: it may be about the code or refresh token that was presented.
    #[must_use]
    pub fn refuses_credentials(&self, error: &ProtocolError) -> bool {
        match error {
            ProtocolError::ClientRefused { code: Some(code), .. } => {
                self.meaning(code, "") == Some(ErrorMeaning::Credentials)
            }
            _ => false,
        }
    }

    /// Reports whether the operator has configured `word` as an error that ends grants.
    fn ends_grants(&self, word: &str) -> bool {
        self.dead_grant_errors.iter().any(|known| **known == *word)
    }

    fn meaning(&self, code: &str, description: &str) -> Option<ErrorMeaning> {
        let description = description.to_ascii_lowercase();
        let mut known = self.vendor.errors.iter().chain(&STANDARD);
        let found = known.find(|(known, part, _)| *known == code && description.contains(part));
        found.map(|(_, _, meaning)| *meaning)
    }
}

/// Reports whether a response is an error of the provider. A redirect, or 407 of a proxy, is none; with 200 the member `error` or `ok` says
/// so.
fn is_refusal(status: StatusCode, members: &Map<String, Value>) -> bool {
    if status.is_success() {
        let has_error = members
            .get("error")
            .is_some_and(|error| error.is_object() || error.as_str().is_some_and(|code| !code.is_empty()));
        return has_error || members.get("ok") == Some(&Value::Bool(false));
    }
    status.is_client_error() && status != StatusCode::PROXY_AUTHENTICATION_REQUIRED
}

/// Returns the members that name an error, with their values. They are logged, so a value that cannot be an error code is left out.
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

/// Returns `value` as it may be logged: a provider may repeat the token or code that it rejects, and those are long and have digits.
fn shown(value: &str) -> &str {
    let may_be_a_secret = value.len() > 24 && value.bytes().any(|byte| byte.is_ascii_digit());
    if may_be_a_secret { "(not shown: it may be a secret)" } else { value }
}

/// Returns `description` if it is safe to log: short, one line, and without a word as long as a token.
pub(super) fn loggable_description(description: String) -> Option<String> {
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
    fn a_description_that_may_contain_a_token_is_not_logged() {
        let kept = |text: &str| loggable_description(text.to_owned()).is_some();
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

    #[test]
    fn an_unknown_error_that_may_be_a_token_is_not_logged() {
        let response = |code: &str| {
            let body = serde_json::json!({ "error": code }).to_string();
            Response::builder().status(400).body(Bytes::from(body)).expect("a response")
        };
        let code = |text: &str| match Provider::github().token_error(&response(text)) {
            Some(ProtocolError::UnknownRefusal { code: Some(code), .. }) => code,
            other => panic!("{other:?}"),
        };
        assert_eq!(&*code("new_error"), "new_error");
        assert!(!code("unknown_token_1//0gAbCdEfGhIjKlMnOpQr").contains("0gAbCd"));
    }
}
