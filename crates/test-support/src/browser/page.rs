//! [`Page`] and [`Arrival`]: where a browser ended up.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use url::Url;

use super::{
    error::BrowserError,
    html::{Button, Document, Form},
    policies::Policies,
    submission::Submission,
};

/// Where a browser ended up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Arrival {
    /// At a page.
    Page(Page),
    /// On its way to a URL where the test takes over: the redirect URI of a client.
    Left(Url),
}

impl Arrival {
    /// The page.
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

    /// The URL with which the browser left.
    ///
    /// # Errors
    /// If it is at a page.
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

    /// Where it is.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Its headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Its HTML, or whatever it is.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.response.body()).into_owned()
    }

    /// The URLs that led to it, the first one first.
    #[must_use]
    pub fn hops(&self) -> &[Url] {
        &self.hops
    }

    /// The targets of its links, as they are written.
    #[must_use]
    pub fn links(&self) -> Vec<String> {
        self.document().links
    }

    /// The buttons of its forms, as names and values.
    #[must_use]
    pub fn buttons(&self) -> Vec<(String, String)> {
        let forms = self.document().forms.into_iter();
        forms.flat_map(|form| form.buttons).map(|button| (button.name, button.value)).collect()
    }

    /// The form with this button, as the button sends it. If there is no such button, but a field of that name into which somebody
    /// may write: the form with that field filled in.
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

    /// The form with this button, if there is one.
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

    /// Where the page goes on by itself.
    pub(super) fn refresh(&self) -> Option<String> {
        self.document().refresh
    }

    fn submission(&self, form: &Form, action: &str) -> Submission {
        let method = if form.is_post { Method::POST } else { Method::GET };
        // A form without an action goes where its page is, query and all.
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

/// What may be printed.
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
