//! Salesforce: OpenID Connect, without the lifetime of access tokens in the token response.

use std::time::Duration;

use portcullis_core::{InvalidUri, Issuer};

use super::{
    Provider,
    provider::url,
    vendor::{ClientCredentials, Endpoints, ErrorMeaning, ErrorRule, Vendor},
};

/// A policy of the org or the app sets the lifetime of an access token, and introspection alone returns it; two hours is the default of an
/// org. `invalid_grant` has three meanings, which the description distinguishes. Whether refresh tokens rotate is a setting, and mandatory
/// for many apps.
fn vendor() -> Vendor {
    Vendor {
        name: "salesforce",
        display_name: Some("Salesforce".into()),
        credentials: ClientCredentials::InBody,
        errors: vec![
            ErrorRule::of_part("invalid_grant", "already being processed", ErrorMeaning::Transient),
            ErrorRule::of_part("invalid_grant", "ip restricted", ErrorMeaning::Client),
            ErrorRule::new("invalid_client_id", ErrorMeaning::Credentials),
            ErrorRule::new("unknown_error", ErrorMeaning::Transient),
        ],
        extra_members: vec!["instance_url".into(), "id".into()],
        default_lifetime: Some(Duration::from_hours(2)),
        ..Vendor::standard()
    }
}

impl Provider {
    /// Creates the provider for the Salesforce at `host`: `login.salesforce.com`, `test.salesforce.com` for sandboxes, or a My Domain.
    ///
    /// A refresh token needs the scope `refresh_token`, the profile `openid` or `profile`. The URL of the API of the user's org is the
    /// member `instance_url` in the [extra members](crate::TokenResponse::further) of the token set.
    ///
    /// # Errors
    /// [`InvalidUri`] if `host` makes no valid URL.
    pub fn salesforce(host: &str) -> Result<Self, InvalidUri> {
        let base = format!("https://{host}");
        let endpoint = |name: &str| url(&base, &format!("/services/oauth2/{name}"));
        let mut endpoints = Endpoints::new(endpoint("authorize")?, endpoint("token")?);
        endpoints.userinfo = Some(endpoint("userinfo")?);
        endpoints.introspection = Some(endpoint("introspect")?);
        endpoints.revocation = Some(endpoint("revoke")?);
        endpoints.keys = Some(url(&base, "/id/keys")?);
        Ok(Self::of_vendor(vendor(), Issuer::new(&base)?, endpoints))
    }
}
