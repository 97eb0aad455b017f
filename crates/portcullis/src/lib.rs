//! **Portcullis lets the right people into an MCP server.** A tower layer: it reads the bearer token, finds out once who is
//! calling, remembers it, and answers every failure as the MCP specification says.
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
//! This crate re-exports; each part lives in a module of its own:
//!
//! | module | what lives there |
//! |---|---|
//! | [`types`] | tokens, scopes, the user context, errors, challenges, clocks |
//! | [`oauth`] | the messages of OAuth as pure functions, and the policies that judge tokens |
//! | [`egress`] | the only way out: guarded HTTP |
//! | [`verify`] | verifiers (JWT, introspection, UserInfo), the choice between issuers, the cache |
//! | `bridge` | an authorization server for MCP clients, with login at a provider (feature `bridge`) |
//! | `grants` | tokens of a provider behind this server: sealed, refreshed once, handed out fresh (feature `grants`) |
//! | `sqlite` | those, in an SQLite database (feature `sqlite`) |
//! | [`layer`] | the gate in front of a service, scopes, sessions |
//! | [`extract`] | extractors and routes for axum |

#[cfg(feature = "bridge")]
mod bridged_server;
#[cfg(feature = "verify")]
mod resource_server;

#[cfg(feature = "bridge")]
pub use portcullis_bridge as bridge;
pub use portcullis_core as types;
#[cfg(any(feature = "grants", feature = "verify"))]
pub use portcullis_egress as egress;
#[cfg(feature = "grants")]
pub use portcullis_grants as grants;
pub use portcullis_layer as layer;
#[cfg(feature = "axum")]
pub use portcullis_layer::extract;
pub use portcullis_oauth as oauth;
#[cfg(feature = "sqlite")]
pub use portcullis_store_sqlite as sqlite;
#[cfg(feature = "verify")]
pub use portcullis_verify as verify;

pub use portcullis_core::{AuthError, BearerToken, Issuer, ResourceUri, ScopeSet, UserContext, VerifyToken};
pub use portcullis_layer::{Auth, AuthConfig, AuthLayer};
#[cfg(feature = "verify")]
pub use portcullis_verify::{CacheConfig, CacheHandle};

#[cfg(feature = "bridge")]
pub use bridged_server::{BridgedServer, BridgedUsers};
#[cfg(feature = "verify")]
pub use resource_server::{BuildError, ResourceServer};

/// The code of the README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The code of the quick start, which is compiled and run as it stands there.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/quick-start.md")]
struct QuickStart;

/// The code of the page on CORS.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/cors.md")]
struct Cors;

/// The code of the page on providers behind a server.
#[cfg(all(doctest, feature = "axum", feature = "grants", feature = "verify"))]
#[doc = include_str!("../../../docs/upstream.md")]
struct Upstream;

/// The code of the page on the bridge.
#[cfg(all(doctest, unix, feature = "bridge", feature = "sqlite"))]
#[doc = include_str!("../../../docs/bridge.md")]
struct Bridge;

/// The code of the page on stores, which closes a file to others as Unix does.
#[cfg(all(doctest, unix, feature = "sqlite"))]
#[doc = include_str!("../../../docs/stores.md")]
struct Stores;
