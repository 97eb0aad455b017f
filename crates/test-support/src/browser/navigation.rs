//! One navigation: from a request, through redirects and refreshes, to a page or to a URL where the test takes over.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, COOKIE, LOCATION, ORIGIN, USER_AGENT},
};
use url::Url;

use super::{
    cookies::Jar,
    page::{Arrival, BrowserError, Page},
    policies::{Policies, Relation},
    submission::Submission,
};
use crate::Network;

/// The limit of redirects in a row, as in browsers.
const MOST_HOPS: usize = 20;

/// What the navigations of one browser share.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) network: Network,
    pub(super) jar: Jar,
    /// The beginnings of the URLs at which the test takes over.
    pub(super) stops: Vec<String>,
}

impl Session {
    fn leaves_at(&self, url: &Url) -> bool {
        !["http", "https"].contains(&url.scheme()) || self.stops.iter().any(|prefix| url.as_str().starts_with(prefix))
    }
}

/// A request that is about to be sent, and its origin.
pub(super) struct Navigation {
    method: Method,
    url: Url,
    body: Bytes,
    relation: Relation,
    /// The policies of the page that started the navigation, unless the user typed the URL.
    from: Option<Policies>,
    /// Whether a form of that page started it.
    is_form: bool,
    origin: Option<String>,
    headers: HeaderMap,
    hops: Vec<Url>,
}

impl Navigation {
    /// Creates the navigation to a URL that the user typed.
    pub(super) fn typed(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            body: Bytes::new(),
            relation: Relation::None,
            from: None,
            is_form: false,
            origin: None,
            headers: HeaderMap::new(),
            hops: Vec::new(),
        }
    }

    pub(super) fn of(submission: Submission) -> Result<Self, BrowserError> {
        let (url, body) = submission.target().ok_or_else(|| BrowserError::NotAUrl(submission.action.clone()))?;
        let is_post = submission.method == Method::POST;
        Ok(Self {
            relation: Relation::between(&submission.policies.page, &url),
            origin: is_post.then(|| submission.policies.origin_for(&url)),
            method: submission.method,
            url,
            body,
            from: Some(submission.policies),
            is_form: true,
            headers: submission.headers,
            hops: Vec::new(),
        })
    }

    /// Creates the navigation that `page` starts by itself.
    fn refresh(page: &Page, url: Url) -> Self {
        let policies = Policies::of(page.url().clone(), page.headers());
        let relation = Relation::between(page.url(), &url);
        Self { relation, from: Some(policies), hops: page.hops().to_vec(), ..Self::typed(url) }
    }

    /// Follows redirects and refreshes to a page, or to a URL where the test takes over.
    pub(super) async fn go(mut self, session: &mut Session) -> Result<Arrival, BrowserError> {
        loop {
            self.may_go()?;
            if session.leaves_at(&self.url) {
                return Ok(Arrival::Left(self.url));
            }
            let response = self.send(session).await?;
            self.hops.push(self.url.clone());
            if let Some(location) = redirect(&response) {
                self.follow(response.status(), &location)?;
                continue;
            }
            let page = Page::new(self.url, response, self.hops);
            let Some(target) = page.refresh() else { return Ok(Arrival::Page(page)) };
            self = Self::refresh(&page, join(page.url(), &target)?);
        }
    }

    fn may_go(&self) -> Result<(), BrowserError> {
        if self.hops.len() > MOST_HOPS {
            return Err(BrowserError::TooManyRedirects(Box::new(self.url.clone())));
        }
        match self.from.as_ref().filter(|_| self.is_form) {
            Some(policies) if !policies.lets_form_go_to(&self.url) => Err(BrowserError::FormActionForbidden {
                page: policies.page.origin().ascii_serialization(),
                target: self.url.origin().ascii_serialization(),
            }),
            _ => Ok(()),
        }
    }

    async fn send(&self, session: &mut Session) -> Result<Response<Bytes>, BrowserError> {
        let not_a_url = |_| BrowserError::NotAUrl(self.url.to_string());
        let mut target = self.url.clone();
        target.set_fragment(None);
        let request = Request::builder().method(&self.method).uri(target.as_str()).body(self.body.clone());
        let mut request = request.map_err(not_a_url)?;
        *request.headers_mut() = self.header_map(session);
        let response = session.network.send(request).await?;
        session.jar.keep(&self.url, response.headers());
        Ok(response)
    }

    fn header_map(&self, session: &Session) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static("Mozilla/5.0 (portcullis-test-support)"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/html,application/xhtml+xml,*/*;q=0.8"));
        for (name, value) in [
            ("sec-fetch-site", self.relation.as_str()),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-user", "?1"),
            ("sec-fetch-dest", "document"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let cookies = session.jar.header(&self.url, &self.method, self.relation);
        for (name, value) in [(COOKIE, cookies), (ORIGIN, self.origin.clone())] {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                headers.insert(name, value);
            }
        }
        if self.method == Method::POST {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        }
        headers.extend(self.headers.clone());
        // A header that a test has set to an empty value is not sent.
        headers
            .into_iter()
            .filter_map(|(name, value)| Some((name?, value)))
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }

    /// [Fetch, HTTP-redirect fetch](https://fetch.spec.whatwg.org/#http-redirect-fetch).
    fn follow(&mut self, status: StatusCode, location: &str) -> Result<(), BrowserError> {
        let mut next = join(&self.url, location)?;
        if next.fragment().is_none() {
            next.set_fragment(self.url.fragment());
        }
        if ![StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT].contains(&status) {
            self.method = Method::GET;
            self.body = Bytes::new();
            self.origin = None;
        } else if self.origin.is_some() && Relation::between(&self.url, &next) != Relation::SameOrigin {
            self.origin = Some("null".to_owned());
        }
        if let Some(from) = &self.from {
            // After a redirect through another site the request remains cross-site.
            self.relation = self.relation.max(Relation::between(&from.page, &next));
        }
        self.url = next;
        Ok(())
    }
}

fn redirect(response: &Response<Bytes>) -> Option<String> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| is_redirect)?;
    location.to_str().ok().map(str::to_owned)
}

fn join(base: &Url, target: &str) -> Result<Url, BrowserError> {
    base.join(target).map_err(|_| BrowserError::NotAUrl(target.to_owned()))
}
