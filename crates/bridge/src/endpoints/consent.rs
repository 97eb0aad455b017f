//! The consent endpoint: the form of the consent page.

use std::sync::Arc;

use axum::{
    extract::{FromRef, FromRequestParts, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use url::Url;

use crate::{
    BridgeConfig, Client,
    clients::Clients,
    extract::OAuthForm,
    limits::Caller,
    login::{
        ApprovedRequest, AuthorizeError, Browser, ClientFingerprint, ConsentForm, Consents, Cookies, ProviderRedirects,
    },
    oauth_error::{ErrorCode, OAuthError},
    pages::{ErrorLink, Pages, error_page},
    telemetry::{LoginOutcome, Telemetry},
    urls::Urls,
};

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
) -> Result<Response, AuthorizeError> {
    let OAuthForm(parameters) = form?;
    let form = consents.open_form(parameters.required("request")?).ok_or_else(foreign_form)?;
    check_form(&form, &consents, Browser::from_headers(&headers, cookies), &config)?;
    let client = unchanged_client(&clients, &form, &caller, &config).await?;
    match parameters.required("decision")? {
        "approve" => {
            let ConsentForm { request, browser, .. } = form;
            let approved = ApprovedRequest { client: &client, request, browser, user: None };
            let start = redirects.start(&headers, &caller, approved).await?;
            let mut response = pages.redirect_to_provider(&start.url);
            start.set_cookies(response.headers_mut());
            Ok(response)
        }
        "deny" => {
            telemetry.login(LoginOutcome::Denied);
            Ok(denied(&clients, &pages, &client, &form, &config))
        }
        _ => Err(OAuthError::invalid_request("decision must be approve or deny").into()),
    }
}

fn foreign_form() -> OAuthError {
    OAuthError::invalid_request("this form was not created by this server")
}

/// Checks that the form was shown in this browser, and not too long ago.
fn check_form(
    form: &ConsentForm,
    consents: &Consents,
    browser: Option<Browser>,
    config: &BridgeConfig,
) -> Result<(), AuthorizeError> {
    if browser.is_none_or(|browser| browser.hash() != form.browser) {
        return Err(restart("this page was shown in another browser, or the browser blocks cookies", form, config));
    }
    if consents.is_expired(form) {
        return Err(restart("this page has expired", form, config));
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
        return Err(restart("the application's description has changed", form, config));
    }
    Ok(client)
}

fn restart(description: &'static str, form: &ConsentForm, config: &BridgeConfig) -> AuthorizeError {
    let error = OAuthError::invalid_request(description);
    AuthorizeError::restart(error, &form.request, &Urls::new(&config.issuer))
}

/// Reports `access_denied` to the client. If the operator does not trust it, the page has a link instead of a redirect: a user who denies
/// may not want to visit the client's site.
fn denied(clients: &Clients, pages: &Pages, client: &Client, form: &ConsentForm, config: &BridgeConfig) -> Response {
    let error = OAuthError::new(ErrorCode::AccessDenied, "the user denied access");
    let target = &form.request.target;
    let (place, url) = (target.redirect_uri.display_target(), target.with_error(&error, &config.issuer));
    let is_on_this_device = target.redirect_uri.is_loopback() || target.redirect_uri.is_app();
    if is_on_this_device || clients.is_trusted(client) {
        pages.redirect_page(place, &url)
    } else {
        error_page(&error, Some(ErrorLink::return_to(place, &url)))
    }
}

/// Rejects a request from a page of another origin with 403, before its body is read.
pub(crate) struct SameOrigin;

impl<S: Send + Sync> FromRequestParts<S> for SameOrigin
where
    Arc<BridgeConfig>: FromRef<S>,
{
    type Rejection = AuthorizeError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AuthorizeError> {
        let urls = Urls::new(&Arc::<BridgeConfig>::from_ref(state).issuer);
        if !is_same_origin(&parts.headers, &urls) {
            return Err(OAuthError::invalid_request("this form was sent from another site").with_forbidden().into());
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
