//! A whole login, with the browser of a user.

use super::{answer::Answer, client::OAuthClient, client_error::ClientError};
use crate::Browser;

impl OAuthClient {
    /// Sends `user` with their browser through login and consent ([`Browser::log_in`]), and redeems the code.
    ///
    /// # Errors
    /// [`ClientError`] if there is no code. That it is not redeemed is an answer.
    pub async fn log_in(&self, browser: &mut Browser, user: &str) -> Result<Answer, ClientError> {
        let authorization = self.authorization()?;
        browser.stop_at(self.redirect_uri());
        let callback = browser.log_in(&authorization.url(), user).await?.left()?;
        self.redeem(&authorization, &authorization.code(&callback)?).await
    }
}
