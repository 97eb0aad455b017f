//! Errors of a token endpoint, and what each says about: the grant, this server, or neither.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value};

use super::{Provider, vendor::ErrorMeaning};
use crate::{
    ProtocolError,
    response::{client_refused, error_code, error_members, failure, is_error_code},
};

/// [RFC 6749 section 5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2), and codes that belong to the authorization
/// endpoint (section 4.1.2.1, and OpenID Connect Core section 3.1.2.6) but are returned here by some providers. Every other code is unknown.
const STANDARD: [(&str, ErrorMeaning); 8] = [
    ("invalid_grant", ErrorMeaning::Grant),
    // Entra, at a refresh: the user has to log in again, to consent or to pass another factor.
    ("interaction_required", ErrorMeaning::Grant),
    ("consent_required", ErrorMeaning::Grant),
    ("login_required", ErrorMeaning::Grant),
    // RFC 9470, at a token exchange as well: the user has to authenticate again, or more strongly.
    ("insufficient_user_authentication", ErrorMeaning::Grant),
    ("invalid_client", ErrorMeaning::Credentials),
    // About the client, not about the user.
    ("unauthorized_client", ErrorMeaning::Client),
    ("unsupported_grant_type", ErrorMeaning::Client),
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
        let members = error_members(response).unwrap_or_default();
        if !is_refusal(status, &members) {
            return None;
        }
        let code = error_code(response);
        let description = description(&members);
        let meaning = code.as_deref().and_then(|code| self.meaning(code, description));
        let transient = || ProtocolError::ServerError { status, retry_after: None };
        let dead = |code: &str| ProtocolError::GrantRefused {
            code: shown(code).to_owned(),
            description: loggable_description(description.to_owned()),
        };
        match (meaning, &code) {
            (Some(ErrorMeaning::Credentials), _) => return Some(client_refused(response)),
            (Some(ErrorMeaning::Transient), _) => return Some(transient()),
            (Some(ErrorMeaning::Grant), Some(code)) if code == "invalid_grant" => return Some(dead(code)),
            _ if status == StatusCode::TOO_EARLY => return Some(transient()),
            _ => {}
        }
        let refused = client_refused(response);
        if matches!(refused, ProtocolError::RateLimited { .. }) {
            return Some(refused);
        }
        let wordings = wordings(&members);
        if wordings.iter().any(|(_, value)| TRANSIENT.contains(&&*value.to_ascii_lowercase())) {
            return Some(transient());
        }
        // Another member may name the error: HubSpot's `status`.
        let worded = || wordings.iter().find_map(|(_, word)| Some((self.meaning(word, description)?, word.clone())));
        let (meaning, word) = match (meaning, code.clone()) {
            (Some(meaning), Some(code)) => (Some(meaning), Some(code)),
            _ => worded().map_or((None, None), |(meaning, word)| (Some(meaning), Some(word))),
        };
        Some(match (meaning, word) {
            (Some(ErrorMeaning::Grant), Some(word)) => dead(&word),
            (Some(ErrorMeaning::Transient), _) => transient(),
            // The operator's word, or the vendor's, for credentials: it is recognized by its code.
            (Some(ErrorMeaning::Credentials), code) => ProtocolError::ClientRefused { status, code },
            (Some(ErrorMeaning::Client), _) => refused,
            // RFC 6749 section 5.2: 401 is the status for an unknown client.
            _ if status == StatusCode::UNAUTHORIZED && code.is_none() => refused,
            _ => {
                let wording = wordings.into_iter().find(|(name, _)| *name != "error");
                let wording = wording.map(|(name, value)| format!("{name}={}", shown(&value)));
                ProtocolError::UnknownRefusal { status, code: code.map(|code| shown(&code).into()), wording }
            }
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

    /// Returns the meaning of `code`: the vendor's, else the standard's. No configuration makes a word about this server's credentials, or
    /// about an outage, end a grant.
    fn meaning(&self, code: &str, description: &str) -> Option<ErrorMeaning> {
        let description = description.to_ascii_lowercase();
        let ends_no_grant = code == "invalid_client" || TRANSIENT.contains(&&*code.to_ascii_lowercase());
        let own = self.vendor.errors.iter().find(|rule| {
            let is_barred = ends_no_grant && rule.meaning == ErrorMeaning::Grant;
            rule.code == code && description.contains(&*rule.part) && !is_barred
        });
        let standard = || STANDARD.into_iter().find(|(known, _)| *known == code).map(|(_, meaning)| meaning);
        own.map(|rule| rule.meaning).or_else(standard)
    }
}

/// Returns the description of an error, under the name of the standard or another one.
fn description(members: &Map<String, Value>) -> &str {
    const NAMES: [&str; 4] = ["error_description", "reason", "message", "error_message"];
    NAMES.into_iter().find_map(|name| members.get(name)?.as_str()).unwrap_or_default()
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
pub(super) fn wordings(members: &Map<String, Value>) -> Vec<(&'static str, String)> {
    const TOP: [&str; 5] = ["error", "error_code", "code", "status", "category"];
    // The tag is Dropbox's, the extension that of GraphQL.
    const BELOW: [(&str, &str); 5] = [
        ("error.code", "/error/code"),
        ("error.status", "/error/status"),
        ("error.type", "/error/type"),
        ("error.tag", "/error/.tag"),
        ("errors.code", "/errors/0/extensions/code"),
    ];
    let top = TOP.into_iter().filter_map(|name| Some((name, members.get(name)?)));
    let below = BELOW.into_iter().filter_map(|(name, path)| {
        let (first, rest) = path[1..].split_once('/')?;
        Some((name, members.get(first)?.pointer(&format!("/{rest}"))?))
    });
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
pub(crate) fn loggable_description(description: String) -> Option<String> {
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
