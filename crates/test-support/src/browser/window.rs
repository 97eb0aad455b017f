//! [`Browser`]: what the user has in front of them.

use url::Url;

use super::{
    cookie::Cookie,
    error::BrowserError,
    jar::Jar,
    navigation::Navigation,
    page::{Arrival, Page},
    submission::Submission,
};
use crate::Network;

/// A browser without a window: it keeps cookies, follows redirects and `<meta http-equiv="refresh">` (without waiting), and sends
/// forms, with the headers by which servers tell a form of their own from a forged one.
///
/// It goes by the rules that protect a login: where cookies go (hosts, paths, `Secure`, `__Host-`, `SameSite`, 4 KiB), what
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
pub struct Browser {
    network: Network,
    jar: Jar,
    stops: Vec<String>,
}

impl Browser {
    /// A browser that nobody has used.
    #[must_use]
    pub fn new(network: Network) -> Self {
        Self { network, jar: Jar::default(), stops: Vec::new() }
    }

    /// Stops at URLs that begin with `prefix`: nothing is sent there. More than one can be said.
    #[must_use]
    pub fn with_stop_at(mut self, prefix: &str) -> Self {
        self.stop_at(prefix);
        self
    }

    /// From now on stops there too.
    pub fn stop_at(&mut self, prefix: &str) {
        if !self.stops.iter().any(|known| known == prefix) {
            self.stops.push(prefix.to_owned());
        }
    }

    /// Goes to a URL that the user typed.
    ///
    /// # Errors
    /// [`BrowserError`] if nobody answers, or redirects lead nowhere.
    pub async fn get(&mut self, url: &str) -> Result<Arrival, BrowserError> {
        let url = Url::parse(url).map_err(|_| BrowserError::NotAUrl(url.to_owned()))?;
        Navigation::typed(url).go(self).await
    }

    /// Sends a form, or goes where a link leads.
    ///
    /// # Errors
    /// As [`get`](Self::get), and if the page forbids that its form ends up there.
    pub async fn submit(&mut self, submission: Submission) -> Result<Arrival, BrowserError> {
        Navigation::of(submission)?.go(self).await
    }

    /// Sends the form of `page` that has this button: [`Page::press`].
    ///
    /// # Errors
    /// As [`submit`](Self::submit), and if there is no such button.
    pub async fn press(&mut self, page: &Page, name: &str, value: &str) -> Result<Arrival, BrowserError> {
        self.submit(page.press(name, value)?).await
    }

    /// The cookies that it has now.
    #[must_use]
    pub fn cookies(&self) -> Vec<Cookie> {
        self.jar.cookies().cloned().collect()
    }

    /// Keeps what `set_cookie` says, as if it had come from `url`: a stolen cookie, a planted one. Returns whether a browser would.
    ///
    /// # Panics
    /// If `url` is no URL.
    pub fn set_cookie(&mut self, url: &str, set_cookie: &str) -> bool {
        self.jar.set(&Url::parse(url).expect("a URL"), set_cookie)
    }

    pub(super) fn leaves_at(&self, url: &Url) -> bool {
        !["http", "https"].contains(&url.scheme()) || self.stops.iter().any(|prefix| url.as_str().starts_with(prefix))
    }

    pub(super) const fn network(&self) -> &Network {
        &self.network
    }

    pub(super) const fn jar(&self) -> &Jar {
        &self.jar
    }

    pub(super) const fn jar_mut(&mut self) -> &mut Jar {
        &mut self.jar
    }
}
