//! The login: from a client's authorization request to an authorization code.
//!
//! 1. A client redirects a browser with an [`AuthorizationRequest`]. Nothing is stored.
//! 2. The consent page asks the user, with a sealed [`ConsentForm`], unless a stored consent of this browser covers the request
//!    ([`Consents`]).
//! 3. [`ProviderRedirects`] stores the login ([`PendingLogins`]), sets a cookie, and redirects to the provider.
//! 4. The browser comes back. [`LoginCompletion`] exchanges the provider's code and creates a session, whose code goes to the client
//!    ([`ResponseTarget`](authorization::ResponseTarget)).
//!
//! Errors are [`AuthorizeError`]s.

mod authorization;
mod consent;
mod pending_logins;
mod provider_login;

pub(crate) use authorization::{AuthorizationRequest, AuthorizeError};
pub(crate) use consent::{Browser, ClientFingerprint, ConsentForm, Consents, Cookies};
pub(crate) use pending_logins::{PendingLogin, PendingLogins};
pub(crate) use provider_login::{ApprovedRequest, CompletedLogin, LoginCompletion, ProviderRedirects, cookie_name};
