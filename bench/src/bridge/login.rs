//! One login by a browser and a client, with the bridge called as a service, without a socket.

use std::error::Error;

use axum::{Router, body::Body};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use portcullis::{ScopeSet, oauth::CodeVerifier};
use secrecy::SecretString;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tower::ServiceExt as _;

use super::site::{CLIENT, ISSUER, REDIRECT_URI, RESOURCE, Site};
use crate::throughput::Connection;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The tokens of a client.
#[derive(Clone)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";

/// Performs a login: consent page, consent, provider, callback, code, tokens. `connection` is the browser's connection to the provider.
pub(crate) async fn log_in(site: &Site, connection: &mut Connection, user: usize) -> Outcome<Tokens> {
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let authorize = format!(
        "{ISSUER}/authorize?response_type=code&client_id={CLIENT}&redirect_uri={}&state=s&code_challenge={challenge}&code_challenge_method=S256&resource={}",
        encoded(REDIRECT_URI),
        encoded(RESOURCE)
    );
    let page = send(&site.router, Request::get(authorize).body(Body::empty())?).await?;
    let form = between(&text(&page), "name=\"request\" value=\"", "\"").ok_or("a form")?;
    let browser = cookies(page.headers());

    let consent = Request::post(format!("{ISSUER}/consent"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ORIGIN, ISSUER)
        .header("sec-fetch-site", "same-origin")
        .header(header::COOKIE, &browser)
        .body(Body::from(format!("request={}&decision=approve", encoded(&form))))?;
    let page = send(&site.router, consent).await?;
    let onward =
        between(&text(&page), "content=\"0;url=", "\"").ok_or("a way on")?.replace("&amp;", "&").replace("&#38;", "&");
    let tracking = cookies(page.headers());

    let callback = at_provider(connection, &onward, user).await?;
    let arrival = Request::get(callback).header(header::COOKIE, format!("{browser}; {tracking}")).body(Body::empty())?;
    let arrival = send(&site.router, arrival).await?;
    let code = between(location(&arrival)?, "code=", "&").ok_or("a code")?;

    let form = format!(
        "grant_type=authorization_code&client_id={CLIENT}&code={code}&code_verifier={VERIFIER}&redirect_uri={}",
        encoded(REDIRECT_URI)
    );
    tokens(&site.router, form).await
}

/// Performs the provider's share of a login: its login page, and the requests of the bridge to the provider.
pub(crate) async fn provider_share(
    site: &Site,
    connection: &mut Connection,
    verifier: &CodeVerifier,
    user: usize,
) -> Outcome<()> {
    use portcullis::oauth::providers::AuthorizationRequest;
    let (redirect_uri, nonce) = (format!("{ISSUER}/callback"), "nonce");
    let scopes = ScopeSet::parse("openid profile email offline_access")?;
    let client_id = portcullis_testkit::IdentityProvider::CLIENT_ID;
    let request =
        AuthorizationRequest::new(client_id, &redirect_uri, "state", verifier).with_scopes(&scopes).with_nonce(nonce);
    let callback = at_provider(connection, &site.provider.provider().authorization_url(&request), user).await?;
    let code = SecretString::from(between(&callback, "code=", "&").ok_or("a code")?);
    site.provider.login(&code, &redirect_uri, verifier, nonce, &scopes).await?;
    Ok(())
}

/// Rotates a refresh token.
pub(crate) async fn refresh(router: &Router, refresh_token: &str) -> Outcome<Tokens> {
    tokens(router, format!("grant_type=refresh_token&client_id={CLIENT}&refresh_token={refresh_token}")).await
}

async fn tokens(router: &Router, form: String) -> Outcome<Tokens> {
    let request = Request::post(format!("{ISSUER}/token"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(form))?;
    let answer = send(router, request).await?;
    if answer.status() != StatusCode::OK {
        return Err(format!("{}: {}", answer.status(), text(&answer)).into());
    }
    let answer: Value = serde_json::from_slice(answer.body())?;
    let member = |name: &str| answer[name].as_str().map(str::to_owned).ok_or(format!("no {name}"));
    Ok(Tokens { access: member("access_token")?, refresh: member("refresh_token")? })
}

/// Returns the redirect of the provider after a login of `user`, without a password.
async fn at_provider(connection: &mut Connection, url: &str, user: usize) -> Outcome<String> {
    let uri: http::Uri = format!("{url}&login_hint=user{user}").parse()?;
    let path = uri.path_and_query().ok_or("a path")?.as_str();
    let host = uri.authority().ok_or("a host")?.as_str();
    connection.ready().await?;
    let request = Request::get(path).header(header::HOST, host).body(http_body_util::Full::default())?;
    let response = connection.send_request(request).await?;
    let (parts, body) = response.into_parts();
    let response = Response::from_parts(parts, body.collect().await?.to_bytes());
    Ok(location(&response)?.to_owned())
}

async fn send(router: &Router, request: Request<Body>) -> Outcome<Response<Bytes>> {
    let (parts, body) = router.clone().oneshot(request).await?.into_parts();
    Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
}

fn text(response: &Response<Bytes>) -> String {
    String::from_utf8_lossy(response.body()).into_owned()
}

fn location(response: &Response<Bytes>) -> Outcome<&str> {
    let location = response.headers().get(header::LOCATION);
    Ok(location.ok_or_else(|| format!("{}: {}", response.status(), text(response)))?.to_str()?)
}

/// Returns the `Cookie` header for the cookies that a response sets.
fn cookies(headers: &HeaderMap) -> String {
    let set = headers.get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
    set.filter_map(|cookie| cookie.split(';').next()).collect::<Vec<_>>().join("; ")
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let rest = text.split_once(before)?.1;
    Some(rest.split(after).next()?.to_owned())
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
