//! The endpoints of the login: the authorization endpoint, the consent form, and the callback.

use std::sync::Arc;

use axum::{
    extract::{FromRef, FromRequestParts, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, Uri, header, request::Parts};
use portcullis_oauth::providers::AuthorizationResponse;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::{
    BridgeConfig, Client,
    clients::Clients,
    config::Urls,
    limits::{Caller, RateLimits},
    login::{
        ApprovedRequest, AuthorizationRequest, AuthorizeError, Browser, ClientFingerprint, CompletedLogin, ConsentForm,
        Consents, Cookies, LoginCompletion, PendingLogin, PendingLogins, ProviderRedirects, cookie_name,
    },
    pages::{ErrorLink, Pages},
    parameters::{MAX_QUERY, OAuthForm, OAuthQuery},
    response::{ErrorCode, OAuthError, redirect, run_to_end},
    session::SecretHash,
    telemetry::{LoginOutcome, Telemetry},
};

/// `GET /authorize`. [RFC 6749 section 4.1.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.1)
///
/// Nothing is stored, and the provider is not involved, before the user has consented, now or earlier.
#[expect(clippy::too_many_arguments, reason = "extractors")]
pub(crate) async fn authorize(
    State(config): State<Arc<BridgeConfig>>,
    State(clients): State<Arc<Clients>>,
    State(cookies): State<Cookies>,
    State(consents): State<Arc<Consents>>,
    State(redirects): State<Arc<ProviderRedirects>>,
    State(pages): State<Arc<Pages>>,
    caller: Caller,
    headers: HeaderMap,
    query: Result<OAuthQuery, OAuthError>,
) -> Response {
    let client_id = query.as_ref().ok().and_then(|OAuthQuery(query)| query.optional("client_id")).map(str::to_owned);
    let outcome = async {
        let OAuthQuery(parameters) = query?;
        let (client, request) = AuthorizationRequest::validate(&parameters, &clients, &config, &caller).await?;
        let known_browser = Browser::from_headers(&headers, cookies);
        if let Some(browser) = known_browser.as_ref().filter(|_| !request.asks_for_consent) {
            let consent = consents.find(browser.hash(), &client, &request).await.map_err(OAuthError::from)?;
            if let Some(consent) = consent {
                let approved =
                    ApprovedRequest { client: &client, request, browser: browser.hash(), user: Some(consent.user) };
                let start = redirects.start(&headers, &caller, approved).await?;
                let mut response = redirect(&start.url);
                start.set_cookies(response.headers_mut());
                return Ok(response);
            }
        }
        let browser = known_browser.unwrap_or_else(Browser::new);
        Ok::<_, AuthorizeError>(consent_page(&pages, &consents, cookies, &client, &request, &browser))
    };
    outcome.await.unwrap_or_else(|error| {
        error.log_rejected("authorize", client_id.as_deref());
        error.into_response(&pages)
    })
}

/// Creates the consent page, whose form is valid in this browser only.
fn consent_page(
    pages: &Pages,
    consents: &Consents,
    cookies: Cookies,
    client: &Client,
    request: &AuthorizationRequest,
    browser: &Browser,
) -> Response {
    let form = consents.seal_form(client, browser, request.clone());
    let mut response = pages.consent(client, request, &form);
    consents.set_browser_cookie(response.headers_mut(), browser, cookies);
    response
}

/// `POST /consent`: the form of a consent page, from this server's origin and from the browser that received the page.
#[expect(clippy::too_many_arguments, reason = "extractors")]
pub(crate) async fn consent(
    State(config): State<Arc<BridgeConfig>>,
    State(clients): State<Arc<Clients>>,
    State(cookies): State<Cookies>,
    State(consents): State<Arc<Consents>>,
    State(redirects): State<Arc<ProviderRedirects>>,
    State(pages): State<Arc<Pages>>,
    State(telemetry): State<Arc<Telemetry>>,
    _: SameOrigin,
    caller: Caller,
    headers: HeaderMap,
    form: Result<OAuthForm, OAuthError>,
) -> Response {
    let mut client_id = None;
    let outcome = async {
        let OAuthForm(parameters) = form?;
        let form = consents.open_form(parameters.required("request")?).ok_or_else(foreign_form)?;
        client_id = Some(form.request.client_id.clone());
        check_form(&form, &consents, Browser::from_headers(&headers, cookies).as_ref(), &config)?;
        let client = unchanged_client(&clients, &form, &caller, &config).await?;
        match parameters.required("decision")? {
            "approve" => {
                let ConsentForm { request, browser, .. } = form;
                let approved = ApprovedRequest { client: &client, request, browser, user: None };
                let start = redirects.start(&headers, &caller, approved).await?;
                let mut response = pages.redirect_to_provider(&start.url);
                start.set_cookies(response.headers_mut());
                Ok::<_, AuthorizeError>(response)
            }
            "deny" => {
                telemetry.login(LoginOutcome::Denied);
                Ok(denied(&clients, &pages, &client, &form, &config))
            }
            decision => {
                let error = OAuthError::invalid_request("decision must be approve or deny");
                Err(error.with_found(decision, "approve or deny").into())
            }
        }
    };
    let outcome = outcome.await;
    outcome.unwrap_or_else(|error| {
        error.log_rejected("consent", client_id.as_deref());
        error.into_response(&pages)
    })
}

fn foreign_form() -> OAuthError {
    OAuthError::invalid_request("this form was not created by this server")
        .with_found("a form that no key opens", "a form of a consent page")
        .with_key("store.encryption_keys_file")
}

/// Checks that the form was shown in this browser, and not too long ago.
fn check_form(
    form: &ConsentForm,
    consents: &Consents,
    browser: Option<&Browser>,
    config: &BridgeConfig,
) -> Result<(), AuthorizeError> {
    if browser.is_none_or(|browser| browser.hash() != form.browser) {
        let found = if browser.is_none() { "no cookie" } else { "the cookie of another browser" };
        let error =
            OAuthError::invalid_request("this page was shown in another browser, or the browser blocks cookies");
        return Err(restart(error.with_found(found, "the cookie that came with the page"), form, config));
    }
    if consents.is_expired(form) {
        let error = OAuthError::invalid_request("this page has expired");
        let expected = format!("an answer within {:?}", config.login_ttl);
        return Err(restart(error.with_found("a later answer", &expected), form, config));
    }
    Ok(())
}

/// Returns the client, unless its description has changed since the page was shown.
async fn unchanged_client(
    clients: &Clients,
    form: &ConsentForm,
    caller: &Caller,
    config: &BridgeConfig,
) -> Result<Client, AuthorizeError> {
    let client = clients.find(&form.request.client_id, caller).await?;
    if ClientFingerprint::of(&client) != form.client {
        let error = OAuthError::invalid_request("the application's description has changed");
        return Err(restart(error, form, config));
    }
    Ok(client)
}

fn restart(error: OAuthError, form: &ConsentForm, config: &BridgeConfig) -> AuthorizeError {
    AuthorizeError::restart(error, &form.request, &config.urls())
}

/// Reports `access_denied` to the client. If the operator does not trust it, the page has a link instead of a redirect: a user who denies
/// may not want to visit the client's site.
fn denied(clients: &Clients, pages: &Pages, client: &Client, form: &ConsentForm, config: &BridgeConfig) -> Response {
    let error = OAuthError::new(ErrorCode::AccessDenied, "the user denied access");
    error.log_rejected("consent", Some(client.id()));
    let target = &form.request.target;
    let (place, url) = (target.redirect_uri.display_target(), target.with_error(&error, &config.issuer));
    let is_on_this_device = target.redirect_uri.is_loopback() || target.redirect_uri.is_app();
    if is_on_this_device || clients.is_trusted(client) {
        pages.redirect_page(place, &url)
    } else {
        pages.error(&error, Some(ErrorLink::return_to(place, &url)))
    }
}

/// Rejects a request from a page of another origin with 403, before its body is read.
pub(crate) struct SameOrigin;

impl<S: Send + Sync> FromRequestParts<S> for SameOrigin
where
    Arc<BridgeConfig>: FromRef<S>,
    Arc<Pages>: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let urls = Arc::<BridgeConfig>::from_ref(state).urls();
        if !is_same_origin(&parts.headers, &urls) {
            let found =
                |name| single_value(&parts.headers, name).and_then(|value| value.to_str().ok()).unwrap_or("none");
            let found = format!("Origin {}, Sec-Fetch-Site {}", found("origin"), found("sec-fetch-site"));
            let error = OAuthError::invalid_request("this form was sent from another site")
                .with_forbidden()
                .with_found(&found, urls.origin())
                .with_key("public_url");
            error.log_rejected("consent", None);
            return Err(Arc::<Pages>::from_ref(state).error(&error, None));
        }
        Ok(Self)
    }
}

/// Reports whether the request comes from a page of this origin, by `Origin`
/// ([RFC 6454 section 7](https://www.rfc-editor.org/rfc/rfc6454#section-7)) and `Sec-Fetch-Site` (Fetch Metadata).
///
/// Old browsers send neither header. The cookie that must match the form protects them.
fn is_same_origin(headers: &HeaderMap, urls: &Urls) -> bool {
    let fetched_here = single_value(headers, "sec-fetch-site").is_none_or(|site| site == "same-origin");
    let own = Url::parse(urls.origin()).map(|url| url.origin().ascii_serialization());
    let from_here = single_value(headers, header::ORIGIN.as_str())
        .is_none_or(|origin| own.as_ref().is_ok_and(|own| origin == own.as_str()));
    fetched_here && from_here
}

/// Returns the header value, or `null` if it is repeated.
fn single_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a HeaderValue> {
    static NULL: HeaderValue = HeaderValue::from_static("null");
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => Some(&NULL),
        (value, _) => value,
    }
}

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
    State(tasks): State<TaskTracker>,
    State(pages): State<Arc<Pages>>,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let found = async {
        let response = authorization_response(&uri)?;
        let cookie = cookie_name(response.state());
        let login = take_login(&pending_logins, cookies, &headers, &cookie, &response).await.inspect_err(|error| {
            if error.code == ErrorCode::InvalidRequest {
                telemetry.login(LoginOutcome::Foreign);
            }
        })?;
        Ok::<_, OAuthError>((response, cookie, login))
    };
    let (response, cookie, login) = match found.await {
        Ok(found) => found,
        Err(error) => {
            error.log_rejected("callback", None);
            return pages.error(&error, None);
        }
    };
    limits.refund_login(&caller, &login.request.client_id);
    let request = login.request.clone();
    // The provider's code is used up now, so the login completes even if the browser disconnects.
    let outcome = run_to_end(&tasks, async move { completion.complete(&login, response).await }).await;
    telemetry.login(label(&outcome));
    let mut response = redirect(&match outcome {
        Ok(CompletedLogin::Code(code)) => request.target.with_code(&code, &config.issuer),
        // The consent page, in spite of the stored consent of the other user.
        Ok(CompletedLogin::OtherUser) => {
            format!("{}?{}", config.urls().url(Urls::AUTHORIZE), request.query())
        }
        Err(error) => request.target.with_error(&error, &config.issuer),
    });
    cookies.clear(response.headers_mut(), &cookie);
    response
}

fn authorization_response(uri: &Uri) -> Result<AuthorizationResponse, OAuthError> {
    let query = uri.query().unwrap_or_default();
    if query.len() > MAX_QUERY {
        return Err(OAuthError::invalid_request("the response of the identity provider is too long"));
    }
    AuthorizationResponse::parse(query).map_err(|error| {
        OAuthError::invalid_request("malformed response of an identity provider")
            .with_found(&error.to_string(), "the parameters `state`, and `code` or `error`, once each")
    })
}

/// Removes and returns the login of the response, if this browser has its cookie.
async fn take_login(
    pending_logins: &PendingLogins,
    cookies: Cookies,
    headers: &HeaderMap,
    cookie: &str,
    response: &AuthorizationResponse,
) -> Result<PendingLogin, OAuthError> {
    let unknown = |found| {
        let error = OAuthError::invalid_request("no login is pending in this browser: it expired or was completed");
        error.with_found(found, "the `state` and the cookie of a pending login")
    };
    let Some(found) = pending_logins.find(response.state()).await? else {
        return Err(unknown("a `state` of no pending login"));
    };
    let presented = cookies.find(headers, cookie).map(|cookie| SecretHash::of_text(&cookie));
    if presented != Some(found.value.cookie) {
        return Err(unknown("a pending login, and not its cookie: another browser, another host, or blocked cookies"));
    }
    let taken = pending_logins.take(response.state(), found).await?;
    taken.ok_or_else(|| unknown("a login that another request has completed"))
}

const fn label(outcome: &Result<CompletedLogin, OAuthError>) -> LoginOutcome {
    match outcome {
        Ok(CompletedLogin::Code(_)) => LoginOutcome::Completed,
        Ok(CompletedLogin::OtherUser) => LoginOutcome::Denied,
        Err(OAuthError { code: ErrorCode::AccessDenied, .. }) => LoginOutcome::Refused,
        Err(_) => LoginOutcome::Failed,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use portcullis_core::Issuer;

    use super::*;

    fn is_ours(issuer: &str, headers: &[(&'static str, &'static str)]) -> bool {
        let headers =
            headers.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        is_same_origin(&headers.collect(), &Urls::new(&Issuer::new(issuer).expect("an issuer")))
    }

    #[test]
    fn an_origin_is_compared_as_browsers_write_it() {
        const OURS: [(&str, &str); 1] = [("origin", "https://mcp.example.com")];
        assert!(is_ours("https://mcp.example.com", &OURS));
        assert!(is_ours("https://mcp.example.com/tenant", &OURS));
        assert!(is_ours("https://mcp.example.com:443", &OURS), "browsers omit the default port");
        assert!(!is_ours("https://mcp.example.com:8443", &OURS));
        assert!(is_ours("https://mcp.example.com:8443", &[("origin", "https://mcp.example.com:8443")]));
        assert!(!is_ours("https://mcp.example.com", &[("origin", "null")]));
    }

    #[test]
    fn repeated_headers_are_rejected() {
        let ours = ("origin", "https://mcp.example.com");
        assert!(!is_ours("https://mcp.example.com", &[ours, ours]));
        assert!(!is_ours(
            "https://mcp.example.com",
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")]
        ));
        assert!(is_ours("https://mcp.example.com", &[]), "old browsers send neither header");
    }
}
