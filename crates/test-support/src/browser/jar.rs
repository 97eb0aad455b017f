//! The cookies of a browser: which are kept, and which go where.

use http::{HeaderMap, Method, header::SET_COOKIE};
use tokio::time::Instant;
use url::Url;

use super::{
    cookie::{Cookie, SameSite},
    site::Relation,
};

/// The cookies of a browser. They belong to hosts; ports do not keep them apart.
#[derive(Clone, Default, Debug)]
pub(super) struct Jar(Vec<Cookie>);

impl Jar {
    /// Keeps what a response from `url` sets, as far as a browser would.
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

    /// Those that are still good.
    pub(super) fn cookies(&self) -> impl Iterator<Item = &Cookie> {
        let now = Instant::now();
        self.0.iter().filter(move |cookie| cookie.expires_at.is_none_or(|expires_at| expires_at > now))
    }

    /// What a top-level navigation to `url` brings along, the longest path first.
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
