//! Configured clients.

use portcullis_bridge::{BridgeConfig, Client, ClientMetadataDocumentPolicy, RedirectUri};
use portcullis_core::{Issuer, ResourceUri};

use crate::{
    document_host::{CLIENT, REDIRECT_URI},
    fixture::{Fixture, Outcome},
};

fn redirect_uris() -> Vec<RedirectUri> {
    vec![RedirectUri::new(REDIRECT_URI).expect("a redirect URI")]
}

#[tokio::test(start_paused = true)]
async fn as_01_a_configured_client_is_known_and_is_in_no_store() {
    let fixture =
        Fixture::with(|config| config.with_client(Client::public("app", "App", redirect_uris())).expect("a client"));
    assert_eq!(fixture.outcome("app").await, Outcome::Known);
    assert_eq!(fixture.outcome("App").await, Outcome::Refused, "ids are compared as they are");
    assert!(fixture.sends_codes_to("app", REDIRECT_URI).await);
    assert_eq!(fixture.stored().await, 0);
}

#[tokio::test(start_paused = true)]
async fn as_14_a_client_that_is_pinned_to_its_url_needs_no_document() {
    let pinned = Client::public(CLIENT, "App", redirect_uris());
    let fixture = Fixture::with(|config| {
        config.with_documents(ClientMetadataDocumentPolicy::disabled()).with_client(pinned).expect("a client")
    });
    fixture.host.answers(403);
    assert!(fixture.sends_codes_to(CLIENT, REDIRECT_URI).await);
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known);
    assert_eq!(fixture.host.calls(), 0);
}

#[test]
fn a_client_that_could_not_be_used_or_told_from_another_is_not_configured() {
    let config = || {
        let resource = ResourceUri::new("https://mcp.example.test/mcp").expect("a resource");
        BridgeConfig::new(Issuer::new("https://mcp.example.test").expect("an issuer"), resource)
    };
    let refusal = |client: Client| config().with_client(client).expect_err("an invalid client").to_string();
    assert!(refusal(Client::public("", "App", redirect_uris())).contains("visible ASCII"));
    assert!(refusal(Client::public("an app", "App", redirect_uris())).contains("visible ASCII"));
    assert!(refusal(Client::public("app", "App", Vec::new())).contains("redirect URI"));
    assert!(refusal(Client::confidential("app", "App", &"".into(), redirect_uris())).contains("empty"));
    let signing = Client::public("app", "App", redirect_uris()).with_jwks_uri("jwks.json");
    assert!(refusal(signing).contains("URL of its key set"));

    let once = config().with_client(Client::public("app", "App", redirect_uris())).expect("a client");
    let twice = once.with_client(Client::confidential("app", "Other", &"secret".into(), redirect_uris()));
    assert_eq!(twice.expect_err("a duplicate").to_string(), "the client \"app\" is configured twice");
}
