//! Tokens as a login brings them, and refreshers that know them.

use std::{error::Error, future::ready, sync::Arc, time::Duration};

use portcullis::{
    BearerToken, Issuer, ScopeSet,
    types::{Clock, GrantId, SystemClock},
    grants::{RefreshError, Refresher, RefresherConfig, TokenSet, GrantStore},
    oauth::{TokenResponse, providers::Rotation},
};
use sha2::{Digest, Sha256};
use tower::service_fn;

/// The grant of this number.
pub(crate) fn id(number: usize) -> GrantId {
    GrantId::from_bytes((number as u128).to_be_bytes())
}

/// Fresh tokens, good for an hour; both have 45 bytes.
pub(crate) fn fresh(number: usize) -> Result<TokenSet, Box<dyn Error>> {
    let mut response = TokenResponse::new(BearerToken::issued(&text("a_", number))?);
    response.refresh_token = Some(text("r_", number).into());
    response.expires_in = Some(Duration::from_secs(3600));
    Ok(TokenSet::from_login(response, &ScopeSet::parse("openid email profile offline_access")?, SystemClock::new().now()))
}

/// A refresher whose tokens are so fresh that nobody exchanges any.
pub(crate) fn idle(vault: GrantStore) -> Refresher {
    let exchange = service_fn(|_: Arc<TokenSet>| ready(Err(RefreshError::refused("nobody exchanges these tokens"))));
    let clock = Arc::new(SystemClock::new());
    Refresher::new(vault, exchange, RefresherConfig::new(issuer(), "bench", Rotation::SingleUse).with_clock(clock))
}

/// Whose tokens they are.
pub(crate) fn issuer() -> Issuer {
    Issuer::new("https://idp.example.test").expect("an issuer")
}

fn text(prefix: &str, number: usize) -> String {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{prefix}{number}"))))
}
