//! Atlassian (OAuth 2.0, 3LO): tokens for Jira and Confluence, and the sites that they give access to.

use std::time::Duration;

use http::{Uri, uri::PathAndQuery};
use portcullis_core::Issuer;
use serde_json::{Map, Value};

use super::{
    Provider,
    vendor::{
        ClientCredentials, Endpoints, ErrorMeaning, ErrorRule, Rotation, SubjectMember, Supplement, TokenFormat, Vendor,
    },
};

/// Token requests are JSON. Each refresh replaces the refresh token; the previous one remains valid for ten minutes. A dead one is
/// rejected with the status 403.
fn vendor() -> Vendor {
    Vendor {
        name: "atlassian",
        display_name: Some("Atlassian".into()),
        authorization_parameters: vec![
            ("audience".into(), "api.atlassian.com".into()),
            ("prompt".into(), "consent".into()),
        ],
        token_format: TokenFormat::Json,
        credentials: ClientCredentials::InBody,
        errors: vec![
            // A second error for a dead refresh token.
            ErrorRule::of_part("unauthorized_client", "refresh_token is invalid", ErrorMeaning::Grant),
            ErrorRule::new("access_denied", ErrorMeaning::Credentials),
        ],
        rotation: Rotation::Leeway(Duration::from_mins(10)),
        id_tokens: false,
        subject: SubjectMember::Text("account_id".into()),
        renamed_members: vec![("nickname".into(), "preferred_username".into())],
        supplement: Some(Supplement::AtlassianSites),
        ..Vendor::standard()
    }
}

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
        Self::of_vendor(vendor(), Issuer::new("https://auth.atlassian.com").expect("a valid issuer"), endpoints)
    }
}

/// Returns the URL of the sites, from that of the profile.
pub(super) fn sites(me: &Uri) -> Option<Uri> {
    let mut parts = me.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static("/oauth/token/accessible-resources"));
    Uri::from_parts(parts).ok()
}

/// Adds the sites to the profile.
pub(super) fn add_sites(profile: &mut Map<String, Value>, sites: &Value) {
    profile.insert("accessible_resources".to_owned(), sites.clone());
}
