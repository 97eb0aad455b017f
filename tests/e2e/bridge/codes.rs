//! Codes are redeemed for one pair of tokens, also under concurrency and across restarts of the server.

use futures_util::future::join_all;
use portcullis_test_support::Browser;
use reqwest::StatusCode;
use serde_json::json;

use super::{
    server::{APPLICATION, Place, Site},
    user::{browser, code},
};
use crate::harness::{Provider, call};

async fn start() -> (Provider, Site) {
    let place = Place::new();
    let provider = Provider::start_with_pages(&place.callback(), 300).await;
    let site = place.open(&provider.issuer, APPLICATION).await;
    (provider, site)
}

async fn status(site: &Site, token: &str) -> StatusCode {
    call(&site.url, "upstream", &json!({})).bearer_auth(token).send().await.expect("an answer").status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b13_a_code_that_is_redeemed_several_times_at_once_is_good_for_one_pair_of_tokens_and_a_later_use_ends_it() {
    let (provider, site) = start().await;
    let client = site.client().await;
    let (authorization, code) = code(&client, "alice").await;
    let at_once = join_all((0..8).map(async |_| client.redeem(&authorization, &code).await.expect("an answer"))).await;
    assert!(at_once.iter().all(|answer| answer.access_token() == at_once[0].access_token()), "{at_once:?}");
    assert_eq!(status(&site, at_once[0].access_token()).await, StatusCode::OK);

    let refreshed = client.refresh(at_once[0].refresh_token()).await.expect("an answer");
    let copy = client.redeem(&authorization, &code).await.expect("an answer");
    assert_eq!(copy.error(), Some("invalid_grant"), "the client had its tokens");
    assert_eq!(status(&site, refreshed.access_token()).await, StatusCode::UNAUTHORIZED);
    site.bridge.shutdown().await;
    assert_eq!(provider.count("POST /token/revocation 200").await, 1, "the grant at the provider has ended, too");
}

#[tokio::test]
async fn b14_a_restart_at_any_point_of_a_login_leads_to_a_token_that_works() {
    let (_provider, mut site) = start().await;
    let client = site.client().await;

    // While the user looks at the consent page, and while they are at the provider.
    let authorization = client.authorization().expect("an endpoint");
    let mut browser = browser().with_stop_at(client.redirect_uri());
    let page = browser.get(&authorization.url()).await.and_then(|arrival| arrival.page()).expect("a page");
    site.restart().await;
    let (name, value) = Browser::APPROVE;
    let page = browser.press(&page, name, value).await.and_then(|arrival| arrival.page()).expect("a page");
    site.restart().await;
    let page = browser.submit(page.press("login", "alice").expect("a login page")).await.expect("an answer");
    let page = page.page().expect("a page");
    let answer = browser.press(&page, "", "").await.and_then(|arrival| arrival.left()).expect("an answer");
    let code = authorization.code(&answer).expect("a code");

    // While the client has the code, when it has tokens, and when it has others.
    site.restart().await;
    let first = client.redeem(&authorization, &code).await.expect("an answer");
    site.restart().await;
    assert_eq!(status(&site, first.access_token()).await, StatusCode::OK);
    let second = client.refresh(first.refresh_token()).await.expect("an answer");
    site.restart().await;
    assert_eq!(status(&site, second.access_token()).await, StatusCode::OK);
    let again = client.refresh(first.refresh_token()).await.expect("an answer");
    assert_eq!(again.refresh_token(), second.refresh_token(), "the answer might have been lost with the process");
}

#[tokio::test]
async fn b14_an_unusable_token_is_never_handed_out() {
    let (provider, site) = start().await;
    // The user says no at the provider.
    let client = site.client().await;
    let authorization = client.authorization().expect("an endpoint");
    let mut user = browser().with_stop_at(client.redirect_uri());
    let (name, value) = Browser::APPROVE;
    let page = user.get(&authorization.url()).await.and_then(|arrival| arrival.page()).expect("a page");
    let page = user.press(&page, name, value).await.and_then(|arrival| arrival.page()).expect("a login page");
    let cancel = page.links().into_iter().find(|link| link.ends_with("/abort")).expect("a way out");
    let cancel = page.url().join(&cancel).expect("a URL");
    let answer = user.get(cancel.as_str()).await.and_then(|arrival| arrival.left()).expect("an answer");
    let said: Vec<_> = answer.query_pairs().filter(|(name, _)| name == "error" || name == "code").collect();
    assert_eq!(said, [("error".into(), "access_denied".into())]);

    // The provider is gone when its code is to be redeemed.
    let authorization = client.authorization().expect("an endpoint");
    let page = user.press_through(&authorization.url(), &[Browser::APPROVE, ("login", "alice")]).await.expect("pages");
    let page = page.page().expect("the page that asks for consent");
    let agreement = page.press("", "").expect("a button");
    let mut elsewhere = user.clone().with_stop_at(&format!("{}/callback", site.issuer));
    let back = elsewhere.submit(agreement).await.and_then(|arrival| arrival.left()).expect("the way back");
    provider.kill().await;
    let answer = user.get(back.as_str()).await.and_then(|arrival| arrival.left()).expect("an answer");
    let said: Vec<_> = answer.query_pairs().filter(|(name, _)| name == "error" || name == "code").collect();
    assert_eq!(said, [("error".into(), "temporarily_unavailable".into())]);
}
