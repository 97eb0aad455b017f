//! [`Browser`]: the browser in front of which somebody sits.

use std::time::Duration;

use http::HeaderMap;
use secrecy::SecretString;

use super::{Cookies, random::random_text};
use crate::session::SecretHash;

/// The browser in front of which somebody sits, known by a cookie. That says nothing of who it is.
#[derive(Debug)]
pub(crate) struct Browser(SecretString);

const NAME: &str = "browser";

impl Browser {
    /// The browser that sent `headers`, if it has been here before.
    pub(crate) fn of(headers: &HeaderMap, cookies: Cookies) -> Option<Self> {
        cookies.find(headers, NAME).map(Self)
    }

    /// One that has not been here before.
    pub(crate) fn new() -> Self {
        Self(random_text())
    }

    /// By which it is known.
    pub(crate) fn hash(&self) -> SecretHash {
        SecretHash::of_text(&self.0)
    }

    /// It will be known again for as long as consents are remembered, from now on; if they are not, until it is closed.
    pub(crate) fn remember(&self, headers: &mut HeaderMap, cookies: Cookies, consent_ttl: Duration) {
        cookies.set(headers, NAME, &self.0, Some(consent_ttl).filter(|ttl| !ttl.is_zero()));
    }
}
