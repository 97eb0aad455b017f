//! Whoever sits in front of the browser.

use portcullis_testkit::{Arrival, Browser, Network};

use crate::harness::Process;

/// A browser without a window, which nobody has used.
pub(crate) fn browser() -> Browser {
    Browser::new(Network::new())
}

/// Lets `user` say yes to the client, log in on the pages of oidc-provider, say yes there, and go on to wherever the client is.
pub(crate) async fn log_in(browser: &mut Browser, url: &str, user: &str) -> Arrival {
    // The last is the button of a page that asks nothing else.
    let buttons = [Browser::APPROVE, ("login", user), ("", "")];
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
