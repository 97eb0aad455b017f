//! Atlassian (OAuth 2.0, 3LO): tokens for Jira and Confluence, and the sites that they open.

use std::time::Duration;

use http::{Uri, uri::PathAndQuery};
use portcullis_core::Issuer;
use serde_json::{Map, Value};

use super::{
    Provider, Rotation,
    provider::Endpoints,
    token_refusal::Meaning,
    vendor::{Supplement, TokenFormat, Vendor},
};
use crate::user_info::SubjectMember;

/// Token requests are JSON. A refresh token is replaced each time and stays good for ten minutes more; a dead one is refused with
/// the status 403.
static ATLASSIAN: Vendor = Vendor {
    name: "atlassian",
    authorization: &[("audience", "api.atlassian.com"), ("prompt", "consent")],
    token_format: TokenFormat::Json,
    errors: &[
        // Another way of saying that a refresh token is dead.
        ("unauthorized_client", "refresh_token is invalid", Meaning::Grant),
        ("access_denied", "", Meaning::Credentials),
    ],
    rotation: Rotation::Leeway(Duration::from_mins(10)),
    id_tokens: false,
    subject: SubjectMember::Text("account_id"),
    names: &[("nickname", "preferred_username")],
    supplement: Some(Supplement { is_needed: |_| true, endpoint: sites, add: add_sites }),
    ..Vendor::STANDARD
};

impl Provider {
    /// Atlassian. The profile needs the scope `read:me`, a refresh token `offline_access`.
    ///
    /// The sites that the token opens are in the profile as `accessible_resources`. There is no way to take a token back.
    #[must_use]
    pub fn atlassian() -> Self {
        let mut endpoints = Endpoints::new(
            Uri::from_static("https://auth.atlassian.com/authorize"),
            Uri::from_static("https://auth.atlassian.com/oauth/token"),
        );
        endpoints.userinfo = Some(Uri::from_static("https://api.atlassian.com/me"));
        Self::new(&ATLASSIAN, Issuer::new("https://auth.atlassian.com").expect("an issuer"), endpoints)
    }
}

fn sites(me: &Uri) -> Option<Uri> {
    let mut parts = me.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static("/oauth/token/accessible-resources"));
    Uri::from_parts(parts).ok()
}

fn add_sites(profile: &mut Map<String, Value>, sites: &Value) {
    profile.insert("accessible_resources".to_owned(), sites.clone());
}
