//! Other crates with the same purpose, each used as its documentation describes, with RS256 and keys from loopback.

mod jwt_authorizer;
mod oauth_resource_server;
mod tower_http;
mod tower_mcp;
mod tower_oauth2_resource_server;

use std::{error::Error, rc::Rc};

use axum::{Router, body::Body};
use tokio::runtime::Runtime;

use crate::{
    calls::Calls,
    mcp::{bearer, check},
    measure::Case,
    provider::{Providers, Tokens},
};

/// tower-http's comparison with one static token.
pub(crate) const STATIC_BEARER: &str = "axum: tower-http static bearer";
/// The baseline of jwt-authorizer, which needs axum 0.7.
pub(crate) const BARE_07: &str = "axum 0.7: bare router";
/// The peers that verify signatures, and the router of each.
pub(crate) const VERIFYING: [(&str, &str); 4] = [
    (tower_oauth2_resource_server::NAME, crate::hits::BARE_ROUTER),
    (oauth_resource_server::NAME, crate::hits::BARE_ROUTER),
    (tower_mcp::NAME, crate::hits::BARE_ROUTER),
    (jwt_authorizer::NAME, BARE_07),
];

/// Returns the cases, after a check that each accepts and rejects.
pub(crate) fn cases(
    runtime: &Rc<Runtime>,
    providers: &Providers,
    tokens: &Tokens,
) -> Result<Vec<Case>, Box<dyn Error>> {
    let verifying = runtime.block_on(async {
        Ok::<_, Box<dyn Error>>([
            (tower_oauth2_resource_server::NAME, tower_oauth2_resource_server::router(providers, tokens).await?),
            (oauth_resource_server::NAME, oauth_resource_server::router(providers).await?),
            (tower_mcp::NAME, tower_mcp::router(providers).await?),
        ])
    })?;
    let mut cases = vec![case(runtime, STATIC_BEARER, tower_http::router(&tokens.opaque), 512, tokens, false)];
    cases.extend(verifying.map(|(name, router)| case(runtime, name, router, 32, tokens, true)));
    cases.extend(jwt_authorizer::cases(runtime, providers, tokens)?);
    Ok(cases)
}

fn case(runtime: &Rc<Runtime>, name: &str, router: Router, times: usize, tokens: &Tokens, jwt: bool) -> Case {
    let (good, bad) = if jwt { (&tokens.jwt, &tokens.bad_jwt) } else { (&tokens.opaque, &tokens.bad_opaque) };
    runtime.block_on(check::<_, Body, _>(name, &router, good, bad));
    let credentials = bearer(good);
    Case::new(name, times, Calls::<_, _, Body>::new(runtime, router, move || credentials.clone()))
}
