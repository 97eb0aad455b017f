//! A whole login: page after page, the button that leads on.

use super::{error::BrowserError, page::Arrival, window::Browser};

/// The most pages of a login.
const MOST_PAGES: usize = 10;

impl Browser {
    /// The button by which [`log_in`](Self::log_in) consents, as name and value.
    pub const APPROVE: (&str, &str) = ("decision", "approve");

    /// Goes to `url`, and then logs in as `user` and consents ([`APPROVE`](Self::APPROVE)) wherever there is a page to do so,
    /// in any order, until it leaves for the client or stands before a page that asks for neither.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn log_in(&mut self, url: &str, user: &str) -> Result<Arrival, BrowserError> {
        self.press_through(url, &[Self::APPROVE, ("user", user)]).await
    }

    /// Goes to `url`, and on each page that follows presses the first of `buttons` that it has (or fills in the field of that
    /// name), until it leaves or there is none.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn press_through(&mut self, url: &str, buttons: &[(&str, &str)]) -> Result<Arrival, BrowserError> {
        let mut arrival = self.get(url).await?;
        for _ in 0..MOST_PAGES {
            let Arrival::Page(page) = &arrival else { break };
            let Some(submission) = buttons.iter().find_map(|(name, value)| page.find(name, value)) else { break };
            arrival = self.submit(submission).await?;
        }
        Ok(arrival)
    }
}
