//! The providers and their recorded answers.

use bytes::Bytes;
use http::{Request, Response, Uri};
use portcullis_core::{BearerToken, Issuer, UnixTime};
use portcullis_oauth::{ClientAuthentication, ProtocolError, TokenResponse, metadata, providers::Provider};
use serde_json::Value;

pub(crate) const NAMES: [&str; 6] = ["oidc", "keycloak", "google", "github", "atlassian", "salesforce"];

pub(crate) fn provider(name: &str) -> Provider {
    match name {
        "oidc" => {
            let issuer = Issuer::new("https://idp.example.com").expect("issuer");
            let body = r#"{"issuer":"https://idp.example.com","authorization_endpoint":"https://idp.example.com/auth?p=1",
                "token_endpoint":"https://idp.example.com/token","userinfo_endpoint":"https://idp.example.com/me",
                "introspection_endpoint":"https://idp.example.com/introspect","revocation_endpoint":"https://idp.example.com/revoke"}"#;
            let metadata = metadata::process(&issuer, &response(200, "application/json", body)).expect("metadata");
            Provider::oidc(&metadata).expect("endpoints")
        }
        "keycloak" => Provider::keycloak("https://sso.example.com", "staff").expect("keycloak"),
        "google" => Provider::google(),
        "github" => Provider::github(),
        "atlassian" => Provider::atlassian(),
        "salesforce" => Provider::salesforce("login.salesforce.com").expect("salesforce"),
        other => unreachable!("no provider {other}"),
    }
}

pub(crate) fn client() -> ClientAuthentication {
    ClientAuthentication::basic("app", "s&cret".into())
}

pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

pub(crate) fn fixture(provider: &str, name: &str) -> String {
    let path = format!("{}/tests/fixtures/{provider}/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).expect(&path)
}

pub(crate) fn response(status: u16, content_type: &str, body: &str) -> Response<Bytes> {
    let response = Response::builder().status(status).header("content-type", content_type);
    response.body(Bytes::copy_from_slice(body.as_bytes())).expect("response")
}

pub(crate) fn answer(provider: &str, name: &str) -> Response<Bytes> {
    response(200, "application/json;charset=utf-8", &fixture(provider, name))
}

pub(crate) fn tokens(provider_name: &str, answer_name: &str) -> TokenResponse {
    let answer = answer(provider_name, answer_name);
    provider(provider_name).process_token(&answer, NOW).expect(provider_name)
}

pub(crate) fn token(text: &str) -> BearerToken {
    BearerToken::issued(text).expect("token")
}

pub(crate) fn body(request: &Request<Bytes>) -> &str {
    std::str::from_utf8(request.body()).expect("text")
}

pub(crate) fn text(uri: &Uri) -> String {
    uri.to_string()
}

/// A recorded refusal.
pub(crate) struct Case {
    pub(crate) label: String,
    pub(crate) response: Response<Bytes>,
    /// `grant`, `credentials`, `client`, `transient`, `token` or `unreadable`.
    pub(crate) means: String,
}

/// The recorded refusals of a provider, of its token endpoint or its profiles.
pub(crate) fn cases(provider: &str, of: &str) -> Vec<Case> {
    let recorded: Vec<Value> = serde_json::from_str(&fixture(provider, of)).expect("JSON");
    recorded.iter().map(|case| case_of(provider, case)).collect()
}

fn case_of(provider: &str, case: &Value) -> Case {
    let status = u16::try_from(case["status"].as_u64().expect("status")).expect("status");
    let (body, content_type) = match &case["body"] {
        Value::String(text) => (text.clone(), "text/plain"),
        json => (json.to_string(), "application/json"),
    };
    let mut response = response(status, content_type, &body);
    for (name, value) in case["headers"].as_object().into_iter().flatten() {
        let name: http::HeaderName = name.parse().expect("name");
        response.headers_mut().insert(name, value.as_str().expect("text").parse().expect("value"));
    }
    let text = |name: &str| case[name].as_str().expect("text").to_owned();
    Case { label: format!("{provider}: {}", text("case")), response, means: text("means") }
}

/// What an error means, in the words of the recordings.
pub(crate) fn meaning(provider: &Provider, error: &ProtocolError) -> &'static str {
    match error {
        ProtocolError::GrantRefused { .. } => "grant",
        ProtocolError::TokenRefused => "token",
        ProtocolError::ClientRefused { .. } if provider.refuses_credentials(error) => "credentials",
        // About this server, as far as one answer can tell.
        ProtocolError::ClientRefused { .. } | ProtocolError::UnknownRefusal { .. } => "client",
        ProtocolError::RateLimited { .. } | ProtocolError::ServerError { .. } => "transient",
        _ => "unreadable",
    }
}
