//! [`Finding`]: what of a configuration does not agree with the metadata, the keys and the answers of the servers that it names.

use std::collections::hash_map::RandomState;
use std::error::Error;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};

use http::{Request, StatusCode, Uri};
use portcullis::egress::{Egress, EgressError, EgressErrorKind};
use portcullis::oauth::{ClientAuthentication, CodeVerifier, introspection, jwt::Algorithm, metadata};
use portcullis::upstream::{LoginErrorKind, ProviderClient};
use portcullis::{BearerToken, Issuer, ScopeSet, types::Reason};
use serde_json::{Map, Value};
use tower::ServiceExt as _;

use crate::bridge;
use crate::config::{BridgeSettings, Config, IssuerSettings, KnownProvider, ModeSettings, Verification};

/// One thing that does not agree: what was found, the key of the configuration, and what to change. It contains no secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    severity: Severity,
    key: String,
    problem: String,
    change: String,
}

/// Whether the server can work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Severity {
    /// Users cannot be authenticated.
    Error,
    /// Something may not work.
    Warning,
}

impl Finding {
    /// Reports whether the server cannot work with this configuration.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        matches!(self.severity, Severity::Error)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.is_error() { "error" } else { "warning" };
        let Self { key, problem, change, .. } = self;
        write!(f, "{severity}: `{key}`: {problem}; {change}")
    }
}

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
            let mut findings = Findings(Vec::new());
            findings.error("egress", chain(&error), "correct this section");
            return findings.0;
        }
    };
    let mut check = Check { egress, depth, findings: Findings(Vec::new()) };
    match &config.mode {
        ModeSettings::ResourceServer(issuers) => {
            for (index, issuer) in issuers.iter().enumerate() {
                check.issuer(&format!("resource_server.issuers[{index}]"), issuer, &config.required_scopes).await;
            }
        }
        ModeSettings::Bridge(settings, _) => check.bridge(settings, config.public_url()).await,
    }
    check.findings.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn error(&mut self, key: &str, problem: impl Into<String>, change: &str) {
        self.add(Severity::Error, key, problem.into(), change);
    }

    fn warning(&mut self, key: &str, problem: impl Into<String>, change: &str) {
        self.add(Severity::Warning, key, problem.into(), change);
    }

    fn add(&mut self, severity: Severity, key: &str, problem: String, change: &str) {
        self.0.push(Finding { severity, key: key.to_owned(), problem, change: change.to_owned() });
    }
}

struct Check {
    egress: Egress,
    depth: Depth,
    findings: Findings,
}

/// A JSON object that was fetched.
type Document = Map<String, Value>;

impl Check {
    /// Checks an issuer whose tokens are accepted; `section` is the path of its table.
    async fn issuer(&mut self, section: &str, settings: &IssuerSettings, required: &ScopeSet) {
        let key = |name: &str| format!("{section}.{name}");
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
            for (is_needed, member, name) in [
                (needs_keys, "jwks_uri", "jwks_uri"),
                (needs_introspection, "introspection_endpoint", "introspection_endpoint"),
                (needs_users, "userinfo_endpoint", "userinfo_endpoint"),
            ] {
                if is_needed && text(found, member).is_none() {
                    self.findings.error(
                        &key(name),
                        format!("the metadata of {} has no {member}", settings.issuer),
                        "set this key to the URL of the endpoint, or use another `verify`",
                    );
                }
            }
            self.scopes("required_scopes", found, required);
        }
        if self.depth == Depth::Metadata {
            return;
        }
        let url = |configured: Option<&Uri>, member: &str| {
            configured.cloned().or_else(|| text(found.as_ref()?, member)?.parse().ok())
        };
        match &settings.verification {
            Verification::Jwt { algorithms, jwks_uri, .. } => {
                if let Some(url) = url(jwks_uri.as_ref(), "jwks_uri") {
                    self.keys(&key("jwks_uri"), Some((&key("algorithms"), algorithms)), &url).await;
                }
            }
            Verification::Introspection(credentials)
            | Verification::UserInfo { credentials, check_token_endpoint: None } => {
                if let Some(url) = url(settings.introspection_endpoint.as_ref(), "introspection_endpoint") {
                    self.introspection(section, &url, &credentials.client()).await;
                }
            }
            Verification::UserInfo { .. } => {}
        }
    }

    /// Checks the provider of a bridge, and its trusted issuers.
    async fn bridge(&mut self, settings: &BridgeSettings, public_url: &str) {
        if let KnownProvider::Issuer(issuer) = &settings.provider.known
            && let Some(found) = self.metadata("bridge.issuer", issuer, true).await
        {
            let endpoints = &settings.provider.endpoints;
            for (is_set, member, name) in [
                (endpoints.authorize.is_some(), "authorization_endpoint", "authorize"),
                (endpoints.token.is_some(), "token_endpoint", "token"),
            ] {
                if !is_set && text(&found, member).is_none() {
                    let problem = format!("the metadata of {issuer} has no {member}");
                    self.findings.error(
                        &format!("bridge.endpoints.{name}"),
                        problem,
                        "set this key to the URL of the endpoint",
                    );
                }
            }
            for (is_set, member, name, what) in [
                (
                    endpoints.userinfo.is_some(),
                    "userinfo_endpoint",
                    "userinfo",
                    "the profile of a user cannot be requested",
                ),
                (endpoints.jwks.is_some(), "jwks_uri", "jwks", "ID tokens cannot be verified"),
                (
                    endpoints.revocation.is_some(),
                    "revocation_endpoint",
                    "revocation",
                    "grants of ended sessions are not revoked",
                ),
            ] {
                if !is_set && text(&found, member).is_none() {
                    let problem = format!("the metadata of {issuer} has no {member}: {what}");
                    self.findings.warning(
                        &format!("bridge.endpoints.{name}"),
                        problem,
                        "set this key if there is such an endpoint",
                    );
                }
            }
            self.supported(
                &found,
                "token_endpoint_auth_methods_supported",
                settings.client.method(),
                "bridge.token_endpoint_auth_method",
            );
            self.supported(&found, "code_challenge_methods_supported", "S256", "bridge.provider");
            self.supported(&found, "grant_types_supported", "refresh_token", "bridge.scopes");
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
                    let found = self.metadata(&key, &trusted.issuer, true).await;
                    found.and_then(|found| text(&found, "jwks_uri")?.parse().ok())
                }
            };
            if let Some(url) = url {
                self.keys(&key, None, &url).await;
            }
        }
        // Without the metadata there is no token endpoint to ask, which has been reported.
        let Ok(provider) = bridge::known_provider(&settings.provider, &self.egress).await else { return };
        if let Some(url) = provider.jwks_uri().cloned() {
            self.keys("bridge.endpoints.jwks", None, &url).await;
        }
        self.token_endpoint(ProviderClient::new(provider, settings.client.clone(), self.egress.clone()), public_url)
            .await;
    }

    /// Fetches the metadata of `issuer`. Reports a failure if the metadata `is_needed`, except at the start of the server.
    async fn metadata(&mut self, key: &str, issuer: &Issuer, is_needed: bool) -> Option<Document> {
        let mut merged = Document::new();
        let mut problems = Vec::new();
        for url in metadata::well_known_urls(issuer) {
            match self.document(&url, metadata::request(&url)).await {
                Ok(found) if text(&found, "issuer") == Some(issuer.as_str()) => {
                    // The first document takes precedence.
                    for (name, value) in found {
                        merged.entry(name).or_insert(value);
                    }
                }
                Ok(found) => {
                    let other = text(&found, "issuer").unwrap_or("no issuer");
                    problems.push(format!("{url} is the metadata of {other:?}"));
                }
                Err(problem) => problems.push(problem),
            }
        }
        if !merged.is_empty() {
            return Some(merged);
        }
        if is_needed && self.depth == Depth::Everything {
            let problem = format!("no metadata of {issuer}: {}", problems.join(", "));
            self.findings.error(
                key,
                problem,
                "correct the issuer, which is compared as a string, or make it reachable (section `egress`)",
            );
        }
        None
    }

    async fn document(&self, url: &Uri, request: Request<bytes::Bytes>) -> Result<Document, String> {
        let response = self.egress.clone().oneshot(request).await.map_err(|error| unreachable(&error))?;
        if response.status() != StatusCode::OK {
            return Err(format!("{url} responded {}", response.status()));
        }
        serde_json::from_slice(response.body()).map_err(|_| format!("{url} is no JSON object"))
    }

    /// Warns if `found` lists values in `member` and `wanted` is not among them.
    fn supported(&mut self, found: &Document, member: &str, wanted: &str, key: &str) {
        if let Some(Value::Array(values)) = found.get(member)
            && !values.iter().any(|value| value == wanted)
        {
            let problem = format!("{member} of the metadata is {}, without {wanted:?}", Value::from(values.clone()));
            self.findings.warning(
                key,
                problem,
                "configure what the server supports, or ignore this if its metadata is incomplete",
            );
        }
    }

    fn scopes(&mut self, key: &str, found: &Document, scopes: &ScopeSet) {
        for scope in scopes.iter() {
            self.supported(found, "scopes_supported", scope, key);
        }
    }

    /// Checks that the key set at `url` has keys, and one for the `algorithms` of a key of the configuration.
    async fn keys(&mut self, key: &str, algorithms: Option<(&str, &[Algorithm])>, url: &Uri) {
        let found = match self.document(url, metadata::request(url)).await {
            Ok(found) => found,
            Err(problem) => {
                return self.findings.error(
                    key,
                    format!("no keys: {problem}"),
                    "correct the URL, or make it reachable (section `egress`)",
                );
            }
        };
        let keys = found.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
        let usable: Vec<&str> = keys.iter().flat_map(algorithms_of).collect();
        if usable.is_empty() {
            return self.findings.error(
                key,
                format!("{url} has no public key that verifies signatures"),
                "correct the URL",
            );
        }
        let Some((key, wanted)) = algorithms else { return };
        if !wanted.is_empty() && !wanted.iter().any(|algorithm| usable.contains(&algorithm.as_str())) {
            let problem = format!("no key of {url} is for these algorithms, but for {}", usable.join(", "));
            self.findings.error(key, problem, "add one of them");
        }
    }

    /// Introspects a random token: `active: false` is the answer of a server that accepts the credentials.
    async fn introspection(&mut self, section: &str, url: &Uri, client: &ClientAuthentication) {
        let Ok(token) = BearerToken::new(&random()) else { return };
        let endpoint = format!("{section}.introspection_endpoint");
        let response = match self.egress.clone().oneshot(introspection::request(url, client, &token)).await {
            Ok(response) => response,
            Err(error) => {
                return self.findings.error(&endpoint, unreachable(&error), "make it reachable (section `egress`)");
            }
        };
        let status = response.status();
        let body: Document = serde_json::from_slice(response.body()).unwrap_or_default();
        let code = text(&body, "error").unwrap_or_default();
        let rejected = format!("{url} rejects the credentials of this server: {status} {code}");
        let secret = format!("{section}.client_secret");
        match status.as_u16() {
            200 if body.contains_key("active") => {}
            401 | 403 => {
                self.findings.error(&secret, rejected, "correct `client_id` and the secret, and permit introspection")
            }
            400 if code == "invalid_client" => {
                self.findings.error(&secret, rejected, "correct `client_id` and the secret")
            }
            500.. | 429 => self.findings.warning(&endpoint, format!("{url} responded {status}"), "try again later"),
            _ => {
                let problem = format!("{url} responded {status} {code} to the introspection of a random token");
                self.findings.error(&endpoint, problem, "set the URL of the introspection endpoint (RFC 7662)");
            }
        }
    }

    /// Redeems a random code: `invalid_grant` is the answer of a server that accepts the credentials.
    async fn token_endpoint(&mut self, client: ProviderClient, public_url: &str) {
        let (url, key) = (client.provider().token_endpoint().clone(), "bridge.client_secret");
        let (code, nonce) = (random().into(), random());
        let callback = format!("{public_url}/callback");
        let verifier = CodeVerifier::new(*b"the verifier of a code that no s");
        let Err(error) = client.login(&code, &callback, &verifier, &nonce, &ScopeSet::default()).await else {
            return self.findings.error(key, format!("{url} redeems a random code"), "use another provider");
        };
        let problem = format!("{url}: {}", chain(error.cause()));
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
            _ => self.findings.error(
                "bridge.endpoints.token",
                problem,
                "make it reachable (section `egress`), or correct the URL",
            ),
        }
    }
}

fn text<'a>(document: &'a Document, member: &str) -> Option<&'a str> {
    document.get(member).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Returns the names of the algorithms that the public key `jwk` can verify.
fn algorithms_of(jwk: &Value) -> Vec<&str> {
    let member = |name: &str| jwk.get(name).and_then(Value::as_str);
    if member("use").is_some_and(|purpose| purpose != "sig") {
        return Vec::new();
    }
    let possible: &[&str] = match (member("kty"), member("crv")) {
        (Some("RSA"), _) => &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
        (Some("EC"), Some("P-256")) => &["ES256"],
        (Some("EC"), Some("P-384")) => &["ES384"],
        (Some("OKP"), Some("Ed25519")) => &["EdDSA"],
        _ => &[],
    };
    possible.iter().copied().filter(|name| member("alg").is_none_or(|only| only == *name)).collect()
}

/// Returns why a request failed, with the key that permits a destination that the egress guard blocks.
fn unreachable(error: &EgressError) -> String {
    match error.kind() {
        EgressErrorKind::Blocked => {
            format!(
                "{} (blocked by the egress guard: see `egress.allowed_networks`, `egress.allow_loopback`)",
                chain(error)
            )
        }
        _ => chain(error),
    }
}

/// Returns the messages of `error` and of its sources.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Returns a text that no server has issued.
fn random() -> String {
    format!("portcullis-check-{:016x}", RandomState::new().build_hasher().finish())
}
