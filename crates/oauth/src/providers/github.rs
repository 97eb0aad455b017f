//! GitHub and GitHub Enterprise Server: OAuth with messages of their own.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use portcullis_core::{BearerToken, InvalidUri, Issuer, UnixTime};
use serde_json::{Map, Value, json};

use super::{
    Provider,
    provider::url,
    vendor::{
        ClientCredentials, Endpoints, ErrorMeaning, ErrorRule, RevocationFormat, SubjectMember, Supplement, TokenCheck,
        Vendor,
    },
};
use crate::{
    Claims, ClientAuthentication, ProtocolError,
    response::{client_refused, json_object},
};

/// Errors have the status 200. Tokens of OAuth apps do not expire, and there is no refresh token; a refresh token of a GitHub App is valid
/// once, and a refresh ends the previous access token as well.
fn vendor() -> Vendor {
    Vendor {
        name: "github",
        display_name: Some("GitHub".into()),
        credentials: ClientCredentials::InBody,
        errors: vec![
            ErrorRule::new("bad_refresh_token", ErrorMeaning::Grant),
            ErrorRule::new("bad_verification_code", ErrorMeaning::Grant),
            ErrorRule::new("incorrect_client_credentials", ErrorMeaning::Credentials),
        ],
        // A token of a GitHub App has permissions, and its list of scopes is always empty.
        unscoped_token_prefix: Some("ghu_".into()),
        refresh_lifetime_member: "refresh_token_expires_in".into(),
        refresh_ends_access_token: true,
        id_tokens: false,
        // `login` can be reassigned.
        subject: SubjectMember::Number("id".into()),
        renamed_members: vec![("login".into(), "preferred_username".into()), ("avatar_url".into(), "picture".into())],
        supplement: Some(Supplement::GitHubEmails),
        token_check: Some(TokenCheck::GitHub),
        // The one token. To delete the *authorization* would end every other session of the user with this app.
        // <https://docs.github.com/en/rest/apps/oauth-applications#delete-an-app-token>
        revocation: RevocationFormat::GitHub,
        revoked_already: vec![StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY],
        ..Vendor::standard()
    }
}

impl Provider {
    /// Creates the provider GitHub. The user's e-mail address needs the scope `user:email`.
    #[must_use]
    pub fn github() -> Self {
        let mut endpoints = Endpoints::new(
            Uri::from_static("https://github.com/login/oauth/authorize"),
            Uri::from_static("https://github.com/login/oauth/access_token"),
        );
        endpoints.userinfo = Some(Uri::from_static("https://api.github.com/user"));
        endpoints.revocation = Some(Uri::from_static("https://api.github.com/applications"));
        Self::of_vendor(vendor(), Issuer::new("https://github.com").expect("a valid issuer"), endpoints)
    }

    /// Creates the provider for the GitHub Enterprise Server at `host`.
    ///
    /// # Errors
    /// [`InvalidUri`] if `host` makes no valid URL.
    pub fn github_enterprise(host: &str) -> Result<Self, InvalidUri> {
        let base = format!("https://{host}");
        let issuer = Issuer::new(&base)?;
        let mut endpoints =
            Endpoints::new(url(&base, "/login/oauth/authorize")?, url(&base, "/login/oauth/access_token")?);
        endpoints.userinfo = Some(url(&base, "/api/v3/user")?);
        endpoints.revocation = Some(url(&base, "/api/v3/applications")?);
        Ok(Self::of_vendor(vendor(), issuer, endpoints))
    }
}

/// Returns the URL of the e-mail addresses, from that of the profile.
pub(super) fn emails(user: &Uri) -> Option<Uri> {
    url(user.to_string().trim_end_matches('/'), "/emails").ok()
}

/// Adds the primary address, if it is verified.
pub(super) fn add_email(profile: &mut Map<String, Value>, emails: &Value) {
    let is_true = |email: &Value, name: &str| email.get(name).and_then(Value::as_bool) == Some(true);
    let emails = emails.as_array().map(Vec::as_slice).unwrap_or_default();
    let primary = emails.iter().find(|email| is_true(email, "primary") && is_true(email, "verified"));
    if let Some(address) = primary.and_then(|email| email.get("email")).filter(|address| address.is_string()) {
        profile.insert("email".to_owned(), address.clone());
        profile.insert("email_verified".to_owned(), true.into());
    }
}

/// Returns the URL for the tokens of one app: `{applications}/{client_id}/token`.
pub(super) fn app_token(applications: &Uri, client: &ClientAuthentication) -> Uri {
    let id: String = url::form_urlencoded::byte_serialize(client.client_id().as_bytes()).collect();
    let base = applications.to_string();
    url(base.trim_end_matches('/'), &format!("/{id}/token")).expect("a URL with an encoded segment is valid")
}

/// Returns a request about one token of the app `client`, which authenticates itself.
pub(super) fn app_request(
    method: Method,
    endpoint: Uri,
    client: &ClientAuthentication,
    token: &BearerToken,
) -> Request<Bytes> {
    let mut request = Request::new(json!({ "access_token": token.expose_secret() }).to_string().into());
    *request.method_mut() = method;
    *request.uri_mut() = endpoint;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
    headers.insert(header::AUTHORIZATION, client.basic_credentials());
    request
}

/// Returns the ID of the user, and the scopes and the expiry of the token as claims. The response repeats the token, so nothing else is
/// kept.
///
/// 404 means that GitHub issued no such token to this app.
pub(super) fn process_token_check(
    client: &ClientAuthentication,
    response: &Response<Bytes>,
) -> Result<(Box<str>, Claims), ProtocolError> {
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
    let user = user.ok_or(ProtocolError::InvalidMember("user"))?.to_string();
    let mut claims = Map::new();
    claims.insert("sub".into(), user.clone().into());
    claims.insert("client_id".into(), client.client_id().into());
    claims.insert("scope".into(), scopes(&members)?.into());
    if let Some(expires_at) = expires_at(&members)? {
        claims.insert("exp".into(), expires_at.as_secs().into());
    }
    Ok((user.into(), Claims::new(claims)))
}

/// Returns the scopes: a list for OAuth apps; null or empty for GitHub Apps, whose tokens have permissions instead.
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
    use crate::Verified;

    fn client() -> ClientAuthentication {
        ClientAuthentication::basic("Iv1.app", "hush".into())
    }

    fn processed(status: u16, body: &Value) -> Result<Verified<Claims>, ProtocolError> {
        let response = Response::builder().status(status).header("content-type", "application/json; charset=utf-8");
        let response = response.body(Bytes::from(body.to_string())).expect("response");
        Provider::github().process_token_check(&client(), &response)
    }

    fn answer() -> Value {
        json!({
            "id": 1, "token": "gho_secret", "app": {"client_id": "Iv1.app"}, "scopes": ["repo", "read:user"],
            "expires_at": "2027-01-15T08:00:00Z", "user": {"login": "octocat", "id": 583231},
        })
    }

    #[test]
    fn a_token_check_is_authenticated_by_the_app() {
        let token = BearerToken::new("gho_secret").expect("token");
        let request = Provider::github().token_check_request(&client(), &token).expect("request");
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.uri(), "https://api.github.com/applications/Iv1.app/token");
        let elsewhere = Provider::github().with_token_check_endpoint(Uri::from_static("https://ghe.example/check"));
        assert_eq!(
            elsewhere.token_check_request(&client(), &token).expect("request").uri(),
            "https://ghe.example/check"
        );
        assert!(Provider::google().token_check_request(&client(), &token).is_none());
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
    fn a_token_check_that_cannot_be_read_is_an_error() {
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
