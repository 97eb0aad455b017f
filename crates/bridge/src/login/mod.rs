//! The login: from a client's authorization request to an authorization code.
//!
//! 1. A client redirects a browser with an [`AuthorizationRequest`]. Nothing is stored.
//! 2. The consent page asks the user, with a sealed [`ConsentForm`], unless a stored consent of this browser covers the request
//!    ([`Consents`]).
//! 3. [`ProviderRedirects`] stores the login ([`PendingLogins`]), sets a cookie, and redirects to the provider.
//! 4. The browser comes back. [`LoginCompletion`] exchanges the provider's code and creates a session, whose code goes to the client
//!    ([`ResponseTarget`]).
//!
//! Errors are [`AuthorizeError`]s.

mod authorization_request;
mod authorize_error;
mod complete_login;
mod consent;
mod cookies;
mod pending_login;
mod pending_login_index;
mod provider_redirect;
mod response_target;

pub(crate) use authorization_request::AuthorizationRequest;
pub(crate) use authorize_error::AuthorizeError;
pub(crate) use complete_login::{CompletedLogin, LoginCompletion};
pub(crate) use consent::{Browser, ClientFingerprint, ConsentForm, Consents};
pub(crate) use cookies::Cookies;
pub(crate) use pending_login::{PendingLogin, PendingLogins};
pub(crate) use provider_redirect::{ApprovedRequest, ProviderRedirects, cookie_name};
pub(crate) use response_target::ResponseTarget;
