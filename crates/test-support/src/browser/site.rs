//! How near two URLs are to each other, as browsers see it.

use url::{Host, Url};

/// How near a URL is to the page that leads there: the value of `Sec-Fetch-Site`
/// ([Fetch Metadata](https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header)), the nearest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Relation {
    /// Nobody leads there: the user typed it.
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

#[cfg(test)]
mod tests {
    use super::*;

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
