//! `mode = "resource-server"`: authentication with the tokens of other authorization servers, from the configuration.

use std::sync::Arc;

use http::Uri;
use portcullis::{
    AuthConfig, Issuer, ResourceUri,
    egress::Egress,
    oauth::{
        entra,
        introspection::IntrospectionPolicy,
        jwt::{Algorithm, JwtPolicy},
        protected_resource::ProtectedResourceMetadata,
        providers::Provider,
    },
    types::{Clock, SystemClock},
    verify::{
        AudienceCheck, Cache, CacheConfig, ConfigError, IntrospectionVerifier, IssuerRouter, IssuerRouterBuilder,
        JwtVerifier, RemoteKeySet, UserInfoEndpoint, UserInfoLayer, UserInfoVerifier,
    },
};
use tower::{Layer, util::option_layer};

use crate::{
    config::{CacheSettings, Config, Credentials, IssuerSettings, ScopeSource, Verification},
    serve_error::Failure,
};

/// The verifier of every issuer, behind the cache.
pub(crate) type Verifier = Cache<IssuerRouter>;

/// The key sets of the issuers.
pub(crate) type KeySets = Vec<(Issuer, RemoteKeySet)>;

/// Builds the authentication of requests, and the key sets that it needs.
pub(crate) fn build(
    config: &Config,
    issuers: &[IssuerSettings],
    resource_name: Option<&str>,
) -> Result<(AuthConfig<Verifier>, KeySets), Failure> {
    let [first, others @ ..] = issuers else {
        return Err(ConfigError::NoIssuer.into());
    };
    let metadata = ProtectedResourceMetadata::new(config.resource.clone(), first.issuer.clone());
    let metadata =
        others.iter().fold(metadata, |metadata, other| metadata.with_authorization_server(other.issuer.clone()));
    let requested = config.challenge_scopes.as_ref().unwrap_or(&config.required_scopes);
    let metadata = metadata.with_scopes_supported(requested);
    let metadata = resource_name.into_iter().fold(metadata, ProtectedResourceMetadata::with_resource_name);

    let mut parts = Parts {
        egress: Egress::new(config.egress.for_providers())?,
        clock: Arc::new(SystemClock::new()),
        resource: &config.resource,
        configured: issuers.iter().map(|settings| &settings.issuer).collect(),
        key_sets: Vec::new(),
        shared_keys: Vec::new(),
    };
    let issuers = issuers.iter().try_fold(IssuerRouter::builder(), |issuers, settings| parts.add(issuers, settings))?;
    let verifier = Cache::around(issuers.build()?, cache_config(&config.cache));
    let auth = AuthConfig::new(metadata, verifier)
        .with_required_scopes(config.required_scopes.clone())
        .with_challenge_scopes(requested.clone())
        .with_session_binding(config.session_binding());
    Ok((auth, parts.key_sets))
}

pub(crate) fn cache_config(settings: &CacheSettings) -> CacheConfig {
    CacheConfig::new()
        .with_ttl(settings.ttl)
        .with_capacity(settings.capacity)
        .with_negative_ttl(settings.rejected_ttl)
        .with_stale_if_error(settings.stale_if_error)
}

/// The parts that verifiers share.
struct Parts<'a> {
    egress: Egress,
    clock: Arc<dyn Clock>,
    resource: &'a ResourceUri,
    /// The issuers that have a configuration.
    configured: Vec<&'a Issuer>,
    key_sets: KeySets,
    /// The key sets at configured URLs.
    shared_keys: Vec<(Uri, RemoteKeySet)>,
}

impl Parts<'_> {
    fn add(
        &mut self,
        issuers: IssuerRouterBuilder,
        settings: &IssuerSettings,
    ) -> Result<IssuerRouterBuilder, ConfigError> {
        let issuer = settings.issuer.clone();
        let profile = option_layer(settings.enrich.then(|| UserInfoLayer::new(self.user_info(settings))));
        Ok(match &settings.verification {
            Verification::Jwt { algorithms, token_types, jwks_uri } => {
                let keys = self.keys(&issuer, jwks_uri.as_ref());
                let names = [Some(issuer.clone()), self.v1_issuer(&issuer)];
                names.into_iter().flatten().fold(issuers, |issuers, name| {
                    let policy = self.jwt_policy(name.clone(), settings, algorithms, token_types);
                    let verifier = JwtVerifier::new(policy, keys.clone()).with_clock(Arc::clone(&self.clock));
                    issuers.with_issuer(name, profile.layer(verifier))
                })
            }
            Verification::Introspection(credentials) => {
                let verifier = self.introspection(settings, credentials);
                issuers.with_opaque_issuer(issuer, profile.layer(verifier))
            }
            Verification::UserInfo { credentials, check_token_endpoint } => {
                let verifier = self.users(settings, credentials, check_token_endpoint.as_ref())?;
                issuers.with_opaque_issuer(issuer, verifier)
            }
        })
    }

    /// Returns the other issuer of a tenant of Entra ID, which signs with the same keys, unless it has a configuration of its own.
    fn v1_issuer(&self, issuer: &Issuer) -> Option<Issuer> {
        entra::v1_issuer(issuer).filter(|v1| !self.configured.contains(&v1))
    }

    fn jwt_policy(
        &self,
        issuer: Issuer,
        settings: &IssuerSettings,
        algorithms: &[Algorithm],
        token_types: &[String],
    ) -> JwtPolicy {
        let policy = JwtPolicy::new(issuer, self.resource.clone())
            .with_audiences(settings.audiences.iter().map(String::as_str))
            .with_allowed_clients(settings.allowed_clients.iter().map(String::as_str));
        let policy = settings.audience_claim.as_deref().into_iter().fold(policy, JwtPolicy::with_audience_claim);
        let policy = settings.scope_claims.iter().fold(policy, |policy, source| match source {
            ScopeSource::Same(claim) => policy.with_scope_claim(claim),
            ScopeSource::Granted(claim, values, scopes) => {
                policy.with_scopes_for(claim, values.iter().map(String::as_str), scopes.clone())
            }
        });
        let policy = if algorithms.is_empty() { policy } else { policy.with_algorithms(algorithms.iter().copied()) };
        let (untyped, typed): (Vec<_>, Vec<_>) =
            token_types.iter().map(String::as_str).partition(|name| name.eq_ignore_ascii_case("JWT"));
        let policy = policy.with_token_types(typed.into_iter().chain(["at+jwt"]));
        let policy = settings.subject_claim.as_deref().into_iter().fold(policy, JwtPolicy::with_subject_claim);
        let policy = if settings.allow_client_without_subject { policy.with_clients_without_subject() } else { policy };
        if untyped.is_empty() { policy } else { policy.with_untyped_tokens() }
    }

    /// Returns the key set of `issuer`. Issuers with the same configured URL share one.
    fn keys(&mut self, issuer: &Issuer, jwks_uri: Option<&Uri>) -> RemoteKeySet {
        let shared = self.shared_keys.iter().find(|(uri, _)| Some(uri) == jwks_uri);
        if let Some((_, keys)) = shared {
            return keys.clone();
        }
        let egress = self.egress.clone();
        let keys = match jwks_uri {
            Some(uri) => RemoteKeySet::at(uri.clone(), egress),
            None => RemoteKeySet::discovered(issuer.clone(), egress),
        };
        let keys = keys.with_clock(Arc::clone(&self.clock));
        self.shared_keys.extend(jwks_uri.map(|uri| (uri.clone(), keys.clone())));
        self.key_sets.push((issuer.clone(), keys.clone()));
        keys
    }

    fn introspection(&self, settings: &IssuerSettings, credentials: &Credentials) -> IntrospectionVerifier {
        let policy = IntrospectionPolicy::new(settings.issuer.clone(), self.resource.clone())
            .with_audiences(settings.audiences.iter().map(String::as_str))
            .with_allowed_clients(settings.allowed_clients.iter().map(String::as_str));
        let policy =
            settings.audience_claim.as_deref().into_iter().fold(policy, IntrospectionPolicy::with_audience_claim);
        let policy = settings.scope_claims.iter().fold(policy, |policy, source| match source {
            ScopeSource::Same(claim) => policy.with_scope_claim(claim),
            ScopeSource::Granted(claim, values, scopes) => {
                policy.with_scopes_for(claim, values.iter().map(String::as_str), scopes.clone())
            }
        });
        let policy =
            settings.subject_claim.as_deref().into_iter().fold(policy, IntrospectionPolicy::with_subject_claim);
        let policy = if settings.allow_client_without_subject { policy.with_clients_without_subject() } else { policy };
        let verifier = IntrospectionVerifier::new(policy, credentials.client(), self.egress.clone())
            .with_clock(Arc::clone(&self.clock));
        match &settings.introspection_endpoint {
            Some(endpoint) => verifier.with_endpoint(endpoint.clone()),
            None => verifier,
        }
    }

    fn user_info(&self, settings: &IssuerSettings) -> UserInfoEndpoint {
        let endpoint =
            UserInfoEndpoint::new(settings.issuer.clone(), self.egress.clone()).with_clock(Arc::clone(&self.clock));
        let endpoint =
            settings.subject_claim.as_deref().into_iter().fold(endpoint, UserInfoEndpoint::with_subject_claim);
        match &settings.userinfo_endpoint {
            Some(url) => endpoint.with_url(url.clone()),
            None => endpoint,
        }
    }

    fn users(
        &self,
        settings: &IssuerSettings,
        credentials: &Credentials,
        check_token_endpoint: Option<&Uri>,
    ) -> Result<UserInfoVerifier, ConfigError> {
        let Some(url) = check_token_endpoint else {
            let check = AudienceCheck::introspection(self.introspection(settings, credentials));
            return UserInfoVerifier::new(self.user_info(settings), check);
        };
        // Token checks are GitHub's, so the profiles are GitHub's as well.
        let provider = github(&settings.issuer)?.with_token_check_endpoint(url.clone());
        let provider = settings.userinfo_endpoint.clone().into_iter().fold(provider, Provider::with_userinfo_endpoint);
        let (egress, clock, client) = (self.egress.clone(), Arc::clone(&self.clock), credentials.client());
        let check =
            AudienceCheck::token_check(provider.clone(), client, egress.clone())?.with_clock(Arc::clone(&clock));
        UserInfoVerifier::new(UserInfoEndpoint::of_provider(provider, egress).with_clock(clock), check)
    }
}

/// Returns the GitHub, or the GitHub Enterprise Server, that `issuer` names.
pub(crate) fn github(issuer: &Issuer) -> Result<Provider, ConfigError> {
    let github = Provider::github();
    if issuer == github.issuer() {
        return Ok(github);
    }
    let host = issuer.as_str().split_once("://").map_or(issuer.as_str(), |(_, host)| host);
    let github = Provider::github_enterprise(host.trim_end_matches('/'));
    Ok(github.map_err(ConfigError::InvalidIssuer)?.with_issuer(issuer.clone()))
}
