//! Whoever sits in front of the browser.

use portcullis_testkit::{Browser, Network};

use crate::harness::Process;

/// A browser without a window, which nobody has used.
pub(crate) fn browser() -> Browser {
    Browser::new(Network::new())
}

/// Lets `user` say yes to the client, log in on the pages of oidc-provider, say yes there, and go on to wherever the client is.
pub(crate) async fn log_in(browser: &mut Browser, url: &str, user: &str) {
    // The last is the button of a page that asks nothing else.
    let buttons = [Browser::APPROVE, ("login", user), ("", "")];
    let arrival = browser.press_through(url, &buttons).await.expect("pages");
    let page = arrival.page().expect("the client listens");
    assert!(page.status().is_success() && page.buttons().is_empty(), "{page:?}: {}", page.text());
}

/// Lets `user` log in wherever `client` says (`OPEN <url>`), until it ends. What else it said.
pub(crate) async fn accompany(client: Process, browser: &mut Browser, user: &str) -> Vec<String> {
    let mut opened = 0;
    while let Some(url) = client.line_number(opened, "OPEN ").await {
        log_in(browser, &url, user).await;
        opened += 1;
    }
    client.finished().await
}
