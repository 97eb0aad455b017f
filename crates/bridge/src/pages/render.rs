//! [`Pages`]: what users see.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;
use portcullis_core::ScopeSet;
use portcullis_oauth::providers::Provider;
use url::Url;

use crate::{
    BridgeConfig,
    urls::{CONSENT, Urls},
};

/// What users see, and what is the same on every page.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(super) content_security_policy: HeaderValue,
    /// Where the form of the consent page goes.
    pub(super) consent_path: String,
    /// What users call the provider.
    pub(super) provider: String,
    /// What they are asked for there.
    pub(super) upstream_scopes: ScopeSet,
}

impl Pages {
    /// The one style sheet, which stands in every page: a page needs nothing else.
    pub(super) const STYLE: &str = include_str!("../../templates/style.css");

    pub(crate) fn new(config: &BridgeConfig, provider: &Provider) -> Self {
        Self {
            content_security_policy: content_security_policy(),
            consent_path: Urls::new(&config.issuer).path(CONSENT),
            provider: called(provider),
            upstream_scopes: config.upstream_scopes.clone(),
        }
    }
}

/// Nothing is allowed, but our style sheet, known by its hash, and forms that go to us.
fn content_security_policy() -> HeaderValue {
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, Pages::STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    HeaderValue::try_from(policy).expect("base64 is visible ASCII")
}

/// A brand, or whoever is behind it.
fn called(provider: &Provider) -> String {
    let brand = match provider.name() {
        "google" => Some("Google"),
        "github" => Some("GitHub"),
        "atlassian" => Some("Atlassian"),
        "salesforce" => Some("Salesforce"),
        _ => None,
    };
    let issuer = provider.issuer().as_str();
    let host = || Url::parse(issuer).ok()?.host_str().map(str::to_owned);
    brand.map(str::to_owned).or_else(host).unwrap_or_else(|| issuer.to_owned())
}
