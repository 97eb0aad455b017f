//! GitHub and GitHub Enterprise Server: OAuth in a dialect of their own.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use portcullis_core::{InvalidUri, Issuer};
use serde_json::{Map, Value, json};

use super::{
    Provider,
    profile::is_absent,
    provider::{Endpoints, url},
    token_refusal::Meaning,
    vendor::{Supplement, TokenFormat, Vendor},
};
use crate::{ClientAuthentication, revocation::RevokedTokens, user_info::SubjectMember};

/// Errors come with the status 200. Tokens of OAuth apps have no end and no refresh token; a refresh token of a GitHub App is good
/// once, and using it ends the old access token as well.
static GITHUB: Vendor = Vendor {
    name: "github",
    token_format: TokenFormat::FormWithSecret,
    errors: &[
        ("bad_refresh_token", "", Meaning::Grant),
        ("bad_verification_code", "", Meaning::Grant),
        ("incorrect_client_credentials", "", Meaning::Credentials),
    ],
    scope_separator: ',',
    // Of a GitHub App: it has permissions, and its list of scopes is always empty.
    has_no_scopes: |token| token.expose_secret().starts_with("ghu_"),
    refresh_lifetime: "refresh_token_expires_in",
    refresh_ends_access_token: true,
    id_tokens: false,
    subject: SubjectMember::Number("id"),
    names: &[("login", "preferred_username"), ("avatar_url", "picture")],
    supplement: Some(Supplement {
        is_needed: |profile| is_absent(profile, "email"),
        endpoint: |user| url(user.to_string().trim_end_matches('/'), "/emails").ok(),
        add: add_email,
    }),
    revocation: revoke,
    revoked_already: &[StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY],
    ..Vendor::STANDARD
};

impl Provider {
    /// GitHub. The user's e-mail address needs the scope `user:email`.
    #[must_use]
    pub fn github() -> Self {
        let mut endpoints = Endpoints::new(
            Uri::from_static("https://github.com/login/oauth/authorize"),
            Uri::from_static("https://github.com/login/oauth/access_token"),
        );
        endpoints.userinfo = Some(Uri::from_static("https://api.github.com/user"));
        endpoints.revocation = Some(Uri::from_static("https://api.github.com/applications"));
        Self::new(&GITHUB, Issuer::new("https://github.com").expect("an issuer"), endpoints)
    }

    /// The GitHub Enterprise Server called `host`.
    ///
    /// # Errors
    /// [`InvalidUri`] if it cannot be called so.
    pub fn github_enterprise(host: &str) -> Result<Self, InvalidUri> {
        let base = format!("https://{host}");
        let issuer = Issuer::new(&base)?;
        let mut endpoints =
            Endpoints::new(url(&base, "/login/oauth/authorize")?, url(&base, "/login/oauth/access_token")?);
        endpoints.userinfo = Some(url(&base, "/api/v3/user")?);
        endpoints.revocation = Some(url(&base, "/api/v3/applications")?);
        Ok(Self::new(&GITHUB, issuer, endpoints))
    }
}

/// The primary address, if it is the user's for sure.
fn add_email(profile: &mut Map<String, Value>, emails: &Value) {
    let is_true = |email: &Value, name: &str| email.get(name).and_then(Value::as_bool) == Some(true);
    let emails = emails.as_array().map(Vec::as_slice).unwrap_or_default();
    let primary = emails.iter().find(|email| is_true(email, "primary") && is_true(email, "verified"));
    if let Some(address) = primary.and_then(|email| email.get("email")).filter(|address| address.is_string()) {
        profile.insert("email".to_owned(), address.clone());
        profile.insert("email_verified".to_owned(), true.into());
    }
}

/// The one token. To delete the *authorization* would log the user out of every other session with this app.
/// [GitHub, Delete an app token](https://docs.github.com/en/rest/apps/oauth-applications#delete-an-app-token)
fn revoke(applications: &Uri, client: &ClientAuthentication, tokens: RevokedTokens<'_>) -> Request<Bytes> {
    let id: String = url::form_urlencoded::byte_serialize(client.client_id().as_bytes()).collect();
    let base = applications.to_string();
    let mut request = Request::new(json!({ "access_token": tokens.access_token.expose_secret() }).to_string().into());
    *request.method_mut() = Method::DELETE;
    *request.uri_mut() = url(base.trim_end_matches('/'), &format!("/{id}/token")).expect("an id that is encoded");
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
    headers.insert(header::AUTHORIZATION, client.basic_credentials());
    request
}
