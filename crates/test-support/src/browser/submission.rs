//! [`Submission`]: a form that is about to be sent, as its page contains it, or forged.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::Url;

use super::policies::Policies;
use crate::fields::Fields;

/// A form that is about to be sent by [`Browser::submit`](crate::Browser::submit): the one of a page
/// ([`Page::press`](crate::Page::press)), or a forged one of another site.
///
/// ```
/// use portcullis_test_support::Submission;
///
/// let forged = Submission::post("https://evil.example.test", "https://mcp.example.test/consent")
///     .with_field("decision", "approve");
/// let lure = Submission::get("https://evil.example.test", "https://mcp.example.test/callback?code=c&state=s");
/// # drop((forged, lure));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Submission {
    pub(super) method: Method,
    pub(super) policies: Policies,
    pub(super) action: String,
    pub(super) fields: Fields,
    pub(super) headers: HeaderMap,
}

impl Submission {
    /// Creates a form that a page at `page` posts to `action`.
    ///
    /// # Panics
    /// If `page` is no URL.
    pub fn post(page: &str, action: &str) -> Self {
        let page = Url::parse(page).expect("the URL of a page");
        Self::new(Method::POST, Policies::of(page, &HeaderMap::new()), action.to_owned(), Fields::default())
    }

    /// Creates a link from a page at `page` to `target`.
    ///
    /// # Panics
    /// If `page` is no URL.
    pub fn get(page: &str, target: &str) -> Self {
        Self { method: Method::GET, ..Self::post(page, target) }
    }

    pub(super) fn new(method: Method, policies: Policies, action: String, fields: Fields) -> Self {
        Self { method, policies, action, fields, headers: HeaderMap::new() }
    }

    /// Sets this field, in place of those of its name.
    pub fn with_field(mut self, name: &str, value: &str) -> Self {
        self.fields.set(name, value);
        self
    }

    /// Adds this field, also if there is one of its name.
    pub fn with_another_field(mut self, name: &str, value: &str) -> Self {
        self.fields.add(name, value);
        self
    }

    /// Removes the fields of this name.
    pub fn without_field(mut self, name: &str) -> Self {
        self.fields.remove(name);
        self
    }

    /// Sets another action.
    pub fn to(mut self, action: &str) -> Self {
        action.clone_into(&mut self.action);
        self
    }

    /// Sets this header in place of the one that the browser would send; an empty one is not sent.
    ///
    /// # Panics
    /// If the value is not a header value.
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("the value of a header");
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// Returns the value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.find(name)
    }

    /// Returns the URL and the body of the request.
    pub(super) fn target(&self) -> Option<(Url, Bytes)> {
        let mut target = self.policies.page.join(&self.action).ok()?;
        let form = self.fields.encoded();
        if self.method == Method::POST {
            return Some((target, form.into()));
        }
        if !form.is_empty() {
            target.set_query(Some(&form));
        }
        Some((target, Bytes::new()))
    }
}
