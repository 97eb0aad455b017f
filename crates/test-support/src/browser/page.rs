//! [`Page`], [`Arrival`] and [`BrowserError`]: the outcome of a navigation.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use url::Url;

use super::{
    html::{Button, Document, Form},
    policies::Policies,
    submission::Submission,
};
use crate::NetworkError;

/// The outcome of a navigation.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Arrival {
    /// The browser shows a page.
    Page(Page),
    /// The browser was redirected to a URL where the test takes over: the redirect URI of a client.
    Left(Url),
}

impl Arrival {
    /// Returns the page.
    ///
    /// # Errors
    /// If the browser left.
    pub fn page(self) -> Result<Page, BrowserError> {
        match self {
            Self::Page(page) => Ok(page),
            // The query has the code.
            Self::Left(url) => Err(BrowserError::Left(without_query(&url))),
        }
    }

    /// Returns the URL at which the browser left.
    ///
    /// # Errors
    /// If the browser shows a page.
    pub fn left(self) -> Result<Url, BrowserError> {
        match self {
            Self::Left(url) => Ok(url),
            Self::Page(page) => {
                Err(BrowserError::StillThere { url: without_query(&page.url), status: page.status().as_u16() })
            }
        }
    }
}

/// A page that a browser shows. `Debug` prints neither query nor body.
#[derive(Clone)]
pub struct Page {
    url: Url,
    response: Response<Bytes>,
    hops: Vec<Url>,
}

impl Page {
    pub(super) const fn new(url: Url, response: Response<Bytes>, hops: Vec<Url>) -> Self {
        Self { url, response, hops }
    }

    /// Returns the URL.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Returns the headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Returns the body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.response.body()).into_owned()
    }

    /// Returns the URLs that led to the page, the first one first.
    #[must_use]
    pub fn hops(&self) -> &[Url] {
        &self.hops
    }

    /// Returns the targets of the links, as they are written.
    #[must_use]
    pub fn links(&self) -> Vec<String> {
        self.document().links
    }

    /// Returns the buttons of the forms, as names and values.
    #[must_use]
    pub fn buttons(&self) -> Vec<(String, String)> {
        let forms = self.document().forms.into_iter();
        forms.flat_map(|form| form.buttons).map(|button| (button.name, button.value)).collect()
    }

    /// Returns the form with this button, as the button sends it. If there is no such button, but a text field of that name, returns
    /// the form with that field filled in.
    ///
    /// # Errors
    /// If there is neither.
    pub fn press(&self, name: &str, value: &str) -> Result<Submission, BrowserError> {
        self.find(name, value).ok_or_else(|| BrowserError::NoButton {
            url: without_query(&self.url),
            status: self.status().as_u16(),
            wanted: format!("{name}={value}"),
            offered: self
                .buttons()
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join(", "),
        })
    }

    /// Returns the form with this button, if there is one.
    pub(super) fn find(&self, name: &str, value: &str) -> Option<Submission> {
        let document = self.document();
        let is_it = |button: &&Button| button.name == name && button.value == value;
        let pressed = document.forms.iter().find_map(|form| Some((form, form.buttons.iter().find(is_it)?)));
        if let Some((form, button)) = pressed {
            let action = button.action.as_ref().unwrap_or(&form.action);
            return Some(self.submission(form, action).with_another_field(name, value));
        }
        let written = document.forms.iter().find(|form| form.texts.iter().any(|text| text == name))?;
        Some(self.submission(written, &written.action).with_field(name, value))
    }

    /// Returns the URL to which the page refreshes by itself.
    pub(super) fn refresh(&self) -> Option<String> {
        self.document().refresh
    }

    fn submission(&self, form: &Form, action: &str) -> Submission {
        let method = if form.is_post { Method::POST } else { Method::GET };
        // A form without an action is sent to the URL of its page, including the query.
        let action = if action.is_empty() { self.url.as_str() } else { action };
        let policies = Policies::of(self.url.clone(), self.headers());
        let fields = form.fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        Submission::new(method, policies, action.to_owned(), fields)
    }

    fn document(&self) -> Document {
        let content_type = self.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if content_type.starts_with("text/html") { Document::read(self.response.body()) } else { Document::default() }
    }
}

/// Returns the URL without query and fragment, which may contain secrets.
pub(super) fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page")
            .field("url", &without_query(&self.url))
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// The reason why a navigation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrowserError {
    /// There was no response.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The text is not a URL.
    #[error("{0:?} is no URL")]
    NotAUrl(String),
    /// There were too many redirects.
    #[error("redirects without end, the last one to {}", .0.path())]
    TooManyRedirects(Box<Url>),
    /// No form of the page has this button.
    #[error("{url} (status {status}) has no button {wanted}, but {offered}")]
    NoButton {
        /// The page, without its query.
        url: String,
        /// Its status.
        status: u16,
        /// The button, as `name=value`.
        wanted: String,
        /// The buttons that it has.
        offered: String,
    },
    /// The `Content-Security-Policy` of the page forbids that its form ends up there.
    #[error("the page of {page} lets no form go to {target}")]
    FormActionForbidden {
        /// The origin of the page.
        page: String,
        /// The origin of the form's action, or of a redirect that came of it.
        target: String,
    },
    /// There is a page where none was expected: the browser was to go on to the client.
    #[error("the browser stopped at {url} (status {status})")]
    StillThere {
        /// The page, without its query.
        url: String,
        /// Its status.
        status: u16,
    },
    /// The browser went on to a client where a page was expected.
    #[error("the browser left for {0}")]
    Left(String),
}
