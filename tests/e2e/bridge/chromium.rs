//! A real browser, with and without scripts: what users see, and what pages of others cannot make of it.
//!
//! The stories themselves are in `tests/node/chromium`.

use std::{fs, path::Path};

use super::server::{APPLICATION, GLEWLWYD, Place, Site};
use crate::harness::{Glewlwyd, Process, Provider, free_port, script};

/// Runs a story in Chromium, whose users log in at a provider on another site.
async fn story(name: &str, place: Place, pictures: &Path) {
    let provider = Provider::start_with_pages_at(("localhost", 0), &place.callback(), 300).await;
    let port = place.port();
    let site = place.open(&provider.issuer, APPLICATION).await;
    run(name, &site, port, pictures).await;
}

async fn run(name: &str, site: &Site, port: u16, pictures: &Path) {
    let mut command = script("chromium.mjs");
    command.arg(name).env("SITE", &site.issuer).env("PORT", port.to_string()).env("CLIENT", Site::document("Notes"));
    command.env("PICTURES", pictures).env("PASSWORD", Glewlwyd::PASSWORD);
    let lines = Process::start(&mut command).finished().await;
    assert_eq!(lines.last().map(String::as_str), Some("DONE"), "{lines:#?}");
}

async fn on_loopback(name: &str) {
    story(name, Place::new(), Path::new("")).await;
}

#[tokio::test]
async fn a_user_logs_in_with_scripts_and_without_and_may_reload_and_go_back() {
    on_loopback("login").await;
}

#[tokio::test]
async fn no_page_is_shown_in_a_frame_of_another_site() {
    on_loopback("framing").await;
}

#[tokio::test]
async fn a_form_on_another_site_cannot_consent_for_a_user() {
    on_loopback("forgery").await;
}

#[tokio::test]
async fn a_click_that_was_meant_for_something_else_says_yes_to_nothing() {
    on_loopback("double-click").await;
}

#[tokio::test]
async fn each_of_two_users_is_asked_and_a_stolen_answer_logs_no_user_in() {
    on_loopback("two_users").await;
}

#[tokio::test]
async fn a_client_with_a_site_is_remembered_only_for_the_user_who_consented() {
    story("remembered", Place::called("https://mcp.example.test", free_port()), Path::new("")).await;
}

#[tokio::test]
async fn a_keyboard_is_enough() {
    on_loopback("keyboard").await;
}

#[tokio::test]
async fn every_page_is_accessible_in_light_and_dark_on_a_desk_and_on_a_phone() {
    on_loopback("accessibility").await;
}

#[tokio::test]
async fn over_https_cookies_are_of_this_host_alone() {
    story("secure", Place::called("https://mcp.example.test", free_port()), Path::new("")).await;
}

/// Those in `docs/images` were made by this.
#[tokio::test]
async fn pictures_are_taken_of_every_page() {
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    fs::create_dir_all(&pictures).expect("a folder");
    story("pictures", Place::called("https://mcp.example.test", free_port()), &pictures).await;
    for name in ["consent", "leaving", "error"] {
        for window in ["desktop", "phone"] {
            let picture = fs::metadata(pictures.join(format!("{name}-{window}.png"))).expect("a picture");
            assert!(picture.len() > 2_000, "{name}-{window} shows nothing");
        }
    }
}

#[tokio::test]
async fn a_user_logs_in_on_the_pages_of_a_second_provider() {
    let place = Place::new();
    let provider = Glewlwyd::start(&place.callback(), 300).await;
    let port = place.port();
    let site = place.open(&provider.issuer, GLEWLWYD).await;
    run("second-provider", &site, port, Path::new("")).await;
}
