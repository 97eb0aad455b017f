//! Logins of our client at our own bridge and at authorization servers that are not ours. Each token expires twice, and each time 20
//! callers need the next one: one exchange.

use std::{collections::HashSet, net::Ipv4Addr, time::Duration};

use axum::{Json, Router, routing::get};
use futures_util::future::join_all;
use portcullis::egress::{Egress, EgressConfig};
use portcullis_client::{AccessToken, Issuer, McpLogin, ResourceUri, ScopeSet, TokenManager, UserAgent};
use portcullis_oauth::{
    ClientAuthentication,
    registration::{ClientDocumentUrl, ClientMetadata},
};
use portcullis_test_support::Browser;
use serde_json::json;
use tokio::{net::TcpListener, time::sleep};
use url::Url;

use crate::{
    bridge::{
        server::{APPLICATION, Place, Site},
        user::{browser, log_in},
    },
    harness::{DjangoOauthToolkit, Format, Glewlwyd, Provider, REDIRECT_URI},
};

/// How many seconds an access token lives.
const LIFE: u32 = 2;
const CALLERS: usize = 20;

/// The metadata of an MCP server whose authorization server is `issuer`, on a socket.
pub(crate) async fn resource(issuer: &str) -> ResourceUri {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("bound"));
    let metadata = json!({"resource": url, "authorization_servers": [issuer]});
    let app = Router::new().route("/.well-known/oauth-protected-resource/mcp", get(async || Json(metadata)));
    tokio::spawn(async { axum::serve(listener, app).await });
    ResourceUri::new(&url).expect("a resource")
}

pub(crate) fn egress() -> Egress {
    Egress::new(EgressConfig::new().with_loopback_allowed().with_timeout(Duration::from_secs(20))).expect("an egress")
}

pub(crate) fn scopes(text: &str) -> ScopeSet {
    ScopeSet::parse(text).expect("scopes")
}

/// The way of a user through the pages of an authorization server.
#[derive(Clone, Default)]
pub(crate) struct User {
    /// Where the user is signed in already, and by which cookies.
    cookies: Vec<(String, String)>,
    /// What the user adds to the authorization request.
    parameters: Vec<(&'static str, &'static str)>,
    buttons: Vec<(&'static str, &'static str)>,
}

impl User {
    /// At oidc-provider without pages, which logs in the user who is named.
    pub(crate) fn alice() -> Self {
        Self { parameters: vec![("login_hint", "alice")], ..Self::default() }
    }

    pub(crate) fn agent(self) -> UserAgent {
        UserAgent::custom(REDIRECT_URI, move |url| {
            let user = self.clone();
            async move {
                let url = Url::parse_with_params(&url, user.parameters)?;
                let mut browser: Browser = browser().with_stop_at(REDIRECT_URI);
                for (origin, cookie) in user.cookies {
                    assert!(browser.set_cookie(&origin, &cookie));
                }
                Ok(browser.press_through(url.as_str(), &user.buttons).await?.left()?.into())
            }
        })
    }
}

/// A manager of the tokens of a configured client.
async fn manager(issuer: &str, (id, secret): (&str, &str), asked: &str, user: User) -> TokenManager {
    let login = McpLogin::new(resource(issuer).await, ClientMetadata::new("Test client"), user.agent(), egress())
        .with_client(Issuer::new(issuer).expect("an issuer"), ClientAuthentication::basic(id, secret.into()))
        .with_scopes(scopes(asked));
    TokenManager::builder(login).build()
}

/// Logs in, and lets the token expire twice.
async fn log_in_and_refresh_twice(manager: &TokenManager) -> AccessToken {
    let mut last = manager.login(&ScopeSet::default()).await.expect("a login");
    for _ in 0..2 {
        sleep(Duration::from_secs(LIFE.into()) + Duration::from_millis(100)).await;
        let tokens: Vec<_> = join_all((0..CALLERS).map(|_| manager.acquire())).await;
        let tokens: Vec<_> = tokens.into_iter().map(|token| token.expect("a token")).collect();
        let texts: HashSet<_> = tokens.iter().map(|token| token.expose_secret().to_owned()).collect();
        assert_eq!((texts.len(), texts.contains(last.expose_secret())), (1, false));
        assert_eq!(tokens[0].generation(), last.generation().next(), "one exchange");
        last = tokens[0].clone();
    }
    assert_eq!(manager.shutdown().await, 0);
    last
}

#[tokio::test]
async fn a_user_of_our_bridge_stays_logged_in() {
    let place = Place::new();
    let provider = Provider::start_with_pages(&place.callback(), 300).await;
    let site = place.open(&provider.issuer, APPLICATION).await;
    let agent = UserAgent::custom(REDIRECT_URI, |url| async move {
        let mut browser = browser().with_stop_at(REDIRECT_URI);
        Ok(log_in(&mut browser, &url, "alice").await.left()?.into())
    });
    let document = ClientDocumentUrl::new(&Site::document("story")).expect("a URL");
    let url = ResourceUri::new(&site.url).expect("a resource");
    let login = McpLogin::new(url, ClientMetadata::new("Test client"), agent, egress()).with_client_document(document);
    log_in_and_refresh_twice(&TokenManager::builder(login).build()).await;
    assert_eq!(site.bridge.shutdown().await, 0);
}

#[tokio::test]
async fn a_user_of_oidc_provider_stays_logged_in() {
    let provider = Provider::start_with(Format::Jwt, 0, LIFE).await;
    let client = ("upstream", "upstream-secret");
    let manager = manager(&provider.issuer, client, "openid mcp:read", User::alice()).await;
    log_in_and_refresh_twice(&manager).await;
    assert_eq!((provider.count("POST /token 200").await, provider.count("POST /token 4").await), (3, 0));
}

#[tokio::test]
async fn a_user_of_glewlwyd_stays_logged_in() {
    let provider = Glewlwyd::start(REDIRECT_URI, LIFE).await;
    let cookies = provider.sign_in().await;
    let cookie = |(name, value): (_, _)| (provider.issuer.clone(), format!("{name}={value}; Path=/"));
    let user = User {
        cookies: cookies.into_iter().map(cookie).collect(),
        // The click on the page that follows a login, and what Glewlwyd demands of each request for the scope `openid`.
        parameters: vec![("g_continue", ""), ("nonce", "of the test")],
        buttons: Vec::new(),
    };
    let client = (Glewlwyd::CLIENT_ID, Glewlwyd::CLIENT_SECRET);
    log_in_and_refresh_twice(&manager(&provider.issuer, client, "openid", user).await).await;
}

#[tokio::test]
async fn a_user_of_django_oauth_toolkit_stays_logged_in() {
    let provider = DjangoOauthToolkit::start(REDIRECT_URI, LIFE).await;
    let user = User { buttons: vec![("allow", "Authorize")], ..User::alice() };
    let client = ("upstream", "upstream-secret");
    log_in_and_refresh_twice(&manager(&provider.issuer, client, "mcp:read", user).await).await;
    assert_eq!((provider.count("POST /o/token/ 200"), provider.count("POST /o/token/ 4")), (3, 0));
}
