//! [`Cookies`]: what a browser keeps for the bridge.

use std::{fmt::Write as _, time::Duration};

use http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};

use super::random::RANDOM_TEXT_LEN;
use crate::urls::Urls;

/// What a browser keeps for the bridge: random texts, of which the bridge knows the hashes.
///
/// Their names begin with `__Host-`: a browser takes them from this very host only, over TLS, so that no neighbour of the same
/// domain can plant one (MCP Security Best Practices, Confused Deputy; RFC 6265bis section 4.1.3.2). On an `http` issuer, which is on
/// loopback, they do without.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cookies {
    is_https: bool,
}

impl Cookies {
    pub(crate) fn new(urls: &Urls) -> Self {
        Self { is_https: urls.is_https() }
    }

    /// What the browser that sent `headers` keeps under `name`, if the bridge can have set it.
    pub(crate) fn find(self, headers: &HeaderMap, name: &str) -> Option<SecretString> {
        let name = self.full(name);
        let found = pairs(headers).find(|(known, _)| *known == name).map(|(_, value)| value)?;
        (found.len() == RANDOM_TEXT_LEN).then(|| found.into())
    }

    /// The names that begin with `prefix`, the oldest first, as browsers send them.
    pub(crate) fn names(self, headers: &HeaderMap, prefix: &str) -> Vec<String> {
        let (full, own) = (self.full(prefix), self.full(""));
        let names = pairs(headers).map(|(name, _)| name).filter(|name| name.starts_with(&full));
        names.map(|name| name[own.len()..].to_owned()).collect()
    }

    /// Has the browser keep `value` under `name`, for `max_age`, or until it is closed. It comes back with requests of this host, and
    /// with links from elsewhere, such as the one from the provider; not with forms and frames of others, and no script reads it.
    pub(crate) fn set(self, headers: &mut HeaderMap, name: &str, value: &SecretString, max_age: Option<Duration>) {
        self.write(headers, name, value.expose_secret(), max_age);
    }

    /// Has the browser forget `name`.
    pub(crate) fn clear(self, headers: &mut HeaderMap, name: &str) {
        self.write(headers, name, "", Some(Duration::ZERO));
    }

    fn write(self, headers: &mut HeaderMap, name: &str, value: &str, max_age: Option<Duration>) {
        let mut text = format!("{}={value}; Path=/; HttpOnly; SameSite=Lax", self.full(name));
        if self.is_https {
            text.push_str("; Secure");
        }
        if let Some(max_age) = max_age {
            let _ = write!(text, "; Max-Age={}", max_age.as_secs());
        }
        if let Ok(mut text) = HeaderValue::try_from(text) {
            text.set_sensitive(true);
            headers.append(header::SET_COOKIE, text);
        }
    }

    fn full(self, name: &str) -> String {
        let prefix = if self.is_https { "__Host-" } else { "" };
        format!("{prefix}portcullis-{name}")
    }
}

/// All cookies of a request. RFC 6265 section 5.4; by HTTP/2 they may come in several headers (RFC 9113 section 8.2.3).
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let headers = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    headers.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='))
}
