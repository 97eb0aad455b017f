//! mode = "bridge": each vendor by configuration, with endpoints of a stand-in.

use portcullis_testkit::{Endpoint, IdentityProvider, LoginPolicy, Vendor};

use crate::{
    bridge::{log_in, registered, told},
    process::Running,
};

/// The section `bridge` for a stand-in of `vendor` that runs at `url`.
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
async fn users_of_every_vendor_get_in_and_tools_call_the_vendor() {
    for vendor in Vendor::ALL {
        let provider = IdentityProvider::of(vendor);
        // The stand-in would name itself, and not the vendor.
        provider.set_login_policy(LoginPolicy::new().without_issuer_parameter());
        let running = provider.serve().await.expect("a port");
        let server = Running::bridge(&section(vendor, &provider, running.url())).await;
        let tokens = log_in(&registered(&server).await, "alice").await;
        let user = told(&server, "whoami", tokens.access_token()).await;
        assert!(
            user["profile"]["email"].as_str().is_some_and(|email| email.starts_with("alice")),
            "{vendor:?}: {user}"
        );
        let profile = told(&server, "upstream", tokens.access_token()).await;
        assert_eq!(profile["email"], user["profile"]["email"], "{vendor:?}");
    }
}

#[tokio::test]
async fn id_tokens_are_verified_wherever_it_is_said_who_signs_them() {
    let provider = IdentityProvider::of(Vendor::Google);
    let running = provider.serve().await.expect("a port");
    let more = |issuer: &str| {
        let section = section(Vendor::Google, &provider, running.url());
        format!("issuer = \"{issuer}\"\n{section}jwks = \"{}\"\n", provider.endpoint_url(Endpoint::KeySet))
    };
    let server = Running::bridge(&more(&provider.issuer())).await;
    let tokens = log_in(&registered(&server).await, "alice").await;
    assert_eq!(told(&server, "whoami", tokens.access_token()).await["issuer"], provider.issuer());
    assert_eq!(provider.calls(Endpoint::KeySet), 1);
}
