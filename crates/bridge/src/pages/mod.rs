//! Pages for users.
//!
//! They work without scripts, load nothing, and cannot be framed. Text of clients is escaped, and sanitized of characters that imitate
//! other text.

mod consent;
mod error;

use std::sync::LazyLock;

use askama::Template;
use aws_lc_rs::digest;
use axum::{body::Body, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, StatusCode, header};
use portcullis_core::ScopeSet;
use portcullis_oauth::providers::Provider;

pub(crate) use error::{ErrorLink, error_page};

use crate::{
    BridgeConfig,
    response::set_no_store,
    urls::{CONSENT, Urls},
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
}

/// The style sheet, which every page contains.
const STYLE: &str = include_str!("../../templates/style.css");

/// Allows only the style sheet, by its hash, and forms to this server.
static CONTENT_SECURITY_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    HeaderValue::try_from(policy).expect("base64 is visible ASCII")
});

#[derive(Template)]
#[template(path = "redirect.html")]
struct RedirectPage<'a> {
    style: &'static str,
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
            consent_path: Urls::new(&config.issuer).path(CONSENT),
            provider: provider.display_name().into_owned(),
            upstream_scopes: config.upstream_scopes.clone(),
        }
    }

    /// Redirects the browser to the provider after a form. A response with status 303 would make the provider a target of the form, which
    /// the content security policy (`form-action`) forbids.
    pub(crate) fn redirect_to_provider(&self, url: &str) -> Response {
        self.redirect_page(&self.provider, url)
    }

    /// Redirects the browser to `place` at `url` after a form.
    pub(crate) fn redirect_page(&self, place: &str, url: &str) -> Response {
        page(StatusCode::OK, &RedirectPage { style: STYLE, place, url }, Referrer::None)
    }
}

/// Creates the response of a page: not stored, not framed, without scripts.
///
/// There is no `Cross-Origin-Opener-Policy`, because a client that opened the login in a window would lose access to that window.
fn page(status: StatusCode, page: &impl Template, referrer: Referrer) -> Response {
    let html = page.render().expect("compiled templates render into a string");
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let referrer = match referrer {
        Referrer::None => "no-referrer",
        Referrer::SameOrigin => "same-origin",
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY.clone());
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static(referrer));
    set_no_store(headers);
    response
}
