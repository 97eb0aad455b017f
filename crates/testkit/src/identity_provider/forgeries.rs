//! Changes of what the provider issues: [`IdentityProvider::forge_id_tokens`] and
//! [`IdentityProvider::forge_callbacks`].

use std::sync::Arc;

use super::{AuthorizationResponse, IdentityProvider, TokenBuilder};

/// A change of a value before it is sent.
type Forge<T> = Arc<dyn Fn(T) -> T + Send + Sync>;

/// The changes that a test has set.
#[derive(Default)]
pub(super) struct Forgeries {
    id_token: Option<Forge<TokenBuilder>>,
    callback: Option<Forge<AuthorizationResponse>>,
}

impl IdentityProvider {
    /// Lets `forge` change every ID token before it is signed: claims, header, and signature.
    ///
    /// ```
    /// use portcullis_testkit::{IdentityProvider, KeyAlgorithm};
    ///
    /// let provider = IdentityProvider::new();
    /// provider.forge_id_tokens(|id_token| id_token.with_claim("nonce", "of another login"));
    /// provider.forge_id_tokens(|id_token| id_token.unsigned());
    ///
    /// // Signed by a key that is not in the key set.
    /// let kid = provider.add_key(KeyAlgorithm::Rs256);
    /// provider.retire_old_keys();
    /// provider.forge_id_tokens(move |id_token| id_token.signed_by(&kid));
    /// provider.stop_forging();
    /// ```
    pub fn forge_id_tokens(&self, forge: impl Fn(TokenBuilder) -> TokenBuilder + Send + Sync + 'static) {
        self.state().forgeries.id_token = Some(Arc::new(forge));
    }

    /// Lets `forge` change every authorization response before the redirect to the client.
    ///
    /// ```
    /// use portcullis_testkit::IdentityProvider;
    ///
    /// let provider = IdentityProvider::new();
    /// provider.forge_callbacks(|response| response.with("iss", "https://other.example.test"));
    /// provider.forge_callbacks(|response| response.without("code").with("error", "server_error"));
    /// provider.stop_forging();
    /// ```
    pub fn forge_callbacks(
        &self,
        forge: impl Fn(AuthorizationResponse) -> AuthorizationResponse + Send + Sync + 'static,
    ) {
        self.state().forgeries.callback = Some(Arc::new(forge));
    }

    /// Removes both changes.
    pub fn stop_forging(&self) {
        self.state().forgeries = Forgeries::default();
    }

    pub(super) fn forged_id_token(&self, id_token: TokenBuilder) -> TokenBuilder {
        // Called without the lock: the test may ask the provider something.
        let forge = self.state().forgeries.id_token.clone();
        forge.into_iter().fold(id_token, |id_token, forge| forge(id_token))
    }

    pub(super) fn forged_callback(&self, callback: AuthorizationResponse) -> AuthorizationResponse {
        let forge = self.state().forgeries.callback.clone();
        forge.into_iter().fold(callback, |callback, forge| forge(callback))
    }
}
