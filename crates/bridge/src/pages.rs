//! Pages for users.
//!
//! They work without scripts, load nothing, and cannot be framed. Text of clients is escaped, and sanitized of characters that imitate
//! other text.

use askama::Template;
use aws_lc_rs::digest;
use axum::{body::Body, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, StatusCode, header};
use portcullis_core::{ResourceUri, ScopeSet};
use portcullis_oauth::providers::Provider;
use url::Url;

use crate::{
    Branding, BridgeConfig, Client, RedirectUri,
    branding::Color,
    clients::ClientSource,
    config::Urls,
    login::AuthorizationRequest,
    response::{ErrorCode, OAuthError, set_no_store},
};

/// The pages whose content depends on the configuration.
#[derive(Debug)]
pub(crate) struct Pages {
    /// The action of the consent page's form.
    consent_path: String,
    /// The provider's name for users.
    provider: String,
    /// The scopes that the provider asks users for.
    upstream_scopes: ScopeSet,
    resource: ResourceUri,
    /// The name of `resource` for users.
    resource_name: Option<Box<str>>,
    branding: Branding,
    style: Style,
}

/// The style sheet that a page contains, and the content security policy that allows it.
#[derive(Debug)]
struct Style {
    sheet: String,
    policy: HeaderValue,
}

impl Style {
    /// Creates the style sheet with the colour of `branding`. The policy allows only the style sheet, by its hash, forms to this server, and
    /// images in the page itself if there is a logo.
    fn new(branding: &Branding) -> Self {
        let color = branding.color.map(Color::style).unwrap_or_default();
        let sheet = include_str!("../templates/style.css").to_owned() + &color;
        let hash = STANDARD.encode(digest::digest(&digest::SHA256, sheet.as_bytes()));
        let images = if branding.logo.is_some() { " img-src data:;" } else { "" };
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}';{images} form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        );
        Self { sheet, policy: HeaderValue::try_from(policy).expect("base64 is visible ASCII") }
    }
}

#[derive(Template)]
#[template(path = "redirect.html")]
struct RedirectPage<'a> {
    style: &'a str,
    logo: Option<&'a str>,
    place: &'a str,
    url: &'a str,
}

/// The value of `Referrer-Policy`.
#[derive(Clone, Copy, Debug)]
enum Referrer {
    None,
    /// For pages with a form. With `no-referrer`, browsers send `Origin: null` with the form, which any site can cause.
    SameOrigin,
}

impl Pages {
    pub(crate) fn new(config: &BridgeConfig, provider: &Provider) -> Self {
        Self {
            consent_path: config.urls().path(Urls::CONSENT),
            provider: provider.display_name().into_owned(),
            upstream_scopes: config.upstream_scopes.clone(),
            resource: config.resources[0].clone(),
            resource_name: config.resource_name.clone(),
            style: Style::new(&config.branding),
            branding: config.branding.clone(),
        }
    }

    /// Redirects the browser to the provider after a form. A response with status 303 would make the provider a target of the form, which
    /// the content security policy (`form-action`) forbids.
    pub(crate) fn redirect_to_provider(&self, url: &str) -> Response {
        self.redirect_page(&self.provider, url)
    }

    /// Redirects the browser to `place` at `url` after a form.
    pub(crate) fn redirect_page(&self, place: &str, url: &str) -> Response {
        let (style, logo) = (&self.style.sheet, self.branding.logo.as_deref());
        page(StatusCode::OK, &RedirectPage { style, logo, place, url }, &self.style, Referrer::None)
    }
}

/// Creates the response of a page: not stored, not framed, without scripts.
///
/// There is no `Cross-Origin-Opener-Policy`, because a client that opened the login in a window would lose access to that window.
fn page(status: StatusCode, page: &impl Template, style: &Style, referrer: Referrer) -> Response {
    let html = page.render().expect("compiled templates render into a string");
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let referrer = match referrer {
        Referrer::None => "no-referrer",
        Referrer::SameOrigin => "same-origin",
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, style.policy.clone());
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static(referrer));
    set_no_store(headers);
    response
}

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    style: &'a str,
    logo: Option<&'a str>,
    client: String,
    /// The name of the resource, or its host.
    server: &'a str,
    vouched_by: VouchedBy,
    redirect_kind: RedirectKind,
    /// The host, or the scheme of an app.
    target: String,
    redirect_uri: String,
    resource: &'a str,
    scopes: Vec<ShownScope<'a>>,
    provider: &'a str,
    upstream_scopes: Vec<&'a str>,
    action: &'a str,
    form: &'a str,
}

/// A requested scope, with the operator's description.
struct ShownScope<'a> {
    name: &'a str,
    description: Option<&'a str>,
}

/// The party that vouches for the client's name.
enum VouchedBy {
    Operator,
    /// The owner of the host of its metadata document.
    Host(String),
    None,
}

/// The kind of the redirect URI.
enum RedirectKind {
    Site,
    Loopback,
    App,
    PlainHttp,
}

impl ConsentPage<'_> {
    /// Reports whether the page has a warning: the client's name or its redirect URI does not identify it.
    fn is_cautioned(&self) -> bool {
        matches!(self.vouched_by, VouchedBy::None) || !matches!(self.redirect_kind, RedirectKind::Site)
    }
}

/// Limits of shown texts, so that the rest of the page stays visible.
const MAX_NAME: usize = 80;
const MAX_URI: usize = 300;

impl Pages {
    /// Creates the consent page of `request`. The browser returns the sealed `form`.
    pub(crate) fn consent(&self, client: &Client, request: &AuthorizationRequest, form: &str) -> Response {
        let redirect_uri = &request.target.redirect_uri;
        let described = |name| ShownScope { name, description: self.branding.scopes.get(name).map(|text| &**text) };
        let consent = ConsentPage {
            style: &self.style.sheet,
            logo: self.branding.logo.as_deref(),
            client: name(client),
            server: self.server_name(&request.resource),
            vouched_by: vouched_by(client),
            redirect_kind: redirect_kind(redirect_uri),
            target: sanitize_for_display(redirect_uri.display_target(), MAX_URI),
            redirect_uri: sanitize_for_display(redirect_uri.as_str(), MAX_URI),
            resource: request.resource.as_str(),
            scopes: request.scopes.iter().map(described).collect(),
            provider: &self.provider,
            upstream_scopes: self.upstream_scopes.iter().collect(),
            action: &self.consent_path,
            form,
        };
        page(StatusCode::OK, &consent, &self.style, Referrer::SameOrigin)
    }

    /// Returns the configured name of `resource`, or its host.
    fn server_name<'a>(&'a self, resource: &'a ResourceUri) -> &'a str {
        let name = self.resource_name.as_deref().filter(|_| *resource == self.resource);
        let authority = || resource.origin().split_once("://").map_or(resource.as_str(), |(_, authority)| authority);
        name.unwrap_or_else(authority)
    }
}

/// Returns the client's name.
fn name(client: &Client) -> String {
    let name = sanitize_for_display(client.name.as_deref().unwrap_or_default(), MAX_NAME);
    if name.is_empty() { "An application without a name".to_owned() } else { name }
}

fn vouched_by(client: &Client) -> VouchedBy {
    let host = || Url::parse(&client.id).ok()?.host_str().map(str::to_owned);
    match client.source {
        ClientSource::Configured => VouchedBy::Operator,
        ClientSource::Document => host().map_or(VouchedBy::None, VouchedBy::Host),
        ClientSource::Registered => VouchedBy::None,
    }
}

fn redirect_kind(redirect_uri: &RedirectUri) -> RedirectKind {
    if redirect_uri.is_loopback() {
        RedirectKind::Loopback
    } else if redirect_uri.is_app() {
        RedirectKind::App
    } else if redirect_uri.is_plain_http() {
        RedirectKind::PlainHttp
    } else {
        RedirectKind::Site
    }
}

/// Sanitizes untrusted text for display: one line of at most `max` characters, without control characters, directional formatting and
/// characters without width.
///
/// It does **not** escape HTML. The templates do.
fn sanitize_for_display(text: &str, max: usize) -> String {
    let visible = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !is_invisible(*c));
    let visible: String = visible.collect();
    let mut words = visible.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = words.char_indices().nth(max) {
        words.truncate(end);
        words.push('…');
    }
    words
}

/// Reports whether `c` is in the Unicode categories Cc or Cf (the relevant part), or a blank filler.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    style: &'a str,
    logo: Option<&'a str>,
    /// The name of the (first) resource, or its host.
    server: &'a str,
    heading: &'static str,
    description: String,
    next_step: &'static str,
    code: &'static str,
    link: Option<ErrorLink<'a>>,
}

/// A link on the error page.
pub(crate) struct ErrorLink<'a> {
    text: String,
    url: &'a str,
}

impl<'a> ErrorLink<'a> {
    /// Creates a link that starts the login again.
    pub(crate) fn start_again(url: &'a str) -> Self {
        Self { text: "Start again".to_owned(), url }
    }

    /// Creates a link that reports the error to the client at `place`.
    pub(crate) fn return_to(place: &str, url: &'a str) -> Self {
        Self { text: format!("Return to {place}"), url }
    }
}

impl Pages {
    /// Creates the page of `error`.
    pub(crate) fn error(&self, error: &OAuthError, link: Option<ErrorLink<'_>>) -> Response {
        let heading = match error.code {
            ErrorCode::TemporarilyUnavailable => "Please try again in a moment",
            ErrorCode::AccessDenied => "Access denied",
            _ => "Sign-in failed",
        };
        let failed = ErrorPage {
            style: &self.style.sheet,
            logo: self.branding.logo.as_deref(),
            server: self.server_name(&self.resource),
            heading,
            description: capitalized(&error.description),
            next_step: error.advice().unwrap_or_else(|| next_step(error.code)),
            code: error.code.as_str(),
            link,
        };
        // A browser has no credentials to present, so status 401 becomes 400.
        let status = match error.status() {
            StatusCode::UNAUTHORIZED => StatusCode::BAD_REQUEST,
            status => status,
        };
        let mut response = page(status, &failed, &self.style, Referrer::None);
        if let Some(seconds) = error.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Returns what the user can do after an error.
const fn next_step(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::TemporarilyUnavailable | ErrorCode::ServerError => {
            "Reload this page in a minute. If it fails again, tell the operator of this server the time and the error code: the log has the cause."
        }
        ErrorCode::AccessDenied => {
            "Return to your application. If you need access, ask the operator of this server for it."
        }
        _ => {
            "Close this page and connect again from your application. If it fails again, remove the connection there and add it anew, or tell the operator of this server the time and the error code: the log has the cause."
        }
    }
}

/// Returns `text` with a capital first letter.
fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_removed() {
        assert_eq!(sanitize_for_display("Good\u{202e}evil\u{200b} App\u{0}\u{7}", 80), "Goodevil App");
        assert_eq!(sanitize_for_display("\u{2066}\u{feff}\u{e0041}", 80), "");
        assert_eq!(sanitize_for_display("Café – 東京 👍", 80), "Café – 東京 👍");
    }

    #[test]
    fn text_is_one_line_of_limited_length() {
        assert_eq!(sanitize_for_display("  a\n\n\tb\u{2028}c\u{a0}\u{a0}d ", 80), "a b c d");
        assert_eq!(sanitize_for_display("東京大学", 2), "東京…");
        assert_eq!(sanitize_for_display("ab", 2), "ab");
    }
}
