//! [`check_online`]: compares a configuration with the metadata, the keys and the answers of the servers that it names.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use portcullis::egress::Egress;
use portcullis::oauth::{
    ClientAuthentication, CodeVerifier, ProtocolError, introspection,
    jwt::{Algorithm, KeySet},
    metadata::{self, AuthorizationServerMetadata},
    providers::{Pkce, Provider, Vendor},
    revocation::RevokedTokens,
};
use portcullis::upstream::{LoginErrorKind, ProviderClient};
use portcullis::{
    BearerToken, Issuer, ScopeSet,
    types::{Reason, error_chain},
};
use tower::ServiceExt as _;

use crate::config::{BridgeSettings, Config, IssuerSettings, KnownProvider, ModeSettings, Verification};
use crate::finding::{Finding, Findings, MAKE_REACHABLE, shown, unreachable};
use crate::{bridge, resource_server};

/// Compares `config` with the servers that it names: their metadata and keys, whether the egress guard permits to reach them, and whether
/// they accept the credentials of this server. It introspects a random token, and redeems a random code.
///
/// The result is empty if everything agrees.
pub async fn check_online(config: &Config) -> Vec<Finding> {
    check(config, Depth::Everything).await
}

/// Logs what of `config` does not agree with metadata. A server that does not respond is not reported: the component that needs it logs
/// that.
pub(crate) async fn log_differences(config: &Config) {
    for Finding { key, problem, change, .. } in check(config, Depth::Metadata).await {
        tracing::warn!(key, problem, change, "the configuration does not agree with the metadata of a server");
    }
}

/// How much is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Metadata only.
    Metadata,
    /// Metadata, key sets, introspection and the token endpoint.
    Everything,
}

async fn check(config: &Config, depth: Depth) -> Vec<Finding> {
    let egress = match Egress::new(config.egress.for_providers()) {
        Ok(egress) => egress,
        Err(error) => {
            let mut findings = Findings::default();
            findings.error("egress", error_chain(&error), "correct this section");
            return findings.0;
        }
    };
    let mut check = Check { egress, depth, findings: Findings::default() };
    match &config.mode {
        ModeSettings::ResourceServer(issuers) => {
            for issuer in issuers {
                check.issuer(issuer, config).await;
            }
        }
        ModeSettings::Bridge(settings, _) => check.bridge(settings, config.public_url()).await,
    }
    check.findings.0
}

struct Check {
    egress: Egress,
    depth: Depth,
    findings: Findings,
}

impl Check {
    /// Checks an issuer whose tokens are accepted.
    async fn issuer(&mut self, settings: &IssuerSettings, config: &Config) {
        let key = |name: &str| format!("{}.{name}", settings.path);
        let (needs_keys, needs_introspection) = match &settings.verification {
            Verification::Jwt { jwks_uri, .. } => (jwks_uri.is_none(), false),
            Verification::Introspection(_) => (false, settings.introspection_endpoint.is_none()),
            Verification::UserInfo { check_token_endpoint, .. } => {
                (false, check_token_endpoint.is_none() && settings.introspection_endpoint.is_none())
            }
        };
        let asks_users = settings.enrich || matches!(&settings.verification, Verification::UserInfo { .. });
        let needs_users = asks_users && settings.userinfo_endpoint.is_none();
        let found =
            self.metadata(&key("issuer"), &settings.issuer, needs_keys || needs_introspection || needs_users).await;
        if let Some(found) = &found {
            for (is_needed, endpoint, member) in [
                (needs_keys, found.jwks_uri(), "jwks_uri"),
                (needs_introspection, found.introspection_endpoint(), "introspection_endpoint"),
                (needs_users, found.userinfo_endpoint(), "userinfo_endpoint"),
            ] {
                if is_needed && endpoint.is_none() {
                    self.findings.error(
                        &key(member),
                        format!("the metadata of {} has no {member}", settings.issuer),
                        "set this key to the URL of the endpoint, or use another `verify`",
                    );
                }
            }
            // What clients are told to request.
            match &config.challenge_scopes {
                Some(requested) => self.scopes("challenge_scopes", found, requested),
                None => self.scopes("required_scopes", found, &config.required_scopes),
            }
        }
        if self.depth == Depth::Metadata {
            return;
        }
        type Member = fn(&AuthorizationServerMetadata) -> Option<&Uri>;
        let url =
            |configured: Option<&Uri>, member: Member| configured.cloned().or_else(|| member(found.as_ref()?).cloned());
        let introspection_endpoint =
            url(settings.introspection_endpoint.as_ref(), AuthorizationServerMetadata::introspection_endpoint);
        let userinfo_endpoint =
            url(settings.userinfo_endpoint.as_ref(), AuthorizationServerMetadata::userinfo_endpoint);
        if asks_users && let Some(url) = userinfo_endpoint {
            self.reachable(&key("userinfo_endpoint"), metadata::request(&url)).await;
        }
        match &settings.verification {
            Verification::Jwt { algorithms, jwks_uri, .. } => {
                if let Some(url) = url(jwks_uri.as_ref(), AuthorizationServerMetadata::jwks_uri) {
                    self.keys(&key("jwks_uri"), Some((&key("algorithms"), algorithms)), &url).await;
                }
            }
            Verification::Introspection(credentials)
            | Verification::UserInfo { credentials, check_token_endpoint: None } => {
                if let Some(url) = introspection_endpoint {
                    let keys = [key("introspection_endpoint"), key("client_secret")];
                    self.introspection(&keys, &url, &credentials.client()).await;
                }
            }
            Verification::UserInfo { credentials, check_token_endpoint: Some(url) } => {
                let keys = [key("check_token_endpoint"), key("client_secret")];
                self.token_check(&keys, url, &settings.issuer, &credentials.client()).await;
            }
        }
    }

    /// Checks the provider of a bridge, and its trusted issuers.
    async fn bridge(&mut self, settings: &BridgeSettings, public_url: &str) {
        if let KnownProvider::Issuer(issuer) = &settings.provider.known {
            // Without the metadata there is no endpoint to ask, which has been reported.
            let Some(found) = self.metadata("bridge.issuer", issuer, true).await else { return };
            let endpoints = &settings.provider.endpoints;
            for (configured, published, member, name) in [
                (&endpoints.authorize, found.authorization_endpoint(), "authorization_endpoint", "authorize"),
                (&endpoints.token, found.token_endpoint(), "token_endpoint", "token"),
            ] {
                if configured.is_none() && published.is_none() {
                    let problem = format!("the metadata of {issuer} has no {member}");
                    self.findings.error(
                        &format!("bridge.endpoints.{name}"),
                        problem,
                        "set this key to the URL of the endpoint",
                    );
                }
            }
            for (configured, published, member, name, what) in [
                (
                    &endpoints.userinfo,
                    found.userinfo_endpoint(),
                    "userinfo_endpoint",
                    "userinfo",
                    "the profile of a user cannot be requested",
                ),
                (&endpoints.jwks, found.jwks_uri(), "jwks_uri", "jwks", "ID tokens cannot be verified"),
                (
                    &endpoints.revocation,
                    found.revocation_endpoint(),
                    "revocation_endpoint",
                    "revocation",
                    "grants of ended sessions are not revoked",
                ),
            ] {
                if configured.is_none() && published.is_none() {
                    let problem = format!("the metadata of {issuer} has no {member}: {what}");
                    self.findings.warning(
                        &format!("bridge.endpoints.{name}"),
                        problem,
                        "set this key if there is such an endpoint",
                    );
                }
            }
            self.supported(
                ("token_endpoint_auth_methods_supported", found.client_authentication_methods()),
                settings.client.method(),
                "bridge.token_endpoint_auth_method",
            );
            let mut vendor = Vendor::standard();
            settings.provider.changes.apply(&mut vendor);
            if vendor.pkce == Pkce::S256 {
                let methods = ("code_challenge_methods_supported", found.code_challenge_methods());
                self.supported(methods, "S256", "bridge.oauth2.pkce");
            }
            self.supported(("grant_types_supported", found.grant_types()), "refresh_token", "bridge.scopes");
            self.scopes("bridge.scopes", &found, &settings.upstream_scopes);
        }
        if self.depth == Depth::Metadata {
            return;
        }
        for (index, trusted) in settings.trusted_issuers.iter().enumerate() {
            let key = format!("bridge.trusted_issuers[{index}].issuer");
            let url = match &trusted.jwks_uri {
                Some(url) => Some(url.clone()),
                None => {
                    let Some(found) = self.metadata(&key, &trusted.issuer, true).await else { continue };
                    let url = found.jwks_uri().cloned();
                    if url.is_none() {
                        self.findings.error(
                            &key.replace(".issuer", ".jwks_uri"),
                            format!("the metadata of {} has no jwks_uri", trusted.issuer),
                            "set this key to the URL of the key set",
                        );
                    }
                    url
                }
            };
            if let Some(url) = url {
                self.keys(&key, None, &url).await;
            }
        }
        let provider = match bridge::known_provider(&settings.provider, &self.egress).await {
            Ok(provider) => provider,
            Err(problem) => {
                // An endpoint that is missing has been reported.
                if !self.findings.have_error() {
                    self.findings.error("bridge.issuer", problem, "correct the issuer, or set bridge.endpoints");
                }
                return;
            }
        };
        if let Some(url) = provider.jwks_uri().cloned() {
            self.keys("bridge.endpoints.jwks", None, &url).await;
        }
        self.provider_endpoints(&provider, &settings.client).await;
        self.token_endpoint(ProviderClient::new(provider, settings.client.clone(), self.egress.clone()), public_url)
            .await;
    }

    /// Checks that requests can be sent to the endpoints of `provider` other than the token endpoint. They are about a random token.
    async fn provider_endpoints(&mut self, provider: &Provider, client: &ClientAuthentication) {
        let Ok(token) = BearerToken::new(&random()) else { return };
        for (name, request) in [
            ("userinfo", provider.profile_request(&token)),
            ("revocation", provider.revocation_request(client, RevokedTokens::new(&token, None))),
            ("introspection", provider.introspection_request(client, &token)),
        ] {
            if let Some(request) = request {
                self.reachable(&format!("bridge.endpoints.{name}"), request).await;
            }
        }
    }

    /// Checks that `request` has a response, whatever it says.
    async fn reachable(&mut self, key: &str, request: Request<Bytes>) {
        if let Err(error) = self.egress.clone().oneshot(request).await {
            self.findings.error(key, unreachable(&error), MAKE_REACHABLE);
        }
    }

    /// Fetches the metadata of `issuer`. Reports a failure if the metadata `is_needed`, except at the start of the server.
    async fn metadata(&mut self, key: &str, issuer: &Issuer, is_needed: bool) -> Option<AuthorizationServerMetadata> {
        let (mut merged, mut problems) = (None::<AuthorizationServerMetadata>, Vec::new());
        for url in metadata::well_known_urls(issuer) {
            match self.egress.clone().oneshot(metadata::request(&url)).await {
                Ok(response) => match metadata::process(issuer, &response) {
                    // The first document takes precedence.
                    Ok(found) => {
                        merged = Some(match merged {
                            Some(first) => first.completed_by(found),
                            None => found,
                        });
                    }
                    Err(error) => problems.push(format!("{url}: {error}")),
                },
                Err(error) => problems.push(unreachable(&error)),
            }
        }
        if merged.is_none() && is_needed && self.depth == Depth::Everything {
            let problem = format!("no metadata of {issuer}: {}", problems.join(", "));
            self.findings.error(
                key,
                problem,
                "correct the issuer, which is compared as a string, or make it reachable (section `egress`)",
            );
        }
        merged
    }

    /// Warns if a member of the metadata lists values and `wanted` is not among them.
    fn supported(&mut self, (member, values): (&str, &[Box<str>]), wanted: &str, key: &str) {
        if !values.is_empty() && !values.iter().any(|value| **value == *wanted) {
            self.findings.warning(
                key,
                format!("{member} of the metadata is {values:?}, without {wanted:?}"),
                "configure what the server supports, or ignore this if its metadata is incomplete",
            );
        }
    }

    fn scopes(&mut self, key: &str, found: &AuthorizationServerMetadata, scopes: &ScopeSet) {
        let values: Vec<Box<str>> = found.scopes().iter().map(Box::from).collect();
        for scope in scopes.iter() {
            self.supported(("scopes_supported", &values), scope, key);
        }
    }

    /// Checks that the key set at `url` has keys, and one for the `algorithms` of a key of the configuration.
    async fn keys(&mut self, key: &str, algorithms: Option<(&str, &[Algorithm])>, url: &Uri) {
        let response = match self.egress.clone().oneshot(KeySet::request(url)).await {
            Ok(response) => response,
            Err(error) => return self.findings.error(key, unreachable(&error), MAKE_REACHABLE),
        };
        let keys = match KeySet::process(&response) {
            Ok(keys) => keys,
            Err(error) => return self.findings.error(key, format!("{}: {error}", shown(url)), "correct the URL"),
        };
        let Some((key, wanted)) = algorithms else { return };
        if !wanted.is_empty() && !wanted.iter().any(|algorithm| keys.has_key_for(*algorithm)) {
            let usable = Algorithm::ALL.iter().filter(|algorithm| keys.has_key_for(**algorithm));
            let usable: Vec<_> = usable.map(|algorithm| algorithm.as_str()).collect();
            let problem = format!("no key of {} is for these algorithms, but for {}", shown(url), usable.join(", "));
            self.findings.error(key, problem, "add one of them");
        }
    }

    /// Introspects a random token: the response of a server that accepts the credentials is that it is not active. `keys` are those of the
    /// endpoint and of the secret.
    async fn introspection(&mut self, keys: &[String; 2], url: &Uri, client: &ClientAuthentication) {
        let Ok(token) = BearerToken::new(&random()) else { return };
        let response = match self.egress.clone().oneshot(introspection::request(url, client, &token)).await {
            Ok(response) => response,
            Err(error) => return self.findings.error(&keys[0], unreachable(&error), MAKE_REACHABLE),
        };
        match introspection::process_for(client, &response) {
            Ok(response) if response.is_active() => self.findings.error(
                &keys[0],
                format!("{} says that a random token is active", shown(url)),
                "use another endpoint: this one accepts every token",
            ),
            Ok(_) | Err(ProtocolError::TokenRefused) => {}
            Err(error) => self.rejected(keys, url, &error, "set the URL of the introspection endpoint (RFC 7662)"),
        }
    }

    /// Asks GitHub about a random token: the response to right credentials is that the token was not issued to this client.
    async fn token_check(&mut self, keys: &[String; 2], url: &Uri, issuer: &Issuer, client: &ClientAuthentication) {
        let Ok(token) = BearerToken::new(&random()) else { return };
        let Ok(provider) = resource_server::github(issuer) else { return };
        let provider = provider.with_token_check_endpoint(url.clone());
        let Some(request) = provider.token_check_request(client, &token) else { return };
        let response = match self.egress.clone().oneshot(request).await {
            Ok(response) => response,
            Err(error) => return self.findings.error(&keys[0], unreachable(&error), MAKE_REACHABLE),
        };
        match provider.process_token_check(client, &response) {
            Ok(_) => self.findings.error(
                &keys[0],
                format!("{} says that a random token was issued to this client", shown(url)),
                "use another endpoint: this one accepts every token",
            ),
            Err(ProtocolError::TokenRefused) => {}
            Err(error) => self.rejected(keys, url, &error, "set the URL at which GitHub checks tokens"),
        }
    }

    /// Reports the response of `url` to a request about a random token.
    fn rejected(&mut self, [endpoint, secret]: &[String; 2], url: &Uri, error: &ProtocolError, change: &str) {
        match error {
            ProtocolError::RateLimited { .. } | ProtocolError::ServerError { .. } => {
                self.findings.warning(endpoint, format!("{}: {error}", shown(url)), "try again later");
            }
            // A 400 is the response to a request that another endpoint expects, unless it has the code `invalid_client`.
            ProtocolError::ClientRefused { status, .. }
                if *status != StatusCode::BAD_REQUEST || error.is_invalid_client() =>
            {
                let problem = format!("{} rejects the credentials of this server: {error}", shown(url));
                self.findings.error(secret, problem, "correct `client_id` and the secret, and permit introspection");
            }
            _ => self.findings.error(endpoint, format!("{}, asked about a random token: {error}", shown(url)), change),
        }
    }

    /// Redeems a random code: `invalid_grant` is the answer of a server that accepts the credentials.
    async fn token_endpoint(&mut self, client: ProviderClient, public_url: &str) {
        let (url, key) = (shown(client.provider().token_endpoint()), "bridge.client_secret");
        let (code, nonce) = (random().into(), random());
        let callback = format!("{public_url}/callback");
        let verifier = CodeVerifier::new(*b"the verifier of a code that no s");
        let Err(error) = client.login(&code, &callback, &verifier, &nonce, &ScopeSet::default()).await else {
            return self.findings.error(key, format!("{url} redeems a random code"), "use another provider");
        };
        let problem = format!("{url}: {}", error_chain(error.cause()));
        match (error.kind(), error.cause().reason()) {
            (LoginErrorKind::Refused, _) => {}
            (LoginErrorKind::Misconfigured, Reason::ClientRefused) => self.findings.error(
                key,
                format!("the provider rejects the credentials of this server at {problem}"),
                "correct `client_id`, the secret and `token_endpoint_auth_method`",
            ),
            (LoginErrorKind::Misconfigured, _) => self.findings.warning(
                "bridge.client_id",
                format!("the provider rejects a random code in an unexpected way at {problem}"),
                &format!(
                    "register the redirect URI {callback} for this client, and permit it the authorization code grant"
                ),
            ),
            _ => self.findings.error("bridge.endpoints.token", problem, MAKE_REACHABLE),
        }
    }
}

/// Returns a text that no server has issued.
fn random() -> String {
    format!("portcullis-check-{:016x}", RandomState::new().build_hasher().finish())
}
