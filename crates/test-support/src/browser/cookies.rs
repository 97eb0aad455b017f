//! [`Cookie`] and the cookies of a browser: which are stored, and to which URLs they are sent.

use std::{fmt, time::Duration};

use http::{HeaderMap, Method, header::SET_COOKIE};
use tokio::time::Instant;
use url::Url;

use super::policies::Relation;

/// The most bytes of name and value together.
const LONGEST: usize = 4096;

/// A cookie ([RFC 6265](https://www.rfc-editor.org/rfc/rfc6265), and of its successor the prefixes
/// and `SameSite`). `Debug` does not print the value.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie {
    name: String,
    value: String,
    /// The host that set it, or the domain to which it belongs.
    domain: String,
    is_host_only: bool,
    path: String,
    is_secure: bool,
    is_http_only: bool,
    same_site: SameSite,
    expires_at: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SameSite {
    Strict,
    /// The default as well.
    Lax,
    None,
}

impl Cookie {
    /// Parses the `Set-Cookie` header of a response from `url`; `None` if a browser would reject it.
    fn parse(url: &Url, header: &str) -> Option<Self> {
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
                // How a cookie is removed; any other date is far in the future.
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

    /// Reports whether the cookie is sent to `url`, before `SameSite` is considered.
    fn is_for(&self, url: &Url) -> bool {
        let below = url.path().strip_prefix(&self.path);
        let is_below = below.is_some_and(|rest| rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/'));
        self.is_for_host(url) && is_below && (!self.is_secure || url.scheme() == "https")
    }

    fn is_for_host(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let below = host.strip_suffix(&self.domain).is_some_and(|rest| rest.ends_with('.'));
        host == self.domain || (!self.is_host_only && below)
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns the host, or the domain, to which the cookie is sent.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Returns the path below which the cookie is sent.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reports whether the cookie is sent over `https` only.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Reports whether scripts cannot read the cookie.
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

/// The cookies of a browser. They belong to hosts; ports do not separate them.
#[derive(Clone, Default, Debug)]
pub(super) struct Jar(Vec<Cookie>);

impl Jar {
    /// Stores the cookies of a response from `url` that a browser would accept.
    pub(super) fn keep(&mut self, url: &Url, headers: &HeaderMap) {
        for header in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            self.set(url, header);
        }
    }

    pub(super) fn set(&mut self, url: &Url, header: &str) -> bool {
        let Some(cookie) = Cookie::parse(url, header) else { return false };
        let key = |cookie: &Cookie| (cookie.name().to_owned(), cookie.domain.clone(), cookie.path.clone());
        self.0.retain(|known| key(known) != key(&cookie));
        self.0.push(cookie);
        true
    }

    /// Returns the cookies that have not expired.
    pub(super) fn cookies(&self) -> impl Iterator<Item = &Cookie> {
        let now = Instant::now();
        self.0.iter().filter(move |cookie| cookie.expires_at.is_none_or(|expires_at| expires_at > now))
    }

    /// Returns the `Cookie` header of a top-level navigation to `url`, the longest path first.
    pub(super) fn header(&self, url: &Url, method: &Method, relation: Relation) -> Option<String> {
        let goes = |cookie: &&Cookie| match cookie.same_site {
            _ if relation != Relation::CrossSite => true,
            SameSite::Strict => false,
            SameSite::Lax => method == Method::GET,
            SameSite::None => true,
        };
        let mut found: Vec<_> = self.cookies().filter(|cookie| cookie.is_for(url)).filter(goes).collect();
        found.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<_> = found.iter().map(|cookie| format!("{}={}", cookie.name(), cookie.value())).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    fn sent(jar: &Jar, to: &str) -> String {
        jar.header(&url(to), &Method::GET, Relation::None).unwrap_or_default()
    }

    #[test]
    fn what_a_browser_refuses_is_not_kept() {
        for (from, header) in [
            ("https://a.test/", "__Host-a=1; Path=/"),
            ("https://a.test/", "__Host-a=1; Secure; Path=/x"),
            ("https://a.test/", "__host-a=1; Secure; Path=/; Domain=a.test"),
            ("https://a.test/", "__Secure-a=1"),
            ("http://127.0.0.1:80/", "__Host-a=1; Secure; Path=/"),
            ("http://127.0.0.1:80/", "a=1; Secure"),
            ("https://a.test/", "a=1; SameSite=None"),
            ("https://a.test/", "a=1; Domain=b.test"),
            ("https://a.test/", "a=1; Domain=test"),
            ("https://a.test/", &format!("a={}", "x".repeat(4096))),
        ] {
            assert!(!Jar::default().set(&url(from), header), "{header}");
        }
        assert!(Jar::default().set(&url("https://a.test/x"), "__Host-a=1; Secure; Path=/; HttpOnly"));
    }

    #[tokio::test(start_paused = true)]
    async fn cookies_go_to_their_host_and_path_until_they_expire() {
        let mut jar = Jar::default();
        jar.set(&url("http://127.0.0.1:1/a/b"), "deep=1; Max-Age=60");
        jar.set(&url("http://127.0.0.1:2/"), "wide=2; Path=/");
        jar.set(&url("https://mcp.example.test/"), "domain=3; Domain=example.test; Secure");
        assert_eq!(sent(&jar, "http://127.0.0.1:3/a/c"), "deep=1; wide=2", "ports do not count");
        assert_eq!(sent(&jar, "http://127.0.0.1:3/ab"), "wide=2");
        assert_eq!(sent(&jar, "https://idp.example.test/"), "domain=3");
        assert_eq!(sent(&jar, "http://idp.example.test/"), "");
        assert_eq!(sent(&jar, "https://badexample.test/"), "");

        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(sent(&jar, "http://127.0.0.1:3/a/c"), "wide=2");
        jar.set(&url("http://127.0.0.1:2/"), "wide=; Path=/; Max-Age=0");
        assert_eq!(jar.cookies().count(), 1);
    }

    #[test]
    fn forged_forms_of_other_sites_bring_no_lax_cookies() {
        let mut jar = Jar::default();
        let site = url("https://a.test/");
        for (name, same_site) in [("n", "None"), ("l", "Lax"), ("s", "Strict")] {
            jar.set(&site, &format!("{name}=1; Secure; SameSite={same_site}"));
        }
        let header = |method, relation| jar.header(&site, &method, relation).unwrap_or_default();
        assert_eq!(header(Method::POST, Relation::CrossSite), "n=1");
        assert_eq!(header(Method::GET, Relation::CrossSite), "n=1; l=1");
        assert_eq!(header(Method::POST, Relation::SameSite), "n=1; l=1; s=1");
    }
}
