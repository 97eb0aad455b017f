//! The pages: what they show of the operator, of the client, and of an error.

use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use portcullis_bridge::Branding;
use portcullis_test_support::{LogCapture, OAuthClient};

use crate::{
    consents,
    fixture::{APP, DOCUMENT, DOCUMENT_URI, Fixture, ISSUER, OTHER_RESOURCE, REGISTERED_URI},
};

#[tokio::test(start_paused = true)]
async fn the_page_has_the_operators_name_logo_color_and_descriptions() {
    let branding = Branding::new()
        .with_logo(b"\x89PNG\r\n\x1a\n")
        .and_then(|branding| branding.with_color("#7C3AED"))
        .expect("a logo and a colour")
        .with_scope_description("mcp:read", "Read <your> files");
    let fixture = Fixture::with(|config| config.with_resource_name("Acme & Files").with_branding(branding)).await;
    let page = consents::page(&mut fixture.browser(), &fixture.site().await).await;
    consents::cannot_be_misused(page.headers());
    let policy = page.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.contains(" img-src data:;"), "{policy}");
    let text = page.text();
    for shown in [
        "to access Acme &#38; Files?",
        "src=\"data:image/png;base64,iVBORw0KGgo=\"",
        "--brand: #7c3aed; --on-brand: #ffffff;",
        "Read &#60;your&#62; files <code>mcp:read</code>",
        "<li><code>mcp:write</code></li>",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    // The policy allows the style sheet by its hash.
    let sheet =
        &text[text.find("<style>").expect("a style") + "<style>".len()..text.find("</style>").expect("its end")];
    let hash = BASE64_STANDARD.encode(digest::digest(&digest::SHA256, sheet.as_bytes()));
    assert!(policy.contains(&format!("'sha256-{hash}'")), "{policy}");

    // Another resource has another name.
    let other = fixture.site().await.with_resource(OTHER_RESOURCE);
    let text = consents::page(&mut fixture.browser(), &other).await.text();
    assert!(text.contains("to access reports.example.test?") && !text.contains("Acme"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_page_has_one_warning_at_most() {
    let fixture = Fixture::new().await;
    for (client, warnings) in [
        (fixture.site().await, 0),
        (fixture.client(DOCUMENT, DOCUMENT_URI).await, 0),
        (fixture.registered().await, 1),
        (fixture.client(APP, OAuthClient::REDIRECT_URI).await, 1),
    ] {
        let text = consents::page(&mut fixture.browser(), &client).await.text();
        assert_eq!(text.matches("class=\"caution\"").count(), warnings, "{text}");
    }
    let mut app = fixture.client("", OAuthClient::REDIRECT_URI).await;
    app.register(&app.registration()).await.expect("registered");
    let text = consents::page(&mut fixture.browser(), &app).await.text();
    assert_eq!(text.matches("class=\"caution\"").count(), 1, "{text}");
    assert!(text.contains("Its name is not verified. Any program on this device can impersonate it."), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_authorization_request_that_is_rejected_for_the_clients_reason_is_one_line_of_the_log() {
    let fixture = Fixture::new().await;
    let registered = fixture.registered().await;
    let id = registered.client_id();
    for (client, parameter, parts) in [
        (
            fixture.client(APP, "http://127.0.0.1:1/other?x=1").await,
            None,
            &["http://127.0.0.1:1/other?x=1", OAuthClient::REDIRECT_URI, "bridge.clients[].redirect_uris"][..],
        ),
        (fixture.client(id, "https://other.example.test/cb").await, None, &[id, "other.example.test", REGISTERED_URI]),
        (fixture.client("client_gone", REGISTERED_URI).await, None, &["client_gone", "bridge.clients"]),
        (
            fixture.client("http://vendor.example.test/client.json", DOCUMENT_URI).await,
            None,
            &["not a public https URL"],
        ),
        (fixture.site().await, Some(("response_type", "token")), &["site", "unsupported_response_type"]),
        (fixture.site().await, Some(("resource", "https://other.example.test")), &["site", "invalid_target"]),
    ] {
        let request = client.authorization().expect("an endpoint");
        let request = parameter.into_iter().fold(request, |request, (name, value)| request.with(name, value));
        let log = LogCapture::of_this_thread();
        let _refused = fixture.browser().get(&request.url()).await.expect("a response");
        let text = log.text();
        let lines: Vec<_> = text.lines().filter(|line| line.contains(" INFO portcullis_bridge")).collect();
        let [line] = &lines[..] else { panic!("one line: {text}") };
        assert!(line.trim_start().starts_with("INFO"), "{line}");
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(!line.contains(request.state()), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_page_names_a_next_step_and_the_server() {
    let branding = Branding::new()
        .with_logo(b"\x89PNG\r\n\x1a\n")
        .and_then(|branding| branding.with_color("#7C3AED"))
        .expect("a logo and a colour");
    let fixture = Fixture::with(|config| config.with_resource_name("Acme & Files").with_branding(branding)).await;
    for path in ["/authorize", "/callback?state=unknown&code=x"] {
        let wrong =
            fixture.browser().get(&format!("{ISSUER}{path}")).await.expect("a response").page().expect("a page");
        consents::cannot_be_misused(wrong.headers());
        let text = wrong.text();
        for shown in [
            "connect again from your application",
            "Server: Acme &#38; Files",
            "src=\"data:image/png;base64,iVBORw0KGgo=\"",
            "--brand: #7c3aed;",
        ] {
            assert!(text.contains(shown), "{shown}: {text}");
        }
    }
}
