//! Authentication for MCP servers, as a tower layer.
//!
//! The layer verifies the bearer token of each request, resolves the user once per token, caches the result, and answers every failure as
//! the MCP authorization specification requires.
//!
//! ```
//! use axum::{Router, routing::post};
//! use portcullis::{AuthLayer, ResourceServer, extract::User};
//!
//! # fn main() -> Result<(), portcullis::BuildError> {
//! let cfg = ResourceServer::new("https://mcp.example.com/mcp")?
//!     .with_jwt_issuer("https://idp.example.com")?
//!     .build()?;
//! let app: Router = Router::new()
//!     .route("/mcp", post(async |user: User| user.subject().to_owned()))
//!     .layer(AuthLayer::new(cfg));
//! # use tower::ServiceExt as _;
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let request = http::Request::post("/mcp").body(axum::body::Body::empty()).unwrap();
//! # let response = app.oneshot(request).await.unwrap();
//! # assert_eq!(response.status(), 401);
//! # assert_eq!(response.headers()["www-authenticate"], r#"Bearer resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp""#);
//! # });
//! # Ok(())
//! # }
//! ```
//!
//! The most used items are at the root of the crate. The others are in these modules:
//!
//! | module | contents |
//! |---|---|
//! | [`types`] | tokens, scopes, the user context, errors, challenges, clocks |
//! | [`oauth`] | OAuth messages as pure functions, and the policies that check tokens |
//! | [`egress`] | the outbound HTTP client with SSRF guard |
//! | [`verify`] | verifiers (JWT, introspection, UserInfo), the router between issuers, the cache |
//! | `bridge` | the authorization server for MCP clients (feature `bridge`) |
//! | `client` | tokens for outgoing requests, and the layer that attaches them (feature `client`) |
//! | `refresh` | the token refresh engine: tokens are sealed, and refreshed once for all requests (features `grants`, `client`) |
//! | `upstream` | the login at a provider, and the verifier that resolves a token to a user with a grant (feature `grants`) |
//! | `store` | the store for everything that is kept, and its encryption (features `grants`, `client`) |
//! | `file` | a store in one file, for desktop programs, and its key in the keyring (features `file` and `keyring`) |
//! | `sqlite` | a store in an SQLite database (feature `sqlite`) |
//! | [`layer`] | the auth layer, its futures and bodies |
//! | [`scope`] | scopes per route and per MCP operation |
//! | [`drain`] | draining of unread request bodies |
//! | [`danger`] | options that weaken the protection |
//! | [`extract`] | extractors and routes for axum |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "bridge")]
mod bridged_server;
#[cfg(feature = "verify")]
mod resource_server;

#[cfg(feature = "bridge")]
pub use portcullis_bridge as bridge;
#[cfg(feature = "client")]
pub use portcullis_client as client;
pub use portcullis_core as types;
#[cfg(any(feature = "client", feature = "grants", feature = "verify"))]
pub use portcullis_egress as egress;
pub use portcullis_layer as layer;
#[cfg(feature = "axum")]
pub use portcullis_layer::extract;
pub use portcullis_oauth as oauth;
#[cfg(any(feature = "client", feature = "grants"))]
pub use portcullis_refresh as refresh;
#[cfg(any(feature = "client", feature = "grants"))]
pub use portcullis_store as store;
#[cfg(feature = "file")]
pub use portcullis_store_file as file;
#[cfg(feature = "sqlite")]
pub use portcullis_store_sqlite as sqlite;
#[cfg(feature = "grants")]
pub use portcullis_upstream as upstream;
#[cfg(feature = "verify")]
pub use portcullis_verify as verify;

pub use portcullis_core::{
    AuthError, AuthErrorKind, BearerToken, Clock, Issuer, Reason, ResourceUri, ScopeSet, SystemClock, UserContext,
    VerifyToken,
};
#[cfg(any(feature = "client", feature = "grants", feature = "verify"))]
pub use portcullis_egress::EgressConfig;
#[cfg(feature = "axum")]
pub use portcullis_layer::metadata_routes;
pub use portcullis_layer::{
    Auth, AuthConfig, AuthLayer, RequireUpstreamLayer, SessionBinding, StreamLifetime, danger, drain, scope,
};
pub use portcullis_oauth::{ClientAuthentication, providers::Provider};
#[cfg(any(feature = "client", feature = "grants"))]
pub use portcullis_store::KeyRing;
#[cfg(feature = "verify")]
pub use portcullis_verify::{CacheConfig, CacheHandle};

#[cfg(feature = "bridge")]
pub use bridged_server::{BridgedServer, BridgedVerifier};
#[cfg(feature = "verify")]
pub use resource_server::{BuildError, DefaultVerifier, ResourceServer};

/// Tests the code of the README.
#[cfg(all(doctest, feature = "axum", feature = "client-reqwest", feature = "verify"))]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// Tests the code of the quick start.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/quick-start.md")]
struct QuickStart;

/// Tests the code of the page on CORS.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/cors.md")]
struct Cors;

/// Tests the code of the page on upstream tokens.
#[cfg(all(doctest, feature = "axum", feature = "grants", feature = "verify"))]
#[doc = include_str!("../../../docs/upstream.md")]
struct Upstream;

/// Tests the code of the page on the client layer.
#[cfg(all(doctest, feature = "client-reqwest", feature = "client-reqwest-middleware", feature = "client-rmcp"))]
#[doc = include_str!("../../../docs/client.md")]
struct Client;

/// Tests the code of the page on the bridge.
#[cfg(all(doctest, unix, feature = "bridge", feature = "sqlite"))]
#[doc = include_str!("../../../docs/bridge.md")]
struct Bridge;

/// Tests the code of the page on stores, which sets the permissions of a file as on Unix.
#[cfg(all(doctest, unix, feature = "file", feature = "sqlite"))]
#[doc = include_str!("../../../docs/stores.md")]
struct Stores;
