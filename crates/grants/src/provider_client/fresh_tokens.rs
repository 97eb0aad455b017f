//! [`FreshTokens`]: the tokens of a login that is not finished.

use std::{error::Error as _, ops::Deref};

use tokio::runtime::Handle;

use super::ProviderClient;
use crate::TokenSet;

/// The tokens of a login that is not finished. They go back to the provider if it never is: because it fails, or because nobody
/// waits for it.
pub(super) struct FreshTokens {
    client: ProviderClient,
    tokens: TokenSet,
    is_kept: bool,
}

impl FreshTokens {
    pub(super) const fn new(client: ProviderClient, tokens: TokenSet) -> Self {
        Self { client, tokens, is_kept: false }
    }

    /// The login is finished.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Deref for FreshTokens {
    type Target = TokenSet;

    fn deref(&self) -> &TokenSet {
        &self.tokens
    }
}

impl Drop for FreshTokens {
    fn drop(&mut self) {
        // A failed login of a user must not end those that work.
        if self.is_kept || self.client.provider().revocation_ends_other_logins() {
            return;
        }
        // Without a runtime the process ends, and the tokens are nobody's until they expire.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(take_back(self.client.clone(), self.tokens.clone()));
        }
    }
}

async fn take_back(client: ProviderClient, tokens: TokenSet) {
    if let Err(failure) = client.revoke(&tokens).await {
        let (provider, reason) = (client.provider().name(), failure.reason());
        tracing::warn!(provider, %reason, source = failure.source(), "tokens of a login that failed are not revoked");
    }
}
