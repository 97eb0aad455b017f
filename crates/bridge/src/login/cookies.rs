//! [`Cookies`]: the bridge's cookies.

use std::{fmt::Write as _, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::urls::Urls;

/// The bridge's cookies. Their values are random texts, of which the bridge stores hashes.
///
/// Their names begin with `__Host-`: a browser accepts them from this host only, over TLS, so that no other host of the same domain can
/// set them (MCP Security Best Practices, Confused Deputy; RFC 6265bis section 4.1.3.2). On an `http` issuer, which is on loopback, there
/// is no prefix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cookies {
    is_https: bool,
}

impl Cookies {
    pub(crate) fn new(urls: &Urls) -> Self {
        Self { is_https: urls.is_https() }
    }

    /// Returns the cookie `name`, if its value has the form that the bridge sets.
    pub(crate) fn find(self, headers: &HeaderMap, name: &str) -> Option<SecretString> {
        let name = self.full(name);
        let found = pairs(headers).find(|(known, _)| *known == name).map(|(_, value)| value)?;
        (found.len() == RANDOM_TEXT_LEN).then(|| found.into())
    }

    /// Returns the names that begin with `prefix`, the oldest first, as browsers send them.
    pub(crate) fn names(self, headers: &HeaderMap, prefix: &str) -> Vec<String> {
        let (full, own) = (self.full(prefix), self.full(""));
        let names = pairs(headers).map(|(name, _)| name).filter(|name| name.starts_with(&full));
        names.map(|name| name[own.len()..].to_owned()).collect()
    }

    /// Sets a cookie for `max_age`, or for the browser session. Browsers send it with requests of this host and with links from other
    /// sites, such as the provider's redirect, but not with forms and frames of other sites. Scripts cannot read it.
    pub(crate) fn set(self, headers: &mut HeaderMap, name: &str, value: &SecretString, max_age: Option<Duration>) {
        self.write(headers, name, value.expose_secret(), max_age);
    }

    /// Deletes the cookie `name`.
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

/// Returns the cookies of a request. RFC 6265 section 5.4; by HTTP/2 they may come in several headers (RFC 9113 section 8.2.3).
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let headers = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    headers.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='))
}

/// The length of a random text.
const RANDOM_TEXT_LEN: usize = 43;

/// Generates 256 random bits as a text for URLs, cookies and forms.
pub(super) fn random_text() -> SecretString {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(&mut *bytes);
    SecretString::from(URL_SAFE_NO_PAD.encode(*bytes))
}
