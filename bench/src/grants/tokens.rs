//! Tokens of a login, and refreshers that have them.

use std::{error::Error, future::ready, sync::Arc, time::Duration};

use portcullis::{
    BearerToken, Issuer, ScopeSet,
    oauth::{TokenResponse, providers::Rotation},
    refresh::{GrantStore, RefreshError, Refresher, RefresherConfig, TokenSet},
    types::{Clock, GrantId, SystemClock},
};
use sha2::{Digest, Sha256};
use tower::service_fn;

/// Returns the grant with this number.
pub(crate) fn id(number: usize) -> GrantId {
    GrantId::from_bytes((number as u128).to_be_bytes())
}

/// Returns fresh tokens with a lifetime of an hour; both have 45 bytes.
pub(crate) fn fresh(number: usize) -> Result<TokenSet, Box<dyn Error>> {
    let mut response = TokenResponse::new(BearerToken::issued(&text("a_", number))?);
    response.refresh_token = Some(text("r_", number).into());
    response.expires_in = Some(Duration::from_secs(3600));
    Ok(TokenSet::from_login(
        response,
        &ScopeSet::parse("openid email profile offline_access")?,
        SystemClock::new().now(),
    ))
}

/// Creates a refresher whose tokens are fresh, so that it exchanges none.
pub(crate) fn idle(vault: GrantStore) -> Refresher {
    let exchange = service_fn(|_: Arc<TokenSet>| ready(Err(RefreshError::refused("these tokens are not exchanged"))));
    let clock = Arc::new(SystemClock::new());
    Refresher::new(vault, exchange, RefresherConfig::new(issuer(), "bench", Rotation::SingleUse).with_clock(clock))
}

/// Returns the issuer of the tokens.
pub(crate) fn issuer() -> Issuer {
    Issuer::new("https://idp.example.test").expect("an issuer")
}

fn text(prefix: &str, number: usize) -> String {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{prefix}{number}"))))
}
