//! The routes of the endpoints, and the metadata that lists them.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    response::Response,
    routing::{MethodRouter, get, post},
};
use http::{HeaderValue, Method, header};
use portcullis_oauth::jwt::Algorithm;
use serde::Serialize;
use serde_json::json;
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use super::{
    login::{authorize, callback, consent},
    register::register,
    tokens::{introspect, revoke, token},
};
use crate::{
    Bridge, BridgeConfig,
    access_tokens::AccessTokens,
    config::Urls,
    response::{OAuthError, public_json},
};

/// Creates the router of all endpoints.
///
/// Endpoints that programs call allow every origin by CORS, because they use no cookies. Endpoints for browsers do not.
pub(crate) fn router(bridge: &Bridge) -> Router {
    let config = &bridge.state().config;
    let urls = config.urls();
    let mut endpoints = vec![
        (urls.path(Urls::AUTHORIZE), get(authorize)),
        (urls.path(Urls::CONSENT), post(consent)),
        (urls.path(Urls::CALLBACK), get(callback)),
        (urls.path(Urls::TOKEN), with_cors(post(token))),
        (urls.path(Urls::REVOKE), with_cors(post(revoke))),
        (urls.path(Urls::JWKS), with_cors(get(jwks))),
        (urls.metadata(), with_cors(get(metadata))),
    ];
    endpoints.extend(urls.openid_metadata().into_iter().map(|path| (path, with_cors(get(openid_metadata)))));
    if config.registration.is_enabled {
        endpoints.push((urls.path(Urls::REGISTER), with_cors(post(register))));
    }
    if !config.introspection_clients.is_empty() {
        endpoints.push((urls.path(Urls::INTROSPECT), post(introspect)));
    }
    // The path of an issuer is literal: braces in it are no pattern.
    let literal = |path: String| path.replace('{', "{{").replace('}', "}}");
    let router = Router::new().without_v07_checks();
    let router = endpoints.into_iter().fold(router, |router, (path, endpoint)| router.route(&literal(path), endpoint));
    router.with_state(bridge.clone())
}

/// Adds CORS headers, for clients that run in a browser.
fn with_cors(endpoint: MethodRouter<Bridge>) -> MethodRouter<Bridge> {
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        // `*` would not cover `Authorization`.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::WWW_AUTHENTICATE, header::RETRY_AFTER]);
    endpoint.layer(cors)
}

/// The cache lifetime of the metadata.
const METADATA_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The cache lifetime of the key set. [`SigningKeys`](crate::SigningKeys) depends on it.
const JWKS_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=600");

/// `GET` of the metadata at the path of RFC 8414.
pub(crate) async fn metadata(State(config): State<Arc<BridgeConfig>>) -> Response {
    public_json(&Metadata::new(&config), "application/json", METADATA_CACHE)
}

/// `GET` of the metadata at the paths of OpenID Connect Discovery.
pub(crate) async fn openid_metadata(State(config): State<Arc<BridgeConfig>>) -> Response {
    public_json(&OpenIdMetadata::new(&config), "application/json", METADATA_CACHE)
}

/// `GET /jwks`: the keys that verify access tokens; an empty set if they are not JWTs.
/// [RFC 7517 section 5](https://www.rfc-editor.org/rfc/rfc7517#section-5)
pub(crate) async fn jwks(State(access_tokens): State<Arc<AccessTokens>>) -> Result<Response, OAuthError> {
    let keys = access_tokens.signing_keys().await?;
    let published = keys.map_or_else(|| json!({"keys": []}), |keys| keys.published());
    Ok(public_json(&published, "application/jwk-set+json", JWKS_CACHE))
}

/// The metadata with the members that OpenID Connect Discovery requires. MCP clients may request it (RFC 8414 section 5), and some
/// reject it without these members.
/// [OpenID Connect Discovery section 3](https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata)
///
/// The bridge is not an OpenID provider: the empty list states that it signs no ID tokens.
#[derive(Serialize)]
struct OpenIdMetadata<'a> {
    #[serde(flatten)]
    metadata: Metadata<'a>,
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: [&'static str; 0],
}

impl<'a> OpenIdMetadata<'a> {
    fn new(config: &'a BridgeConfig) -> Self {
        Self {
            metadata: Metadata::new(config),
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: [],
        }
    }
}

/// Authorization server metadata. [RFC 8414](https://www.rfc-editor.org/rfc/rfc8414)
#[derive(Serialize)]
struct Metadata<'a> {
    /// The same string as `iss`. RFC 8414 section 3.3.
    issuer: &'a str,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_endpoint: Option<String>,
    revocation_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    introspection_endpoint: Option<String>,
    /// Present even if tokens are not signed, because some clients require it.
    jwks_uri: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<&'a str>,
    response_types_supported: [&'static str; 1],
    response_modes_supported: [&'static str; 1],
    grant_types_supported: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorization_grant_profiles_supported: Vec<&'static str>,
    token_endpoint_auth_methods_supported: [&'static str; 4],
    token_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    revocation_endpoint_auth_methods_supported: [&'static str; 4],
    revocation_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    code_challenge_methods_supported: [&'static str; 1],
    /// RFC 9207 section 3.
    authorization_response_iss_parameter_supported: bool,
    client_id_metadata_document_supported: bool,
}

/// The methods of [`Clients::authenticate`](crate::clients::Clients::authenticate).
const CLIENT_AUTHENTICATION: [&str; 4] = ["none", BASIC, "client_secret_post", "private_key_jwt"];

/// MCP, Enterprise-Managed Authorization, section 6.
const ID_JAG: &str = "urn:ietf:params:oauth:grant-profile:id-jag";

const BASIC: &str = "client_secret_basic";

impl<'a> Metadata<'a> {
    fn new(config: &'a BridgeConfig) -> Self {
        let urls = config.urls();
        let algorithms: Vec<_> = Algorithm::ALL.iter().map(|algorithm| algorithm.as_str()).collect();
        let has_trusted_issuers = !config.trusted_issuers.is_empty();
        let has_introspection_clients = !config.introspection_clients.is_empty();
        let mut grant_types = vec!["authorization_code", "refresh_token"];
        grant_types.extend(has_trusted_issuers.then_some("urn:ietf:params:oauth:grant-type:jwt-bearer"));
        Self {
            issuer: config.issuer.as_str(),
            authorization_endpoint: urls.url(Urls::AUTHORIZE),
            token_endpoint: urls.url(Urls::TOKEN),
            registration_endpoint: config.registration.is_enabled.then(|| urls.url(Urls::REGISTER)),
            revocation_endpoint: urls.url(Urls::REVOKE),
            introspection_endpoint: has_introspection_clients.then(|| urls.url(Urls::INTROSPECT)),
            jwks_uri: urls.url(Urls::JWKS),
            scopes_supported: config.scopes.iter().collect(),
            response_types_supported: ["code"],
            response_modes_supported: ["query"],
            grant_types_supported: grant_types,
            authorization_grant_profiles_supported: has_trusted_issuers.then_some(ID_JAG).into_iter().collect(),
            token_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
            token_endpoint_auth_signing_alg_values_supported: algorithms.clone(),
            revocation_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
            revocation_endpoint_auth_signing_alg_values_supported: algorithms,
            introspection_endpoint_auth_methods_supported: has_introspection_clients
                .then_some(BASIC)
                .into_iter()
                .collect(),
            code_challenge_methods_supported: ["S256"],
            authorization_response_iss_parameter_supported: true,
            client_id_metadata_document_supported: config.documents.is_enabled,
        }
    }
}
