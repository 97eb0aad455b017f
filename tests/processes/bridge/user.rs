//! [`User`]: a user with a client, who goes on whatever happens to the bridge.

use std::time::Duration;

use axum::body::Bytes;
use http::Request;
use portcullis_testkit::{
    Answer, Arrival, Authorization, Browser, BrowserError, ClientError, Network, NetworkError, OAuthClient,
};
use serde_json::Value;
use tokio::time::timeout;

use super::world::World;

/// How long anybody tries. A machine that builds something else meanwhile is slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a tool is waited for that wants the user's token at the provider: what a dead process has reserved is out of reach for long.
const SHORT: Duration = Duration::from_millis(500);

/// A user with a client, who goes on whatever happens to the bridge: what is not answered is asked again, as browsers and clients do it.
pub(crate) struct User<'a> {
    world: &'a World,
    client: OAuthClient,
    browser: Browser,
    /// What is known of the session.
    pub(crate) life: Life,
    /// How many answers did not come.
    pub(crate) lost: usize,
    /// How many logins had to begin anew.
    pub(crate) begun_anew: usize,
}

/// What a client has received.
pub(crate) struct Life {
    pub(crate) client_id: String,
    /// Who the user is at the provider.
    pub(crate) subject: String,
    /// All codes that came, with what they came for. All have been presented.
    pub(crate) codes: Vec<(Authorization, String)>,
    /// All tokens that came, the oldest first.
    pub(crate) pairs: Vec<Answer>,
    /// The newest generation of the token at the provider that a tool has seen.
    pub(crate) generation: u64,
    /// The client has revoked it.
    pub(crate) is_revoked: bool,
    /// The provider has.
    pub(crate) is_ended: bool,
}

impl Life {
    /// The newest tokens.
    pub(crate) fn newest(&self) -> &Answer {
        self.pairs.last().expect("tokens")
    }
}

impl<'a> User<'a> {
    pub(crate) async fn new(world: &'a World, subject: &str) -> Self {
        let client = until_answered(world, || PATIENCE, async || world.app().await).await.0;
        let life = Life {
            client_id: client.client_id().to_owned(),
            subject: subject.to_owned(),
            codes: Vec::new(),
            pairs: Vec::new(),
            generation: 0,
            is_revoked: false,
            is_ended: false,
        };
        Self { world, client, browser: world.browser(), life, lost: 0, begun_anew: 0 }
    }

    /// The client registers itself: what is presented in vain is limited by client.
    pub(crate) async fn register(&mut self) {
        let mut client = self.client.clone();
        let registration = client.registration();
        let answer = self.answered(async || client.register(&registration).await).await.0;
        assert_eq!(answer.status(), 201, "{answer:?}");
        client.client_id().clone_into(&mut self.life.client_id);
        self.client = client;
    }

    /// Logs in, and begins anew as often as a user has to.
    pub(crate) async fn log_in(&mut self) {
        while !self.try_to_log_in().await {
            self.begun_anew += 1;
        }
    }

    /// `false`: an answer was lost that nobody can give again.
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
        let mut at_provider = browser.clone().with_stop_at(&format!("{}/callback", self.world.front.url));
        let login = page.press("user", &self.life.subject).expect("the provider's page");
        let callback = at_provider.submit(login).await.and_then(Arrival::left).expect("the provider's answer");
        let (arrival, lost) = self.answered(async || Ok(browser.get(callback.as_str()).await?)).await;
        self.browser = browser;
        let Ok(callback) = arrival.left() else {
            assert!(lost > 0, "it was not answered before");
            return false;
        };
        let code = authorization.code(&callback).expect("a code");
        let client = self.client.clone();
        // Not hung up on: whoever presents a code while it is redeemed ends what it brings.
        let (answer, lost) =
            until_answered(self.world, || PATIENCE, async || client.redeem(&authorization, &code).await).await;
        self.lost += lost;
        self.life.codes.push((authorization, code));
        if answer.status() == 200 {
            self.life.pairs.push(answer);
            return true;
        }
        assert!(lost > 0, "it was not answered before: {answer:?}");
        assert_eq!(answer.error(), Some("invalid_grant"));
        false
    }

    /// Whether the session goes on.
    pub(crate) async fn refresh(&mut self) -> bool {
        let (client, refresh_token) = (self.client.clone(), self.life.newest().refresh_token().to_owned());
        let answer = self.answered(async || client.refresh(&refresh_token).await).await.0;
        if answer.status() == 200 {
            self.life.pairs.push(answer);
            return true;
        }
        // Whether it is true is found out at the end.
        let description = "what the user allowed at the provider has ended";
        assert_eq!((answer.error(), &answer["error_description"]), (Some("invalid_grant"), &description.into()));
        self.life.is_ended = true;
        false
    }

    /// The client revokes what it has.
    pub(crate) async fn revoke(&mut self) {
        let (client, refresh_token) = (self.client.clone(), self.life.newest().refresh_token().to_owned());
        let answer = self.answered(async || client.revoke(&refresh_token).await).await.0;
        assert_eq!(answer.status(), 200, "{answer:?}");
        self.life.is_revoked = true;
    }

    /// Uses one of the access tokens that came.
    pub(crate) async fn call(&mut self, pair: usize) {
        let (network, url) = (self.world.network.clone(), self.world.front.url.clone());
        let token = self.life.pairs[pair].access_token().to_owned();
        let answer = self.answered(async || Ok(tool(&network, &url, WHOAMI, &token).await?)).await.0;
        assert_eq!(answer, (200, serde_json::json!({ "subject": self.life.subject })));
    }

    /// Lets a tool use the user's token at the provider, once, and does not wait for long.
    pub(crate) async fn use_upstream(&mut self) {
        let called = tool(&self.world.network, &self.world.front.url, UPSTREAM, self.life.newest().access_token());
        let Ok(Ok((status, answer))) = timeout(SHORT, called).await else { return self.lost += 1 };
        assert_eq!(status, 200, "{answer}");
        match answer["generation"].as_u64() {
            Some(generation) => {
                assert_eq!(answer["subject"], *self.life.subject, "{answer}");
                self.life.generation = self.life.generation.max(generation);
            }
            None => self.life.is_ended |= answer["reason"] == "grant_ended",
        }
    }

    /// Acts until there is an answer, and hangs up now and then. How often there was none.
    async fn answered<T>(&mut self, act: impl AsyncFnMut() -> Result<T, ClientError>) -> (T, usize) {
        let (answer, lost) = until_answered(self.world, hang_up_after, act).await;
        self.lost += lost;
        (answer, lost)
    }
}

/// Acts until there is an answer, for which `patience` says how long it is waited. How often there was none.
async fn until_answered<T>(
    world: &World,
    patience: impl Fn() -> Duration,
    mut act: impl AsyncFnMut() -> Result<T, ClientError>,
) -> (T, usize) {
    let mut lost = 0;
    let answered = timeout(PATIENCE, async {
        loop {
            world.front.is_open().await;
            match timeout(patience(), act()).await {
                Ok(Ok(answer)) => break answer,
                Ok(Err(ClientError::Network(_) | ClientError::Browser(BrowserError::Network(_)))) | Err(_) => lost += 1,
                Ok(Err(error)) => panic!("{error}"),
            }
        }
    });
    (answered.await.expect("an answer"), lost)
}

/// Now and then a client hangs up while the bridge is at work.
fn hang_up_after() -> Duration {
    if rand::random_ratio(1, 20) { Duration::from_micros(rand::random_range(0..50_000)) } else { PATIENCE }
}

/// The tool that says who is calling.
pub(crate) const WHOAMI: &str = "/mcp";
/// The tool that uses the caller's token at the provider.
pub(crate) const UPSTREAM: &str = "/mcp/upstream";

/// Calls a tool: status, and what it says.
pub(crate) async fn tool(network: &Network, site: &str, path: &str, token: &str) -> Result<(u16, Value), NetworkError> {
    let request = Request::get(format!("{site}{path}")).header("authorization", format!("Bearer {token}"));
    let response = network.send(request.body(Bytes::new()).expect("a request")).await?;
    Ok((response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or_default()))
}
