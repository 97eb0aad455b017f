//! A provider with a login page, in memory, and this server as its client.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Uri};
use portcullis_core::{Issuer, ScopeSet};
use portcullis_egress::Egress;
use portcullis_oauth::{
    ClientAuthentication, CodeVerifier,
    providers::{AuthorizationRequest, AuthorizationResponse, Provider},
};
use portcullis_testkit::{Endpoint, IdentityProvider, LoginPolicy, TestClock, Vendor};
use portcullis_upstream::{Login, LoginError, ProviderClient};
use secrecy::{ExposeSecret as _, SecretString};
use tower::ServiceExt as _;

pub(crate) const NONCE: &str = "n-0S6_WzA2Mj";
pub(crate) const SCOPES: &str = "openid email offline_access read:me";
const REDIRECT: &str = "https://mcp.example.test/callback";
const STATE: &str = "st4te";

/// The vendors, and one that keeps to the standards.
pub(crate) const VENDORS: [Option<Vendor>; 6] = [
    None,
    Some(Vendor::Keycloak),
    Some(Vendor::Google),
    Some(Vendor::GitHub),
    Some(Vendor::Atlassian),
    Some(Vendor::Salesforce),
];

pub(crate) struct World {
    pub(crate) idp: IdentityProvider,
    pub(crate) client: ProviderClient,
}

impl World {
    /// Logs every user in as Alice.
    pub(crate) fn of(vendor: Option<Vendor>) -> Self {
        let app = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
        Self::with(vendor, app, |provider| provider)
    }

    pub(crate) fn with(
        vendor: Option<Vendor>,
        app: ClientAuthentication,
        change: impl FnOnce(Provider) -> Provider,
    ) -> Self {
        let clock = Arc::new(TestClock::new());
        let idp = vendor.map_or_else(IdentityProvider::new, IdentityProvider::of).with_clock(clock.clone());
        // The others are where they are told to be.
        let idp = if vendor == Some(Vendor::Google) { idp.with_issuer("https://accounts.google.com") } else { idp };
        idp.set_login_policy(LoginPolicy::new().with_auto_login("alice"));
        let named = |mut request: Request<Bytes>| {
            // GitHub wants to know who is calling.
            request.headers_mut().insert("user-agent", http::HeaderValue::from_static("portcullis"));
            request
        };
        let egress = Egress::from_service(idp.clone().map_request(named));
        let client = ProviderClient::new(change(provider(vendor, &idp)), app, egress).with_clock(clock);
        Self { idp, client }
    }

    /// Alice's browser goes to the provider, and comes back with a code.
    pub(crate) async fn code(&self, scopes: &str) -> SecretString {
        let (verifier, scopes) = (verifier(), ScopeSet::parse(scopes).expect("scopes"));
        let asked = AuthorizationRequest::new(IdentityProvider::CLIENT_ID, REDIRECT, STATE, &verifier);
        let url = self.client.provider().authorization_url(&asked.with_scopes(&scopes).with_nonce(NONCE));
        let request = Request::get(url).body(Bytes::new()).expect("request");
        let answer = self.idp.clone().oneshot(request).await.expect("an answer");
        let location = answer.headers().get("location").expect("the way back").to_str().expect("text");
        let (callback, query) = location.split_once('?').expect("a query");
        assert_eq!(callback, REDIRECT);
        let response = AuthorizationResponse::parse(query).expect("a response");
        assert_eq!(response.state().expose_secret(), STATE);
        self.client.provider().check_issuer(response.issuer()).expect("of this provider");
        response.into_code().expect("a code")
    }

    pub(crate) async fn redeem(&self, code: &SecretString, scopes: &str) -> Result<Login, LoginError> {
        let asked = ScopeSet::parse(scopes).expect("scopes");
        self.client.login(code, REDIRECT, &verifier(), NONCE, &asked).await
    }

    pub(crate) async fn log_in(&self) -> Result<Login, LoginError> {
        self.redeem(&self.code(SCOPES).await, SCOPES).await
    }

    pub(crate) fn name(&self) -> &'static str {
        self.client.provider().name()
    }

    /// How many times tokens were taken back, when all that is under way has been done.
    pub(crate) async fn revocations(&self) -> usize {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        self.idp.calls(Endpoint::Revocation)
    }
}

fn verifier() -> CodeVerifier {
    CodeVerifier::new([7; 32])
}

/// The vendor's provider, with the endpoints of `idp`.
fn provider(vendor: Option<Vendor>, idp: &IdentityProvider) -> Provider {
    let at = |endpoint| idp.endpoint_url(endpoint).parse::<Uri>().expect("URI");
    let issuer = Issuer::new(&idp.issuer()).expect("issuer");
    let provider = match vendor {
        // Its endpoints follow from its URL.
        Some(Vendor::Keycloak) => return Provider::keycloak("https://idp.example.test", "test").expect("keycloak"),
        Some(Vendor::Google) => Provider::google(),
        Some(Vendor::GitHub) => {
            let applications = "https://idp.example.test/applications".parse().expect("URI");
            return Provider::github()
                .with_issuer(issuer)
                .with_authorization_endpoint(at(Endpoint::Authorization))
                .with_token_endpoint(at(Endpoint::Token))
                .with_userinfo_endpoint(at(Endpoint::GitHubUser))
                .with_revocation_endpoint(applications);
        }
        Some(Vendor::Atlassian) => {
            return Provider::atlassian()
                .with_authorization_endpoint(at(Endpoint::Authorization))
                .with_token_endpoint(at(Endpoint::Token))
                .with_userinfo_endpoint(at(Endpoint::UserInfo));
        }
        Some(Vendor::Salesforce) => Provider::salesforce("idp.example.test")
            .expect("salesforce")
            .with_introspection_endpoint(at(Endpoint::Introspection)),
        // Its keys are where its metadata says.
        _ => {
            return Provider::oidc_at(issuer, at(Endpoint::Authorization), at(Endpoint::Token))
                .with_userinfo_endpoint(at(Endpoint::UserInfo))
                .with_revocation_endpoint(at(Endpoint::Revocation));
        }
    };
    provider
        .with_authorization_endpoint(at(Endpoint::Authorization))
        .with_token_endpoint(at(Endpoint::Token))
        .with_userinfo_endpoint(at(Endpoint::UserInfo))
        .with_revocation_endpoint(at(Endpoint::Revocation))
        .with_jwks_uri(at(Endpoint::KeySet))
}
