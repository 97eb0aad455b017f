//! The rules between two URLs: their relation, `Content-Security-Policy` and `Referrer-Policy`.

use http::{
    HeaderMap, HeaderName,
    header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY},
};
use url::{Host, Url};

/// The relation of a URL to the page that leads there: the value of `Sec-Fetch-Site`
/// ([Fetch Metadata](https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header)), the nearest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Relation {
    /// No page leads there: the user typed the URL.
    None,
    SameOrigin,
    SameSite,
    CrossSite,
}

impl Relation {
    pub(super) fn between(from: &Url, to: &Url) -> Self {
        if from.origin() == to.origin() {
            Self::SameOrigin
        } else if site(from) == site(to) {
            Self::SameSite
        } else {
            Self::CrossSite
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SameOrigin => "same-origin",
            Self::SameSite => "same-site",
            Self::CrossSite => "cross-site",
        }
    }
}

/// Scheme and registrable domain, taken to be the last two labels: there is no list of public suffixes here. Ports do not count.
fn site(url: &Url) -> (&str, String) {
    let host = match url.host() {
        Some(Host::Domain(name)) => {
            let mut labels: Vec<_> = name.rsplit('.').take(2).collect();
            labels.reverse();
            labels.join(".")
        }
        Some(address) => address.to_string(),
        None => String::new(),
    };
    (url.scheme(), host)
}

/// The policies of a page for its forms.
#[derive(Clone, Debug)]
pub(super) struct Policies {
    /// The URL of the page.
    pub(super) page: Url,
    /// The sources of `form-action`, of every policy that has it.
    form_actions: Vec<Vec<String>>,
    referrer: String,
}

impl Policies {
    pub(super) fn of(page: Url, headers: &HeaderMap) -> Self {
        let policies = values(headers, CONTENT_SECURITY_POLICY);
        let form_actions = policies.filter_map(|policy| form_action(&policy)).collect();
        let referrer = values(headers, REFERRER_POLICY).last().unwrap_or_default();
        Self { page, form_actions, referrer }
    }

    /// Reports whether a form of the page may be sent to `target`, redirects included:
    /// [CSP section 6.4.1](https://www.w3.org/TR/CSP3/#directive-form-action).
    pub(super) fn lets_form_go_to(&self, target: &Url) -> bool {
        self.form_actions.iter().all(|sources| sources.iter().any(|source| self.matches(source, target)))
    }

    fn matches(&self, source: &str, target: &Url) -> bool {
        match source {
            "*" => ["http", "https"].contains(&target.scheme()),
            "'self'" => Relation::between(&self.page, target) == Relation::SameOrigin,
            scheme if scheme.ends_with(':') => target.scheme() == &scheme[..scheme.len() - 1],
            source => {
                // A path in a source counts for the first request only, and is not looked at here.
                Url::parse(source).is_ok_and(|source| Relation::between(&source, target) == Relation::SameOrigin)
            }
        }
    }

    /// Returns the `Origin` of a form of the page that is posted to `target`: [Fetch](https://fetch.spec.whatwg.org/#append-a-request-origin-header).
    /// A page without a referrer has no origin either.
    pub(super) fn origin_for(&self, target: &Url) -> String {
        let is_other = Relation::between(&self.page, target) != Relation::SameOrigin;
        let is_downgrade = self.page.scheme() == "https" && target.scheme() != "https";
        let is_hidden = match &*self.referrer {
            "no-referrer" => true,
            "same-origin" => is_other,
            "origin" | "origin-when-cross-origin" | "unsafe-url" => false,
            _ => is_downgrade,
        };
        if is_hidden { "null".to_owned() } else { self.page.origin().ascii_serialization() }
    }
}

fn form_action(policy: &str) -> Option<Vec<String>> {
    policy.split(';').find_map(|directive| {
        let mut words = directive.split_ascii_whitespace();
        let is_it = words.next()?.eq_ignore_ascii_case("form-action");
        is_it.then(|| words.map(str::to_ascii_lowercase).filter(|source| source != "'none'").collect())
    })
}

fn values(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = String> {
    let headers = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    headers.flat_map(|value| value.split(',')).map(|value| value.trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn policies(name: HeaderName, value: &'static str) -> Policies {
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        Policies::of("https://a.test/consent".parse().expect("a URL"), &headers)
    }

    #[test]
    fn forms_go_where_the_page_lets_them() {
        let may = |policy, target: &str| {
            policies(CONTENT_SECURITY_POLICY, policy).lets_form_go_to(&target.parse().expect("a URL"))
        };
        assert!(may("default-src 'none'", "https://b.test/"));
        assert!(may("default-src 'none'; form-action 'self' https://b.test app:", "https://b.test/callback"));
        assert!(may("form-action 'self' https://b.test app:", "app:/callback"));
        assert!(!may("form-action 'self'", "https://b.test/"));
        assert!(!may("form-action 'none'", "https://a.test/"));
        assert!(!may("form-action *, form-action 'none'", "https://a.test/"));
    }

    #[test]
    fn a_page_without_referrer_has_no_origin() {
        let origin =
            |policy, target: &str| policies(REFERRER_POLICY, policy).origin_for(&target.parse().expect("a URL"));
        assert_eq!(origin("no-referrer", "https://a.test/"), "null");
        assert_eq!(origin("same-origin", "https://a.test/"), "https://a.test");
        assert_eq!(origin("same-origin", "https://b.test/"), "null");
        assert_eq!(origin("strict-origin", "https://b.test/"), "https://a.test");
        assert_eq!(origin("", "http://b.test/"), "null");
    }

    #[test]
    fn ports_make_origins_and_last_labels_make_sites() {
        let relation = |from: &str, to: &str| {
            Relation::between(&from.parse().expect("a URL"), &to.parse().expect("a URL")).as_str()
        };
        assert_eq!(relation("https://a.test/x", "https://a.test/y"), "same-origin");
        assert_eq!(relation("http://127.0.0.1:1/", "http://127.0.0.1:2/"), "same-site");
        assert_eq!(relation("https://mcp.example.test/", "https://idp.example.test/"), "same-site");
        assert_eq!(relation("https://mcp.example.test/", "http://mcp.example.test/"), "cross-site");
        assert_eq!(relation("https://mcp.example.test/", "https://evil.test/"), "cross-site");
    }
}
