//! Google: OpenID Connect, with refresh tokens for those who ask in Google's own way.

use bytes::Bytes;
use http::{Request, Uri};
use portcullis_core::Issuer;

use super::{Provider, Rotation, provider::Endpoints, token_refusal::Meaning, vendor::Vendor};
use crate::{ClientAuthentication, revocation::RevokedTokens};

/// Without `access_type` there is no refresh token, without `prompt` none after the first consent. A refresh brings no new one. ID
/// tokens may name the issuer without its scheme.
static GOOGLE: Vendor = Vendor {
    name: "google",
    authorization: &[("access_type", "offline"), ("prompt", "consent")],
    // `unauthorized_client` is the answer to a refresh token of another client id, too: after a change of that, to each old grant.
    errors: &[("deleted_client", "", Meaning::Credentials), ("unauthorized_client", "", Meaning::Unknown)],
    // Only where the user granted access for a time.
    refresh_lifetime: "refresh_token_expires_in",
    rotation: Rotation::Reusable,
    issuer_alias: Some("accounts.google.com"),
    revocation: revoke,
    // It takes away what the user allowed the app, whichever login that was.
    revocation_ends_other_logins: true,
    ..Vendor::STANDARD
};

impl Provider {
    /// Google. A user may grant less than was asked for: look at the scopes of the token set.
    ///
    /// Google keeps so many refresh tokens for one user and client and drops the oldest without a word, and each consent makes one
    /// more.
    #[must_use]
    pub fn google() -> Self {
        let mut endpoints = Endpoints::new(
            Uri::from_static("https://accounts.google.com/o/oauth2/v2/auth"),
            Uri::from_static("https://oauth2.googleapis.com/token"),
        );
        endpoints.userinfo = Some(Uri::from_static("https://openidconnect.googleapis.com/v1/userinfo"));
        endpoints.revocation = Some(Uri::from_static("https://oauth2.googleapis.com/revoke"));
        endpoints.keys = Some(Uri::from_static("https://www.googleapis.com/oauth2/v3/certs"));
        let issuer = Issuer::new("https://accounts.google.com").expect("an issuer");
        Self::new(&GOOGLE, issuer, endpoints)
    }
}

/// The token is all that Google wants to see.
fn revoke(endpoint: &Uri, _: &ClientAuthentication, tokens: RevokedTokens<'_>) -> Request<Bytes> {
    let (token, _) = tokens.strongest();
    crate::client_authentication::form_post(endpoint, &[("token", token)])
}
