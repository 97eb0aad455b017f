//! The consent page: who asks, for what, and where the answer goes.

use askama::Template;
use http::StatusCode;
use portcullis_core::ScopeSet;
use url::Url;

use super::{
    Pages,
    answer::{Referrer, page},
    printable::sanitize_for_display,
};
use crate::{Client, RedirectUri, answer::Answer, clients::ClientSource, login::AuthorizationRequest};

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    style: &'static str,
    client: String,
    vouched_by: VouchedBy,
    redirect_kind: RedirectKind,
    /// The host, or the scheme of an app.
    shown_target: String,
    redirect_uri: String,
    resource: &'a str,
    scopes: Vec<&'a str>,
    provider: &'a str,
    upstream_scopes: Vec<&'a str>,
    action: &'a str,
    form: &'a str,
}

/// Who says that the client is who it says.
enum VouchedBy {
    Operator,
    /// Whoever owns this host, where its document is.
    Host(String),
    Nobody,
}

/// Where the answer goes, and who could take it.
enum RedirectKind {
    Site,
    Loopback,
    App,
}

/// Long names are cut: they push the rest out of sight.
const MAX_NAME: usize = 80;
const MAX_URI: usize = 300;

impl Pages {
    /// Asks the user whether `client` may have what `request` asks for. `form` comes back with the answer.
    pub(crate) fn consent(&self, client: &Client, request: &AuthorizationRequest, form: &str) -> Answer {
        let redirect_uri = &request.target.redirect_uri;
        let consent = ConsentPage {
            style: Self::STYLE,
            client: name(client),
            vouched_by: vouched_by(client),
            redirect_kind: redirect_kind(redirect_uri),
            shown_target: sanitize_for_display(redirect_uri.display_target(), MAX_URI),
            redirect_uri: sanitize_for_display(redirect_uri.as_str(), MAX_URI),
            resource: request.resource.as_str(),
            scopes: names(&request.scopes),
            provider: &self.provider,
            upstream_scopes: names(&self.upstream_scopes),
            action: &self.consent_path,
            form,
        };
        page(StatusCode::OK, &consent, &self.content_security_policy, Referrer::OwnOrigin)
    }
}

/// What the client calls itself.
fn name(client: &Client) -> String {
    let name = sanitize_for_display(client.name.as_deref().unwrap_or_default(), MAX_NAME);
    if name.is_empty() { "An application without a name".to_owned() } else { name }
}

fn vouched_by(client: &Client) -> VouchedBy {
    let host = || Url::parse(&client.id).ok()?.host_str().map(str::to_owned);
    match client.source {
        ClientSource::Configured => VouchedBy::Operator,
        ClientSource::Document => host().map_or(VouchedBy::Nobody, VouchedBy::Host),
        ClientSource::Registered => VouchedBy::Nobody,
    }
}

fn redirect_kind(redirect_uri: &RedirectUri) -> RedirectKind {
    if redirect_uri.is_loopback() {
        RedirectKind::Loopback
    } else if redirect_uri.is_app() {
        RedirectKind::App
    } else {
        RedirectKind::Site
    }
}

fn names(scopes: &ScopeSet) -> Vec<&str> {
    scopes.iter().collect()
}
