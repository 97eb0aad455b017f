//! Google: OpenID Connect, with refresh tokens on request by parameters of its own.

use http::Uri;
use portcullis_core::Issuer;

use super::{
    Provider, Rotation,
    vendor::{Endpoints, ErrorMeaning, ErrorRule, RevocationFormat, Vendor},
};

/// Without `access_type` there is no refresh token; without `prompt` there is none after the first consent. A refresh returns no new
/// refresh token. ID tokens may name the issuer without its scheme.
fn vendor() -> Vendor {
    Vendor {
        name: "google",
        display_name: Some("Google".into()),
        authorization_parameters: vec![("access_type".into(), "offline".into()), ("prompt".into(), "consent".into())],
        errors: vec![
            ErrorRule::new("deleted_client", ErrorMeaning::Credentials),
            // Also the response to a refresh token of another client ID: to each old grant after the client ID was changed.
            ErrorRule::new("unauthorized_client", ErrorMeaning::Unknown),
        ],
        // Present only if the user granted access for a limited time.
        refresh_lifetime_member: "refresh_token_expires_in".into(),
        rotation: Rotation::Reusable,
        issuer_alias: Some("accounts.google.com".into()),
        revocation: RevocationFormat::TokenAlone,
        // It revokes everything that the user granted the app, by whichever login.
        revocation_ends_other_logins: true,
        ..Vendor::standard()
    }
}

impl Provider {
    /// Creates the provider Google. A user may grant less than was requested: see the scopes of the token set.
    ///
    /// Google keeps a limited number of refresh tokens for one user and client, and silently drops the oldest; each consent adds one.
    #[must_use]
    pub fn google() -> Self {
        let mut endpoints = Endpoints::new(
            Uri::from_static("https://accounts.google.com/o/oauth2/v2/auth"),
            Uri::from_static("https://oauth2.googleapis.com/token"),
        );
        endpoints.userinfo = Some(Uri::from_static("https://openidconnect.googleapis.com/v1/userinfo"));
        endpoints.revocation = Some(Uri::from_static("https://oauth2.googleapis.com/revoke"));
        endpoints.keys = Some(Uri::from_static("https://www.googleapis.com/oauth2/v3/certs"));
        let issuer = Issuer::new("https://accounts.google.com").expect("a valid issuer");
        Self::of_vendor(vendor(), issuer, endpoints)
    }
}
