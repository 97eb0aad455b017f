//! [`User`]: a user with a client, who goes on whatever happens to the bridge.

use std::time::Duration;

use portcullis_test_support::{Arrival, Browser, ClientError, OAuthClient};
use tokio::time::timeout;

use super::{
    client_history::ClientHistory,
    fixture::World,
    retrying_client::{PATIENCE, UPSTREAM, WHOAMI, hang_up_after, tool, until_answered},
};

/// How long a tool is waited for that wants the user's token at the provider: what a dead process has reserved is out of reach for long.
const SHORT: Duration = Duration::from_millis(500);

/// A user with a client, who goes on whatever happens to the bridge: what is not answered is asked again, as browsers and clients do it.
pub(crate) struct User<'a> {
    world: &'a World,
    client: OAuthClient,
    browser: Browser,
    /// What is known of the session.
    pub(crate) history: ClientHistory,
    /// How many answers did not come.
    pub(crate) lost: usize,
    /// How many logins had to begin anew.
    pub(crate) begun_anew: usize,
}

impl<'a> User<'a> {
    pub(crate) async fn new(world: &'a World, subject: &str) -> Self {
        let client = until_answered(world, || PATIENCE, async || world.app().await).await.0;
        let history = ClientHistory {
            client_id: client.client_id().to_owned(),
            subject: subject.to_owned(),
            codes: Vec::new(),
            pairs: Vec::new(),
            generation: 0,
            is_revoked: false,
        };
        Self { world, client, browser: world.browser(), history, lost: 0, begun_anew: 0 }
    }

    /// The client registers itself: what is presented in vain is limited by client.
    pub(crate) async fn register(&mut self) {
        let mut client = self.client.clone();
        let registration = client.registration();
        let answer = self.answered(async || client.register(&registration).await).await.0;
        assert_eq!(answer.status(), 201, "{answer:?}");
        client.client_id().clone_into(&mut self.history.client_id);
        self.client = client;
    }

    /// Logs in, and begins anew as often as a user has to.
    pub(crate) async fn log_in(&mut self) {
        while !self.try_to_log_in().await {
            self.begun_anew += 1;
        }
    }

    /// `false`: an answer was lost that cannot be repeated.
    async fn try_to_log_in(&mut self) -> bool {
        let authorization = self.client.authorization().expect("an endpoint");
        let url = authorization.url();
        let mut browser = self.browser.clone();
        let mut page = self.answered(async || Ok(browser.get(&url).await?.page()?)).await.0;
        let (name, value) = Browser::APPROVE;
        if let Ok(consent) = page.press(name, value) {
            page = self.answered(async || Ok(browser.submit(consent.clone()).await?.page()?)).await.0;
        }
        // The provider is always there. From here on its answer is in the address bar.
        let mut at_provider = browser.clone().with_stop_at(&format!("{}/callback", self.world.proxy.url));
        let login = page.press("user", &self.history.subject).expect("the provider's page");
        let callback = at_provider.submit(login).await.and_then(Arrival::left).expect("the provider's answer");
        let (arrival, lost) = self.answered(async || Ok(browser.get(callback.as_str()).await?)).await;
        self.browser = browser;
        let Ok(callback) = arrival.left() else {
            assert!(lost > 0, "it was not answered before");
            return false;
        };
        let code = authorization.code(&callback).expect("a code");
        let client = self.client.clone();
        // A code whose answer was lost is redeemed again.
        let (answer, lost) =
            until_answered(self.world, || PATIENCE, async || client.redeem(&authorization, &code).await).await;
        self.lost += lost;
        self.history.codes.push((authorization, code));
        if answer.status() == 200 {
            self.history.pairs.push(answer);
            return true;
        }
        assert!(lost > 0, "it was not answered before: {answer:?}");
        assert_eq!(answer.error(), Some("invalid_grant"));
        false
    }

    /// Whether the session goes on.
    pub(crate) async fn refresh(&mut self) -> bool {
        let (client, refresh_token) = (self.client.clone(), self.history.newest().refresh_token().to_owned());
        let answer = self.answered(async || client.refresh(&refresh_token).await).await.0;
        if answer.status() == 200 {
            self.history.pairs.push(answer);
            return true;
        }
        // Whether that is true is found out at the end.
        let description = "the grant at the identity provider has ended";
        assert_eq!((answer.error(), &answer["error_description"]), (Some("invalid_grant"), &description.into()));
        false
    }

    /// The client revokes what it has.
    pub(crate) async fn revoke(&mut self) {
        let (client, refresh_token) = (self.client.clone(), self.history.newest().refresh_token().to_owned());
        let answer = self.answered(async || client.revoke(&refresh_token).await).await.0;
        assert_eq!(answer.status(), 200, "{answer:?}");
        self.history.is_revoked = true;
    }

    /// Uses one of the access tokens that came. Whether the session goes on.
    pub(crate) async fn call(&mut self, pair: usize) -> bool {
        let (network, url) = (self.world.network.clone(), self.world.proxy.url.clone());
        let token = self.history.pairs[pair].access_token().to_owned();
        let (status, answer) = self.answered(async || Ok(tool(&network, &url, WHOAMI, &token).await?)).await.0;
        if status == 401 {
            // A process that knows that the grant has ended rejects every request.
            assert!(!self.refresh().await, "a token that was handed out does not work: {answer}");
            return false;
        }
        assert_eq!((status, &answer["subject"]), (200, &(*self.history.subject).into()), "{answer}");
        true
    }

    /// Lets a tool use the user's token at the provider, once, and does not wait for long.
    pub(crate) async fn use_upstream(&mut self) {
        let called = tool(&self.world.network, &self.world.proxy.url, UPSTREAM, self.history.newest().access_token());
        let Ok(Ok((_, answer))) = timeout(SHORT, called).await else { return self.lost += 1 };
        if let Some(generation) = answer["generation"].as_u64() {
            assert_eq!(answer["subject"], *self.history.subject, "{answer}");
            self.history.generation = self.history.generation.max(generation);
        }
    }

    /// Acts until there is an answer, and hangs up now and then. How often there was none.
    async fn answered<T>(&mut self, act: impl AsyncFnMut() -> Result<T, ClientError>) -> (T, usize) {
        let (answer, lost) = until_answered(self.world, hang_up_after, act).await;
        self.lost += lost;
        (answer, lost)
    }
}
