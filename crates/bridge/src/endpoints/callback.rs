//! The callback endpoint, to which the provider redirects the browser.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::{HeaderMap, Uri};
use portcullis_oauth::providers::AuthorizationResponse;

use crate::{
    BridgeConfig,
    extract::MAX_QUERY,
    limits::{Caller, RateLimits},
    login::{AuthorizeError, CompletedLogin, Cookies, LoginCompletion, PendingLogin, PendingLogins, cookie_name},
    oauth_error::{ErrorCode, OAuthError},
    response::redirect,
    session::SecretHash,
    state::BackgroundTasks,
    telemetry::{LoginOutcome, Telemetry},
    urls::{AUTHORIZE, Urls},
};

/// `GET /callback`. [RFC 6749 section 4.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2)
///
/// A response to a login that this browser did not begin shows an error page and changes nothing: a stolen `state` does not consume the
/// login, and a stolen response logs in no other browser.
#[expect(clippy::too_many_arguments, reason = "extractors")]
pub(crate) async fn callback(
    State(config): State<Arc<BridgeConfig>>,
    State(pending_logins): State<Arc<PendingLogins>>,
    State(completion): State<Arc<LoginCompletion>>,
    State(cookies): State<Cookies>,
    State(limits): State<RateLimits>,
    State(telemetry): State<Arc<Telemetry>>,
    State(background): State<BackgroundTasks>,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, AuthorizeError> {
    let response = authorization_response(&uri)?;
    let cookie = cookie_name(response.state());
    let login = take_login(&pending_logins, cookies, &headers, &cookie, &response)
        .await
        .map_err(OAuthError::from)?
        .ok_or_else(|| unknown_login(&telemetry))?;
    limits.refund_login(&caller, &login.request.client_id);
    let request = login.request.clone();
    // The provider's code is used up now, so the login completes even if the browser disconnects.
    let outcome = background.run(async move { completion.complete(&login, response).await }).await;
    telemetry.login(label(&outcome));
    let mut response = redirect(&match outcome {
        Ok(CompletedLogin::Code(code)) => request.target.with_code(&code, &config.issuer),
        // The consent page, in spite of the stored consent of the other user.
        Ok(CompletedLogin::OtherUser) => {
            format!("{}?{}", Urls::new(&config.issuer).url(AUTHORIZE), request.query())
        }
        Err(error) => request.target.with_error(&error, &config.issuer),
    });
    cookies.clear(response.headers_mut(), &cookie);
    Ok(response)
}

fn authorization_response(uri: &Uri) -> Result<AuthorizationResponse, OAuthError> {
    let query = uri.query().unwrap_or_default();
    if query.len() > MAX_QUERY {
        return Err(OAuthError::invalid_request("the response of the identity provider is too long"));
    }
    AuthorizationResponse::parse(query)
        .map_err(|_| OAuthError::invalid_request("malformed response of an identity provider"))
}

/// Removes and returns the login of the response, if this browser has its cookie.
async fn take_login(
    pending_logins: &PendingLogins,
    cookies: Cookies,
    headers: &HeaderMap,
    cookie: &str,
    response: &AuthorizationResponse,
) -> Result<Option<PendingLogin>, portcullis_store::StoreError> {
    let Some(found) = pending_logins.find(response.state()).await? else { return Ok(None) };
    let presented = cookies.find(headers, cookie).map(|cookie| SecretHash::of_text(&cookie));
    if presented != Some(found.value.cookie) {
        return Ok(None);
    }
    pending_logins.take(response.state(), found).await
}

fn unknown_login(telemetry: &Telemetry) -> OAuthError {
    telemetry.login(LoginOutcome::Foreign);
    tracing::info!("authorization response matches no pending login of this browser");
    OAuthError::invalid_request("no login is pending in this browser: it expired or was completed")
}

const fn label(outcome: &Result<CompletedLogin, OAuthError>) -> LoginOutcome {
    match outcome {
        Ok(CompletedLogin::Code(_)) => LoginOutcome::Completed,
        Ok(CompletedLogin::OtherUser) => LoginOutcome::Denied,
        Err(OAuthError { code: ErrorCode::AccessDenied, .. }) => LoginOutcome::Refused,
        Err(_) => LoginOutcome::Failed,
    }
}
