//! Salesforce: OpenID Connect that keeps the lifetime of its tokens to itself.

use std::time::Duration;

use portcullis_core::{InvalidUri, Issuer};

use super::{
    Provider,
    provider::{Endpoints, url},
    token_refusal::Meaning,
    vendor::{TokenFormat, Vendor},
};

/// How long an access token lives is a policy of the org or the app, which only introspection tells; two hours is what an org
/// begins with. `invalid_grant` has three meanings, told apart by the description. Whether refresh tokens rotate is a setting,
/// and compulsory for many apps.
static SALESFORCE: Vendor = Vendor {
    name: "salesforce",
    token_format: TokenFormat::FormWithSecret,
    errors: &[
        ("invalid_grant", "already being processed", Meaning::Transient),
        ("invalid_grant", "ip restricted", Meaning::Client),
        ("invalid_client_id", "", Meaning::Credentials),
        ("unknown_error", "", Meaning::Transient),
    ],
    kept: &["instance_url", "id"],
    lifetime: Some(Duration::from_hours(2)),
    ..Vendor::STANDARD
};

impl Provider {
    /// Salesforce at `host`: `login.salesforce.com`, `test.salesforce.com` for sandboxes, or a My Domain.
    ///
    /// A refresh token needs the scope `refresh_token`, the profile `openid` or `profile`. The API of the user's org is at the
    /// `instance_url` that the token set has [beside the tokens](crate::TokenResponse::further).
    ///
    /// # Errors
    /// [`InvalidUri`] if it cannot be called so.
    pub fn salesforce(host: &str) -> Result<Self, InvalidUri> {
        let base = format!("https://{host}");
        let issuer = Issuer::new(&base)?;
        let endpoint = |name: &str| url(&base, &format!("/services/oauth2/{name}"));
        let endpoints = Endpoints {
            authorization: endpoint("authorize")?,
            token: endpoint("token")?,
            userinfo: Some(endpoint("userinfo")?),
            introspection: Some(endpoint("introspect")?),
            revocation: Some(endpoint("revoke")?),
            keys: Some(url(&base, "/id/keys")?),
        };
        Ok(Self::new(&SALESFORCE, issuer, endpoints))
    }
}
