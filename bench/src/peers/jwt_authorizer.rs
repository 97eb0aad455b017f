//! jwt-authorizer, with ring and axum 0.7.

use std::{error::Error, rc::Rc};

use axum_07::{Router, body::Body, routing::post};
use jwt_authorizer::{IntoLayer, JwtAuthorizer, RegisteredClaims, Validation};
use portcullis_testkit::IdentityProvider;
use tokio::runtime::Runtime;

use super::BARE_07;
use crate::{
    calls::Calls,
    mcp::{bearer, check},
    measure::Case,
    provider::{Providers, Tokens},
};

/// The name of the peer.
pub(crate) const NAME: &str = "axum 0.7: jwt-authorizer, RS256";

/// Returns a router behind the peer, and one without it.
pub(crate) fn cases(
    runtime: &Rc<Runtime>,
    providers: &Providers,
    tokens: &Tokens,
) -> Result<[Case; 2], Box<dyn Error>> {
    let router = || Router::new().route("/mcp", post(|| async { "" }));
    let validation = Validation::new().aud(&[IdentityProvider::AUDIENCE]).iss(&[providers.jwt.issuer()]);
    let authorizer = JwtAuthorizer::<RegisteredClaims>::from_jwks_url(&providers.jwt.url("/jwks"));
    let authorizer = runtime.block_on(authorizer.validation(validation).build())?;
    let guarded = router().layer(authorizer.into_layer());
    runtime.block_on(check::<_, Body, _>(NAME, &guarded, &tokens.jwt, &tokens.bad_jwt));
    let credentials = bearer(&tokens.jwt);
    let again = credentials.clone();
    Ok([
        Case::new(BARE_07, 512, Calls::<_, _, Body>::new(runtime, router(), move || credentials.clone())),
        Case::new(NAME, 32, Calls::<_, _, Body>::new(runtime, guarded, move || again.clone())),
    ])
}
