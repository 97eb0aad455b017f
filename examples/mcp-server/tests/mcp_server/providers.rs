//! `mode = "bridge"`: the configuration of each vendor, with a fake provider.

use portcullis_testkit::{Endpoint, IdentityProvider, LoginPolicy, Vendor};

use crate::{
    bridge::{call_json, log_in, registered},
    process::Running,
};

/// Returns the section `bridge` for a fake provider of `vendor` that runs at `url`.
fn section(vendor: Vendor, provider: &IdentityProvider, url: &str) -> String {
    let place = match vendor {
        Vendor::Keycloak => format!(
            "provider = \"keycloak\"\nserver_url = \"{url}\"\nrealm = \"test\"\nscopes = [\"openid\", \"offline_access\"]"
        ),
        Vendor::Google => "provider = \"google\"\nscopes = [\"openid\", \"email\"]".to_owned(),
        Vendor::GitHub => "provider = \"github\"\nscopes = [\"user:email\"]".to_owned(),
        Vendor::Atlassian => "provider = \"atlassian\"\nscopes = [\"read:me\", \"offline_access\"]".to_owned(),
        _ => "provider = \"salesforce\"\nhost = \"test.salesforce.com\"\nscopes = [\"openid\", \"refresh_token\"]"
            .to_owned(),
    };
    let named = |(key, endpoint)| format!("{key} = \"{}\"\n", provider.endpoint_url(endpoint));
    let user_info = if vendor == Vendor::GitHub { Endpoint::GitHubUser } else { Endpoint::UserInfo };
    let mut endpoints =
        vec![("authorize", Endpoint::Authorization), ("token", Endpoint::Token), ("userinfo", user_info)];
    if vendor == Vendor::Salesforce {
        endpoints.push(("introspection", Endpoint::Introspection));
    }
    let endpoints = match vendor {
        Vendor::Keycloak => String::new(),
        _ => format!("[bridge.endpoints]\n{}", endpoints.into_iter().map(named).collect::<String>()),
    };
    format!(
        "{place}\nclient_id = \"{}\"\nclient_secret = \"{}\"\n{endpoints}",
        IdentityProvider::CLIENT_ID,
        IdentityProvider::CLIENT_SECRET
    )
}

#[tokio::test]
async fn users_of_each_vendor_log_in_and_tools_call_the_vendor() {
    for vendor in Vendor::ALL {
        let provider = IdentityProvider::of(vendor);
        // The fake provider would send its own issuer identifier, not the vendor's.
        provider.set_login_policy(LoginPolicy::new().without_issuer_parameter());
        let running = provider.serve().await.expect("a port");
        let server = Running::bridge(&section(vendor, &provider, running.url())).await;
        let tokens = log_in(&registered(&server).await, "alice").await;
        let user = call_json(&server, "whoami", tokens.access_token()).await;
        assert!(
            user["profile"]["email"].as_str().is_some_and(|email| email.starts_with("alice")),
            "{vendor:?}: {user}"
        );
        let profile = call_json(&server, "upstream", tokens.access_token()).await;
        assert_eq!(profile["email"], user["profile"]["email"], "{vendor:?}");
    }
}

#[tokio::test]
async fn id_tokens_are_verified_if_the_key_set_is_configured() {
    let provider = IdentityProvider::of(Vendor::Google);
    let running = provider.serve().await.expect("a port");
    let more = |issuer: &str| {
        let section = section(Vendor::Google, &provider, running.url());
        format!("issuer = \"{issuer}\"\n{section}jwks = \"{}\"\n", provider.endpoint_url(Endpoint::KeySet))
    };
    let server = Running::bridge(&more(&provider.issuer())).await;
    let tokens = log_in(&registered(&server).await, "alice").await;
    assert_eq!(call_json(&server, "whoami", tokens.access_token()).await["issuer"], provider.issuer());
    assert_eq!(provider.calls(Endpoint::KeySet), 1);
}
