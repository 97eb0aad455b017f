//! Atlassian (OAuth 2.0, 3LO): tokens for Jira and Confluence, and the sites that they give access to.

use std::time::Duration;

use http::{Uri, uri::PathAndQuery};
use portcullis_core::Issuer;
use serde_json::{Map, Value};

use super::{
    Provider, Rotation,
    vendor::{Endpoints, ErrorMeaning, SubjectMember, Supplement, TokenFormat, Vendor},
};

/// Token requests are JSON. Each refresh replaces the refresh token; the previous one remains valid for ten minutes. A dead one is
/// rejected with the status 403.
static ATLASSIAN: Vendor = Vendor {
    name: "atlassian",
    display_name: Some("Atlassian"),
    authorization_parameters: &[("audience", "api.atlassian.com"), ("prompt", "consent")],
    token_format: TokenFormat::Json,
    errors: &[
        // A second error for a dead refresh token.
        ("unauthorized_client", "refresh_token is invalid", ErrorMeaning::Grant),
        ("access_denied", "", ErrorMeaning::Credentials),
    ],
    rotation: Rotation::Leeway(Duration::from_mins(10)),
    id_tokens: false,
    subject: SubjectMember::Text("account_id"),
    renamed_members: &[("nickname", "preferred_username")],
    supplement: Some(Supplement { is_needed: |_| true, endpoint: sites, add: add_sites }),
    ..Vendor::STANDARD
};

impl Provider {
    /// Creates the provider Atlassian. The profile needs the scope `read:me`, a refresh token `offline_access`.
    ///
    /// The member `accessible_resources` of the profile lists the sites that the token gives access to. Tokens cannot be revoked.
    #[must_use]
    pub fn atlassian() -> Self {
        let mut endpoints = Endpoints::new(
            Uri::from_static("https://auth.atlassian.com/authorize"),
            Uri::from_static("https://auth.atlassian.com/oauth/token"),
        );
        endpoints.userinfo = Some(Uri::from_static("https://api.atlassian.com/me"));
        Self::new(&ATLASSIAN, Issuer::new("https://auth.atlassian.com").expect("a valid issuer"), endpoints)
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
