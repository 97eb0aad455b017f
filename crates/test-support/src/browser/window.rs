//! [`Browser`]: navigation, forms, cookies, and whole logins.

use url::Url;

use super::{
    cookies::{Cookie, Jar},
    navigation::{Navigation, Session},
    page::{Arrival, BrowserError, Page},
    submission::Submission,
};
use crate::Network;

/// A headless browser: it stores cookies, follows redirects and `<meta http-equiv="refresh">` (without waiting), and sends
/// forms, with the headers by which servers tell a form of their own from a forged one.
///
/// It applies the rules that protect a login: where cookies are sent (hosts, paths, `Secure`, `__Host-`, `SameSite`, 4 KiB), what
/// `Origin` and `Sec-Fetch-Site` say (also because of `Referrer-Policy`), and what `form-action` forbids, redirects included. It
/// runs no scripts, shows no frames, and knows no list of public suffixes: a site is the last two labels of a host.
///
/// It stops at URLs that are not for it (`com.example.app:/callback`) and wherever it is told to. A clone is another browser
/// with the same cookies.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// use portcullis_test_support::{Browser, Endpoint, IdentityProvider, Network};
///
/// let provider = IdentityProvider::new();
/// let mut browser = Browser::new(Network::new().with_provider(&provider)).with_stop_at("https://app.example.test/");
/// let url = format!(
///     "{}?response_type=code&client_id=app&redirect_uri=https://app.example.test/callback&state=s",
///     provider.endpoint_url(Endpoint::Authorization),
/// );
/// let page = browser.get(&url).await?.page()?;
/// assert!(page.text().contains("Log in"));
///
/// let callback = browser.submit(page.press("user", "alice")?).await?.left()?;
/// assert!(callback.as_str().starts_with("https://app.example.test/callback?code="));
/// # Ok::<_, portcullis_test_support::BrowserError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Browser(Session);

impl Browser {
    /// Creates a browser without cookies.
    #[must_use]
    pub fn new(network: Network) -> Self {
        Self(Session { network, jar: Jar::default(), stops: Vec::new() })
    }

    /// Stops at URLs that begin with `prefix`: nothing is sent there. There may be several prefixes.
    #[must_use]
    pub fn with_stop_at(mut self, prefix: &str) -> Self {
        self.stop_at(prefix);
        self
    }

    /// Stops also at URLs that begin with `prefix`, from now on.
    pub fn stop_at(&mut self, prefix: &str) {
        if !self.0.stops.iter().any(|known| known == prefix) {
            self.0.stops.push(prefix.to_owned());
        }
    }

    /// Navigates to a URL that the user typed.
    ///
    /// # Errors
    /// [`BrowserError`] if there is no response, or if redirects lead nowhere.
    pub async fn get(&mut self, url: &str) -> Result<Arrival, BrowserError> {
        let url = Url::parse(url).map_err(|_| BrowserError::NotAUrl(url.to_owned()))?;
        Navigation::typed(url).go(&mut self.0).await
    }

    /// Sends a form, or follows a link.
    ///
    /// # Errors
    /// As [`get`](Self::get), and if the page forbids that its form ends up there.
    pub async fn submit(&mut self, submission: Submission) -> Result<Arrival, BrowserError> {
        Navigation::of(submission)?.go(&mut self.0).await
    }

    /// Sends the form of `page` that has this button: [`Page::press`].
    ///
    /// # Errors
    /// As [`submit`](Self::submit), and if there is no such button.
    pub async fn press(&mut self, page: &Page, name: &str, value: &str) -> Result<Arrival, BrowserError> {
        self.submit(page.press(name, value)?).await
    }

    /// Returns the current cookies.
    #[must_use]
    pub fn cookies(&self) -> Vec<Cookie> {
        self.0.jar.cookies().cloned().collect()
    }

    /// Stores the cookie of `set_cookie` as if it came from `url`: a stolen cookie, or a planted one. Reports whether a browser would.
    ///
    /// # Panics
    /// If `url` is no URL.
    pub fn set_cookie(&mut self, url: &str, set_cookie: &str) -> bool {
        self.0.jar.set(&Url::parse(url).expect("a URL"), set_cookie)
    }

    /// The limit of pages of a login.
    const MOST_PAGES: usize = 10;
    /// The button by which [`log_in`](Self::log_in) consents, as name and value.
    pub const APPROVE: (&str, &str) = ("decision", "approve");

    /// Navigates to `url`, and then logs in as `user` and consents ([`APPROVE`](Self::APPROVE)) wherever there is a page to do so,
    /// in any order, until the browser leaves for the client or shows a page that asks for neither.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn log_in(&mut self, url: &str, user: &str) -> Result<Arrival, BrowserError> {
        self.press_through(url, &[Self::APPROVE, ("user", user)]).await
    }

    /// Navigates to `url`, and on each page that follows presses the first of `buttons` that it has (or fills in the field of that
    /// name), until it leaves or there is none.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn press_through(&mut self, url: &str, buttons: &[(&str, &str)]) -> Result<Arrival, BrowserError> {
        let mut arrival = self.get(url).await?;
        for _ in 0..Self::MOST_PAGES {
            let Arrival::Page(page) = &arrival else { break };
            let Some(submission) = buttons.iter().find_map(|(name, value)| page.find(name, value)) else { break };
            arrival = self.submit(submission).await?;
        }
        Ok(arrival)
    }
}
