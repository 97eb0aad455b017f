//! Outbound HTTP with SSRF protection: every outbound request of every crate goes through an [`Egress`].
//!
//! This crate is an implementation detail of [`portcullis`](https://docs.rs/portcullis): depend on `portcullis`, which re-exports it as
//! `portcullis::egress`.
//!
//! It is a tower service from a request to a whole response. Requests go to public `https` endpoints only, so
//! that a URL from an untrusted party (metadata, a client's registration) cannot make this server call its own network:
//!
//! 1. `https` only; plain `http` to loopback only if [allowed](EgressConfig::with_loopback_allowed), and to
//!    [named hosts](EgressConfig::with_http_hosts) in allowed networks. No user info.
//! 2. No loopback, private, link-local or otherwise special address, unless the operator
//!    [allows](EgressConfig::with_allowed_networks) it. The addresses that a name resolves to are checked, and the connection
//!    goes to one of those: there is no second look-up that could have another result. Through a
//!    [proxy](EgressConfig::with_proxy), which resolves names itself, only addresses in URLs are checked.
//! 3. No redirects (a 3xx is returned as it is), no cookies, no proxy from the environment, no retries.
//! 4. No compression is requested. A body in gzip or deflate is decoded all the same, because some servers send one unasked.
//! 5. The body is read up to a limit, which applies to the decoded body, the whole request ends within a time limit, connections are pooled.
//!
//! A [`CircuitBreakerLayer`] is put around it, once per provider: a failing provider gets one call per back-off window.
//!
//! MCP security best practices, *Server-Side Request Forgery*; [RFC 9728 section 7.7](https://www.rfc-editor.org/rfc/rfc9728#section-7.7).
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use portcullis_egress::{CircuitBreakerLayer, Egress, EgressConfig, EgressErrorKind};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! let provider = ServiceBuilder::new()
//!     .layer(CircuitBreakerLayer::new())
//!     .service(Egress::new(EgressConfig::new())?);
//!
//! let request = http::Request::get("https://169.254.169.254/latest/meta-data").body(bytes::Bytes::new())?;
//! let error = provider.oneshot(request).await.unwrap_err();
//! assert_eq!(error.kind(), EgressErrorKind::Blocked);
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
//! ```

mod address;
mod circuit_breaker;
mod config;
mod egress;
mod error;
mod guard;
mod rate_limiter;

pub use circuit_breaker::{
    Answer, CircuitBreaker, CircuitBreakerFuture, CircuitBreakerLayer, CredentialKey, back_off_window,
};
pub use config::{CaCertificates, EgressConfig, EgressConfigError, MaxBody, Proxy, RequestKind};
pub use egress::Egress;
pub use error::{EgressError, EgressErrorKind};
pub use rate_limiter::{Rate, RateLimiter};
