//! A login at every vendor.

use http::Uri;
use portcullis_oauth::providers::Provider;
use portcullis_testkit::{Endpoint, IdentityProvider, Vendor};

use crate::fixture::{Fixture, config};

const IDP: &str = "https://idp.example.test";

/// Returns the vendor's provider, which `idp` simulates.
fn provider(vendor: Vendor, idp: &IdentityProvider) -> Provider {
    let at = |endpoint| idp.endpoint_url(endpoint).parse::<Uri>().expect("URI");
    let provider = match vendor {
        // Its endpoints are derived from its URL.
        Vendor::Keycloak => return Provider::keycloak(IDP, "test").expect("keycloak"),
        Vendor::GitHub => {
            let applications = format!("{IDP}/applications").parse().expect("URI");
            return Provider::github()
                .with_authorization_endpoint(at(Endpoint::Authorization))
                .with_token_endpoint(at(Endpoint::Token))
                .with_userinfo_endpoint(at(Endpoint::GitHubUser))
                .with_revocation_endpoint(applications);
        }
        Vendor::Atlassian => {
            return Provider::atlassian()
                .with_authorization_endpoint(at(Endpoint::Authorization))
                .with_token_endpoint(at(Endpoint::Token))
                .with_userinfo_endpoint(at(Endpoint::UserInfo));
        }
        Vendor::Google => Provider::google(),
        _ => Provider::salesforce("idp.example.test")
            .expect("salesforce")
            .with_introspection_endpoint(at(Endpoint::Introspection)),
    };
    provider
        .with_authorization_endpoint(at(Endpoint::Authorization))
        .with_token_endpoint(at(Endpoint::Token))
        .with_userinfo_endpoint(at(Endpoint::UserInfo))
        .with_revocation_endpoint(at(Endpoint::Revocation))
        .with_jwks_uri(at(Endpoint::KeySet))
}

#[tokio::test(start_paused = true)]
async fn users_log_in_at_every_vendor() {
    for (vendor, called) in [
        (Vendor::Keycloak, "idp.example.test"),
        (Vendor::Google, "Google"),
        (Vendor::GitHub, "GitHub"),
        (Vendor::Atlassian, "Atlassian"),
        (Vendor::Salesforce, "Salesforce"),
    ] {
        let idp = IdentityProvider::of(vendor);
        let idp = if vendor == Vendor::Google { idp.with_issuer("https://accounts.google.com") } else { idp };
        let provider = provider(vendor, &idp);
        let scopes = "openid email offline_access read:me".parse().expect("scopes");
        let fixture = Fixture::at(config().with_upstream_scopes(scopes), idp, provider);
        let client = fixture.site().await;
        let request = client.authorization().expect("a request");
        let mut browser = fixture.browser();
        let page = browser.get(&request.url()).await.expect("a response").page().expect("a page");
        assert!(page.text().contains(called), "{called}");
        let left = browser.log_in(&request.url(), "alice").await.expect(called).left().expect(called);
        let code = request.code(&left).expect(called);
        let tokens = client.redeem(&request, &code).await.expect("tokens");
        let user = fixture.verify(tokens.access_token()).await.expect("a user");
        assert_eq!(user.email(), Some("alice@example.test"), "{called}");
        for claim in ["aud", "azp", "exp", "jti", "scope", "typ"] {
            assert_eq!(
                user.claims().get(claim),
                None,
                "{called}: `{claim}` describes the provider's token, not the user"
            );
        }
        assert!(user.upstream().access_token().await.is_ok(), "{called}");
    }
}
