//! Access tokens for outgoing requests: [`TokenManager`] obtains each token once for any number of concurrent callers, and
//! [`TokenLayer`] attaches it to the requests of any HTTP client that is a tower service.
//!
//! | you have | use |
//! |---|---|
//! | a user with a browser | [`McpLogin`] as the grant |
//! | a program without a user, a workload, a user of another system | one of the [`grants`] |
//! | an HTTP client that is a tower service, such as that of hyper-util | [`TokenLayer`] around it |
//! | `reqwest`, `reqwest-middleware` or rmcp | `adapters`, each behind a feature |
//! | code that needs the token itself | [`TokenManager::acquire`] and [`TokenManager::rejected`] |
//! | several processes, or logins that outlive the process | [`TokenManagerBuilder::with_store`] |
//!
//! # Contract
//!
//! **What is shared.** Clones of a [`TokenManager`], and the layers and services made from it, share one token, one exchange, one login
//! and one memory of failures. Two managers share nothing but their store. Managers of one store that have the same [`Binding`]
//! (resource, authorization server, client, scopes, subject) share the stored tokens; those of any other binding are never seen.
//!
//! **From where it is safe.** Every method may be called from any thread and any task at the same time, also from another runtime than the
//! one in which the manager was built, or from none: exchanges run on the runtime of [`build`](TokenManagerBuilder::build), which may have
//! one thread or several. No lock is held across an await. [`acquire`](TokenManager::acquire) of a token that works takes a mutex for
//! nanoseconds, and neither suspends nor allocates nor reads the store.
//!
//! **One exchange.** At most one token request of a binding is in progress in a process, whatever it is for: an expiry, a refused token, more
//! scopes. For an expiry or a refused token, with a store that several processes share, in all of them: the exchange holds a lease. A login
//! that needs the user may take minutes, and a step-up is rare: both hold no lease. Refreshes go on beside a login, in this process and in
//! others; beside a step-up that needs no user, in other processes only, which may step up at the same time as well. The tokens of a login or
//! a step-up supersede those of every refresh that is in progress when they are saved; of two of them, those that are saved last remain.
//!
//! **A caller that goes away** changes nothing: the exchange, its save and a login run on tasks of their own. They are neither cancelled nor
//! repeated. [`shutdown`](TokenManager::shutdown) waits for them, but not for a user who has not answered yet. A runtime that is dropped
//! without it may lose the outcome of an exchange; then the next process knows from the lease in the store that the refresh token may
//! be spent.
//!
//! **Refused tokens.** A token is reported with the challenge that refused it ([`rejected`](TokenManager::rejected),
//! [`invalidate_if`](TokenManager::invalidate_if)). Only a report about the current token causes an exchange; reports about earlier ones,
//! in any order and at any delay, cost nothing. There is no way to invalidate without saying which token. A refused token is not returned
//! again. If its replacement is refused as well within 10 s, no other exchange is made for it.
//!
//! **Failures.** A refresh token that the server refused is never presented again: without another way to get tokens, callers get
//! [`AcquireError::ReauthRequired`] from then on, until the store has other tokens. Any other failure is shared by all callers, and
//! remembered for a time that grows from 1 s to 30 s, or for as long as the server asks. It removes nothing, and it is not seen by callers
//! while the token still works. A refresh token that was sent and not answered is not presented again while the access token works;
//! after that, once for each of these times.
//!
//! **Time.** A token expires by the calendar or by the monotonic clock, whichever is first. From four fifths of its lifetime on, and two
//! minutes before its end at most, one exchange runs in the background, and no caller waits for it. Without a stated lifetime, that of a JWT
//! counts; else the token is used until it is refused.
//!
//! **What a store must do** is the contract of [`Store`](portcullis_store::Store): atomic compare-and-swap on one row, durable when it
//! returns, and leases. New tokens are saved before a caller gets them. If they cannot be saved, they are used nevertheless, the save is
//! retried each second, the [`Snapshot`] says so, and no token request is repeated for it. Rows are removed only in the version that was
//! seen. What is stored is sealed. The default store is the memory of the process: other processes then have logins of their own.
//!
//! **What a [`Grant`] must do**: send requests. It keeps no token, does not retry, and states what became of a credential that it presented
//! ([`GrantError`]).
//!
//! No `Debug` output, log line, span, error or metric has a token in it.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use portcullis_client::{
//!     Binding, Challenge, Grant, GrantFuture, Issuer, ResourceUri, ScopeSet, TokenManager,
//! };
//! use portcullis_core::BearerToken;
//! use portcullis_oauth::TokenResponse;
//! use secrecy::SecretString;
//!
//! /// Obtains tokens without the network.
//! #[derive(Debug)]
//! struct Example(ResourceUri);
//!
//! impl Grant for Example {
//!     fn resource(&self) -> &ResourceUri {
//!         &self.0
//!     }
//!     fn name(&self) -> &'static str {
//!         "example"
//!     }
//!     fn resolve<'a>(&'a self, _: Option<&'a Challenge>) -> GrantFuture<'a, Binding> {
//!         let issuer = Issuer::new("https://as.example.com").unwrap();
//!         Box::pin(async move { Ok(Binding::new(self.0.clone(), issuer, "client")) })
//!     }
//!     fn obtain<'a>(&'a self, _: &'a Binding, _: &'a ScopeSet) -> GrantFuture<'a, TokenResponse> {
//!         Box::pin(async { Ok(TokenResponse::new(BearerToken::issued("token").unwrap())) })
//!     }
//!     fn refresh<'a>(&'a self, binding: &'a Binding, _: &'a SecretString) -> GrantFuture<'a, TokenResponse> {
//!         self.obtain(binding, &binding.scopes)
//!     }
//! }
//!
//! let manager = TokenManager::builder(Example(ResourceUri::new("https://mcp.example.com/mcp")?)).build();
//! let token = manager.acquire().await?;
//! assert_eq!(token.expose_secret(), "token");
//! assert!(manager.fresh().is_some(), "from now on without waiting");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

#[cfg(any(feature = "reqwest", feature = "reqwest-middleware", feature = "rmcp", feature = "rmcp-auth"))]
pub mod adapters;
mod attempt;
mod binding;
pub mod collections;
mod discovery;
mod dpop;
mod error;
mod grant;
pub mod grants;
mod login;
mod logins;
mod loopback;
mod manager;
mod mcp_binding;
mod mcp_login;
mod mcp_tokens;
mod metadata_cache;
mod registration;
mod resolution;
mod resolved;
mod settings;
mod snapshot;
mod target;
mod telemetry;
mod token_endpoint;
mod token_layer;
mod token_service;
mod token_source;

pub use binding::Binding;
pub use discovery::{Discovery, DiscoveryError};
pub use dpop::DpopKey;
pub use error::{AcquireError, GrantError, GrantErrorKind};
pub use grant::{Grant, GrantFuture};
pub use login::LoginError;
pub use loopback::{InvalidRedirectUri, UserAgent};
pub use manager::{TokenManager, TokenManagerBuilder};
pub use mcp_login::McpLogin;
pub use portcullis_core::{AccessToken, Challenge, Generation, Issuer, ResourceUri, ScopeSet};
pub use registration::NoClientError;
pub use snapshot::{Snapshot, TokenState};
pub use token_endpoint::{ClientCredential, TokenEndpoint};
pub use token_layer::{ReplayPolicy, TokenLayer};
pub use token_service::{ClientError, ResponseFuture, TokenService};
pub use token_source::{TokenPlace, TokenSource};
