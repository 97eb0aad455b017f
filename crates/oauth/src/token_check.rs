//! Asking GitHub whether it issued a token to our app: `POST /applications/{client_id}/token`.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use portcullis_core::{BearerToken, Issuer, UnixTime};
use serde_json::{Map, Value, json};

use crate::{
    Claims, ClientAuthentication, ProtocolError, Verified,
    response::{client_refused, json_object},
    subject::Subject,
};

/// A request to `endpoint` whether `token` was issued to the app `client`, which authenticates itself.
///
/// `endpoint` is `https://api.github.com/applications/{client_id}/token`, or the like on GitHub Enterprise Server.
/// [GitHub, Check a token](https://docs.github.com/en/rest/apps/oauth-applications#check-a-token)
#[must_use]
pub fn request(endpoint: &Uri, client: &ClientAuthentication, token: &BearerToken) -> Request<Bytes> {
    let body = json!({ "access_token": token.expose_secret() }).to_string();
    let mut request = Request::new(body.into());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = endpoint.clone();
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
    headers.insert(header::AUTHORIZATION, client.basic_credentials());
    request
}

/// What `response` says: the user of the token, its scopes and its end, as claims of `issuer`.
///
/// `sub` is the number of the user, `client_id` is ours. The response repeats the token, so nothing else is kept.
///
/// # Errors
/// [`ProtocolError::TokenRefused`] for a 404, by which GitHub says that it issued no such token to this app, or if the
/// response names another app; other [`ProtocolError`]s where nobody can tell.
pub fn process(
    issuer: &Issuer,
    client: &ClientAuthentication,
    response: &Response<Bytes>,
) -> Result<Verified<Claims>, ProtocolError> {
    match response.status() {
        StatusCode::NOT_FOUND => return Err(ProtocolError::TokenRefused),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(client_refused(response)),
        _ => {}
    }
    let members = json_object(response)?;
    let app = members.get("app").and_then(|app| app.get("client_id")).and_then(Value::as_str);
    if app.ok_or(ProtocolError::InvalidMember("app"))? != client.client_id() {
        return Err(ProtocolError::TokenRefused);
    }
    let user = members.get("user").and_then(|user| user.get("id")).and_then(Value::as_u64);
    let mut claims = Map::new();
    let user = user.ok_or(ProtocolError::InvalidMember("user"))?.to_string();
    claims.insert("sub".into(), user.clone().into());
    claims.insert("client_id".into(), client.client_id().into());
    claims.insert("scope".into(), scopes(&members)?.into());
    if let Some(expires_at) = expires_at(&members)? {
        claims.insert("exp".into(), expires_at.as_secs().into());
    }
    Ok(Verified::assertion(issuer.clone(), Subject::user(user.into()), Claims::new(claims)))
}

/// A list for OAuth apps; null or empty for GitHub Apps, whose tokens have permissions instead.
fn scopes(members: &Map<String, Value>) -> Result<String, ProtocolError> {
    const INVALID: ProtocolError = ProtocolError::InvalidMember("scopes");
    match members.get("scopes") {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::Array(names)) => {
            let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
            names.map(|names| names.join(" ")).ok_or(INVALID)
        }
        Some(_) => Err(INVALID),
    }
}

fn expires_at(members: &Map<String, Value>) -> Result<Option<UnixTime>, ProtocolError> {
    let Some(value) = members.get("expires_at").filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let instant = value.as_str().and_then(|text| humantime::parse_rfc3339(text).ok());
    let since_epoch = instant.and_then(|instant| instant.duration_since(std::time::UNIX_EPOCH).ok());
    since_epoch.map(|elapsed| Some(UnixTime::default() + elapsed)).ok_or(ProtocolError::InvalidMember("expires_at"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> ClientAuthentication {
        ClientAuthentication::basic("Iv1.app", "hush".into())
    }

    fn processed(status: u16, body: &Value) -> Result<Verified<Claims>, ProtocolError> {
        let response = Response::builder().status(status).header("content-type", "application/json; charset=utf-8");
        let response = response.body(Bytes::from(body.to_string())).expect("response");
        process(&Issuer::new("https://github.com").expect("issuer"), &client(), &response)
    }

    fn answer() -> Value {
        json!({
            "id": 1, "token": "gho_secret", "app": {"client_id": "Iv1.app"}, "scopes": ["repo", "read:user"],
            "expires_at": "2027-01-15T08:00:00Z", "user": {"login": "octocat", "id": 583231},
        })
    }

    #[test]
    fn asks_with_the_apps_own_credentials() {
        let token = BearerToken::new("gho_secret").expect("token");
        let endpoint = Uri::from_static("https://api.github.com/applications/Iv1.app/token");
        let request = request(&endpoint, &client(), &token);
        assert_eq!(request.method(), "POST");
        assert_eq!(request.body().as_ref(), br#"{"access_token":"gho_secret"}"#);
        assert!(request.headers()["authorization"].is_sensitive());
    }

    #[test]
    fn a_token_of_our_app_is_evidence_and_the_token_is_not_kept() {
        let verified = processed(200, &answer()).expect("verified");
        let user = verified.into_user_context().expect("user").build();
        assert_eq!((user.subject(), user.client_id()), ("583231", Some("Iv1.app")));
        assert_eq!(user.scopes().to_string(), "repo read:user");
        assert_eq!(user.expires_at(), Some(UnixTime::from_secs(1_800_000_000)));
        assert!(!serde_json::to_string(&user).expect("json").contains("gho_secret"));
    }

    #[test]
    fn rs_10_a_token_of_another_app_is_refused() {
        assert_eq!(processed(404, &json!({})).expect_err("unknown"), ProtocolError::TokenRefused);
        let mut foreign = answer();
        foreign["app"]["client_id"] = "Iv1.other".into();
        assert_eq!(processed(200, &foreign).expect_err("foreign"), ProtocolError::TokenRefused);
    }

    #[test]
    fn a_token_that_cannot_be_parsed_is_refused() {
        for (name, value) in [
            ("app", Value::Null),
            ("user", json!({"id": "583231"})),
            ("scopes", json!("repo")),
            ("scopes", json!([1])),
            ("expires_at", json!("tomorrow")),
            ("expires_at", json!(7)),
        ] {
            let mut body = answer();
            body[name] = value;
            assert_eq!(processed(200, &body).expect_err(name), ProtocolError::InvalidMember(name));
        }
        assert!(matches!(processed(401, &json!({})), Err(ProtocolError::ClientRefused { .. })));
        assert!(matches!(processed(422, &json!({})), Err(ProtocolError::UnexpectedStatus(_))));
        let mut app = answer();
        (app["scopes"], app["expires_at"]) = (Value::Null, Value::Null);
        assert!(processed(200, &app).is_ok());
    }
}
