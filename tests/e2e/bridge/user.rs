//! The user of a browser.

use portcullis_test_support::{Answer, Arrival, Authorization, Browser, Network, OAuthClient};

use crate::harness::Process;

/// A headless browser without cookies.
pub(crate) fn browser() -> Browser {
    Browser::new(Network::new())
}

/// Lets `user` say yes to the client, log in on the pages of oidc-provider or those of the demo, say yes there, and go on to wherever the
/// client is.
pub(crate) async fn log_in(browser: &mut Browser, url: &str, user: &str) -> Arrival {
    // The last is the button of a page that asks nothing else.
    let buttons = [Browser::APPROVE, ("login", user), ("user", user), ("", "")];
    browser.press_through(url, &buttons).await.expect("pages")
}

/// Lets `user` log in wherever `client` says so, until it ends: in lines of `said` and a URL that begins with `start`. What it said.
pub(crate) async fn accompany(
    client: Process,
    (said, start): (&str, &str),
    browser: &mut Browser,
    user: &str,
) -> Vec<String> {
    let mut opened = 0;
    while let Some(rest) = client.line_number(opened, &format!("{said}{start}")).await {
        let page = log_in(browser, &format!("{start}{rest}"), user).await.page().expect("the client listens");
        assert!(page.status().is_success() && page.buttons().is_empty(), "{page:?}: {}", page.text());
        opened += 1;
    }
    client.finished().await
}

/// Lets `user` log in to `client` with a browser of their own. The request, and the code that came of it.
pub(crate) async fn code(client: &OAuthClient, user: &str) -> (Authorization, String) {
    let authorization = client.authorization().expect("an endpoint");
    let mut browser = browser().with_stop_at(client.redirect_uri());
    let answer = log_in(&mut browser, &authorization.url(), user).await.left().expect("an answer");
    let code = authorization.code(&answer).expect("a code");
    (authorization, code)
}

/// The tokens of `user`, who has logged in to `client`.
pub(crate) async fn tokens(client: &OAuthClient, user: &str) -> Answer {
    let (authorization, code) = code(client, user).await;
    let answer = client.redeem(&authorization, &code).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer
}
