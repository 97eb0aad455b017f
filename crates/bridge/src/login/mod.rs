//! The login: from a client's request to a code.
//!
//! 1. A client sends a browser with an [`AuthorizationRequest`]. Nothing is stored.
//! 2. The user is asked, by a [`ConsentForm`] that the browser keeps, unless this browser's [`Consents`] cover it.
//! 3. [`ProviderRedirect`]: what is needed later is stored ([`PendingLogins`]), the browser is marked, and sent to the provider.
//! 4. [`CompletedLogin`]: the browser comes back, and there is a session, whose code goes to the client ([`ResponseTarget`]).

mod arrival;
mod authorization_request;
mod begun;
mod browser;
mod consent;
mod cookies;
mod departure;
mod form;
mod logins;
mod pending;
mod problem;
mod random;
mod response_target;
mod same_origin;

pub(crate) use arrival::CompletedLogin;
pub(crate) use authorization_request::AuthorizationRequest;
pub(crate) use browser::Browser;
pub(crate) use consent::{ClientFingerprint, Consents};
pub(crate) use cookies::Cookies;
pub(crate) use departure::{ApprovedRequest, ProviderRedirect, cookie_name};
pub(crate) use form::ConsentForm;
pub(crate) use logins::PendingLogins;
pub(crate) use pending::Login;
pub(crate) use problem::Problem;
pub(crate) use response_target::ResponseTarget;
pub(crate) use same_origin::is_same_origin;
