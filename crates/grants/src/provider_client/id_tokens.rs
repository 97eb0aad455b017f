//! [`IdTokens`]: what tells who logged in, where the provider speaks OpenID Connect.

use portcullis_core::{AuthError, BearerToken, Clock};
use portcullis_egress::Egress;
use portcullis_oauth::{
    id_token::{IdToken, IdTokenPolicy},
    providers::Provider,
};
use portcullis_remote::RemoteKeySet;
use secrecy::SecretString;

/// The keys of a provider's ID tokens, and what they must say.
#[derive(Debug)]
pub(super) struct IdTokens {
    policy: IdTokenPolicy,
    keys: RemoteKeySet,
}

impl IdTokens {
    /// Those of `provider` for the client `client_id`; `None` if it issues none.
    pub(super) fn of(provider: &Provider, client_id: &str, egress: &Egress) -> Option<Self> {
        let policy = provider.id_token_policy(client_id)?;
        let keys = match provider.jwks_uri() {
            Some(jwks_uri) => RemoteKeySet::at(jwks_uri.clone(), egress.clone()),
            None => RemoteKeySet::discovered(provider.issuer().clone(), egress.clone()),
        };
        Some(Self { policy, keys })
    }

    /// Who logged in, by an ID token that came with `access_token` after `nonce` had been asked to be repeated.
    pub(super) async fn verify(
        &self,
        id_token: &SecretString,
        nonce: &str,
        access_token: &BearerToken,
        clock: &dyn Clock,
    ) -> Result<IdToken, AuthError> {
        let signed = self.keys.verified(self.policy.check_header(id_token)?).await?;
        self.policy.check(signed, nonce, access_token, clock.now())
    }
}
