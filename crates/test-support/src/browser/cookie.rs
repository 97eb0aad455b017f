//! [`Cookie`]: what a server wants to be told again.

use std::{fmt, time::Duration};

use tokio::time::Instant;
use url::Url;

/// The most bytes of name and value together.
const LONGEST: usize = 4096;

/// What a server wants to be told again ([RFC 6265](https://www.rfc-editor.org/rfc/rfc6265), and of its successor the prefixes
/// and `SameSite`). `Debug` does not print the value.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie {
    name: String,
    value: String,
    /// The host that set it, or the domain to which it belongs.
    pub(super) domain: String,
    pub(super) is_host_only: bool,
    pub(super) path: String,
    is_secure: bool,
    is_http_only: bool,
    pub(super) same_site: SameSite,
    pub(super) expires_at: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SameSite {
    Strict,
    /// Also what is taken if nothing is said.
    Lax,
    None,
}

impl Cookie {
    /// What `Set-Cookie` says in a response from `url`; `None` if a browser would not have it.
    pub(super) fn parse(url: &Url, header: &str) -> Option<Self> {
        let mut parts = header.split(';').map(str::trim);
        let (name, value) = parts.next()?.split_once('=')?;
        let mut cookie = Self {
            name: name.trim().to_owned(),
            value: value.trim().to_owned(),
            domain: url.host_str()?.to_owned(),
            is_host_only: true,
            path: default_path(url).to_owned(),
            is_secure: false,
            is_http_only: false,
            same_site: SameSite::Lax,
            expires_at: None,
        };
        let mut has_max_age = false;
        for attribute in parts {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            match (&*name.trim().to_ascii_lowercase(), value.trim()) {
                ("secure", _) => cookie.is_secure = true,
                ("httponly", _) => cookie.is_http_only = true,
                ("path", path) if path.starts_with('/') => path.clone_into(&mut cookie.path),
                ("domain", domain) if !domain.is_empty() => {
                    cookie.domain = domain.trim_start_matches('.').to_ascii_lowercase();
                    cookie.is_host_only = false;
                }
                ("max-age", seconds) => {
                    has_max_age = true;
                    cookie.expires_at = Some(expiry(seconds.parse().ok()?));
                }
                // How a cookie is taken away; any other date is far.
                ("expires", date) if !has_max_age && date.contains("1970") => cookie.expires_at = Some(Instant::now()),
                ("samesite", value) if value.eq_ignore_ascii_case("strict") => cookie.same_site = SameSite::Strict,
                ("samesite", value) if value.eq_ignore_ascii_case("none") => cookie.same_site = SameSite::None,
                _ => {}
            }
        }
        cookie.is_acceptable_from(url).then_some(cookie)
    }

    /// Plain HTTP sets no secure cookie, on loopback neither: not every browser makes that exception.
    fn is_acceptable_from(&self, url: &Url) -> bool {
        let has_prefix =
            |prefix: &str| self.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        let is_safe = self.is_secure && url.scheme() == "https";
        let for_host = !has_prefix("__Host-") || (is_safe && self.is_host_only && self.path == "/");
        let for_secure = !has_prefix("__Secure-") || is_safe;
        let of_domain = self.is_host_only || (self.domain.contains('.') && self.is_for_host(url));
        !self.name.is_empty()
            && self.name.len() + self.value.len() <= LONGEST
            && (is_safe || !self.is_secure)
            && (self.is_secure || self.same_site != SameSite::None)
            && for_host
            && for_secure
            && of_domain
    }

    /// Whether it goes to `url`, if `SameSite` has no objection.
    pub(super) fn is_for(&self, url: &Url) -> bool {
        let below = url.path().strip_prefix(&self.path);
        let is_below = below.is_some_and(|rest| rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/'));
        self.is_for_host(url) && is_below && (!self.is_secure || url.scheme() == "https")
    }

    fn is_for_host(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let below = host.strip_suffix(&self.domain).is_some_and(|rest| rest.ends_with('.'));
        host == self.domain || (!self.is_host_only && below)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The host, or the domain, to which it goes.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The path below which it goes.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether it goes over `https` only.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Whether scripts cannot read it.
    #[must_use]
    pub const fn is_http_only(&self) -> bool {
        self.is_http_only
    }
}

fn expiry(seconds: i64) -> Instant {
    Instant::now() + Duration::from_secs(u64::try_from(seconds).unwrap_or_default().min(u64::from(u32::MAX)))
}

/// [RFC 6265 section 5.1.4](https://www.rfc-editor.org/rfc/rfc6265#section-5.1.4).
fn default_path(url: &Url) -> &str {
    match url.path().rfind('/') {
        Some(at) if at > 0 => &url.path()[..at],
        _ => "/",
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookie")
            .field("name", &self.name)
            .field("domain", &self.domain)
            .field("path", &self.path)
            .field("is_secure", &self.is_secure)
            .field("is_http_only", &self.is_http_only)
            .field("same_site", &self.same_site)
            .finish_non_exhaustive()
    }
}
