//! The state of an identity provider.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use portcullis_core::{Clock, UnixTime};
use serde_json::{Map, Value, json};

use super::{
    Endpoint, Fault, IdentityProvider, KeyAlgorithm, LoginPolicy, SeenRequest, TokenPolicy,
    fault::Forgeries,
    grants::{Ledger, random},
    keys::{SigningKey, compact},
    vendor::Dialect,
};

/// The state of an identity provider.
pub(super) struct State {
    pub(super) dialect: &'static dyn Dialect,
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) keys: Vec<SigningKey>,
    pub(super) signing_kid: String,
    pub(super) foreign_keys: Vec<Value>,
    pub(super) key_set_max_age: Option<Duration>,
    pub(super) clients: HashMap<String, String>,
    /// The clients without a secret.
    pub(super) public_clients: HashSet<String>,
    pub(super) is_registration_open: bool,
    /// Members of the metadata that a test has set.
    pub(super) metadata: Map<String, Value>,
    /// The redirect URIs of clients for which a test has set them.
    pub(super) redirect_uris: HashMap<String, Vec<String>>,
    pub(super) users: BTreeMap<String, Map<String, Value>>,
    /// The claims of the tokens that are not revoked.
    pub(super) tokens: HashMap<String, Map<String, Value>>,
    pub(super) ledger: Ledger,
    pub(super) policy: TokenPolicy,
    pub(super) login_policy: LoginPolicy,
    /// The users who are logged in, by the cookie of the browser.
    pub(super) sessions: HashMap<String, String>,
    pub(super) forgeries: Forgeries,
    /// The number of tokens and keys so far, for their names.
    pub(super) serial: u64,
    pub(super) switches: HashMap<Endpoint, Switches>,
}

/// The faults of one endpoint, and its calls.
#[derive(Default)]
pub(super) struct Switches {
    pub(super) fault: Option<Fault>,
    pub(super) latency: Duration,
    pub(super) answer_latency: Duration,
    pub(super) calls: usize,
    pub(super) last: Option<SeenRequest>,
}

impl Switches {
    /// Returns the fault for this call.
    pub(super) fn strike(&mut self) -> Option<Fault> {
        let fault = self.fault.as_mut()?;
        fault.strikes().then(|| fault.clone())
    }
}

impl State {
    pub(super) fn switches(&mut self, endpoint: Endpoint) -> &mut Switches {
        self.switches.entry(endpoint).or_default()
    }

    /// Returns the issuer without a slash at its end.
    pub(super) fn base(&self) -> &str {
        self.issuer.trim_end_matches('/')
    }

    /// Returns the URL of `endpoint`, if there is such an endpoint.
    pub(super) fn url_of(&self, endpoint: Endpoint) -> Option<String> {
        if endpoint == Endpoint::Registration && !self.is_registration_open {
            return None;
        }
        let (_, path) = self.dialect.paths().iter().find(|(at, _)| *at == endpoint)?;
        Some(format!("{}{}", self.base(), path.replace("{}", IdentityProvider::CLIENT_ID)))
    }

    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Creates a key and publishes it.
    pub(super) fn add_key(&mut self, algorithm: KeyAlgorithm) -> String {
        let kid = format!("{}-{}", algorithm.as_str().to_ascii_lowercase(), self.next_serial());
        self.keys.push(SigningKey::new(algorithm, kid.clone()));
        kid
    }

    pub(super) fn key(&self, kid: &str) -> Option<&SigningKey> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// Returns the claims of `token`, if it is valid now.
    pub(super) fn active(&self, token: &str) -> Option<&Map<String, Value>> {
        let claims = self.tokens.get(token)?;
        let expires_at = claims.get("exp").and_then(Value::as_f64).and_then(UnixTime::from_numeric_date);
        (expires_at.unwrap_or(UnixTime::MAX) > self.clock.now()).then_some(claims)
    }

    /// Returns the default claims of a token.
    pub(super) fn claims(&mut self, subject: &str, client_id: &str) -> Map<String, Value> {
        let now = self.clock.now().as_secs();
        let claims = [
            ("iss", json!(self.issuer)),
            ("sub", json!(subject)),
            ("aud", json!(self.audience)),
            ("client_id", json!(client_id)),
            ("iat", json!(now)),
            ("exp", json!(now + 600)),
            ("jti", json!(format!("token-{}", self.next_serial()))),
        ];
        claims.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }

    /// Returns the default claims of a token, after creating the user if absent.
    pub(super) fn claims_of_user(&mut self, subject: &str, client_id: &str) -> Map<String, Value> {
        self.ensure_user(subject);
        self.claims(subject, client_id)
    }

    /// Reports whether an authorization response contains `iss`, RFC 9207.
    pub(super) fn sends_issuer(&self) -> bool {
        self.login_policy.sends_issuer && self.dialect.sends_issuer()
    }

    /// Issues an access token of the token endpoint.
    pub(super) fn new_access_token(&mut self, subject: &str, client_id: &str, scope: &str) -> String {
        let mut claims = self.claims(subject, client_id);
        claims.insert("scope".to_owned(), json!(scope));
        claims.extend(self.users.get(subject).map(|profile| self.dialect.claims(profile)).unwrap_or_default());
        match self.policy.access_token_lifetime {
            Some(lifetime) => claims.insert("exp".to_owned(), json!((self.clock.now() + lifetime).as_secs())),
            None => claims.remove("exp"),
        };
        let token = if self.policy.jwt_access_tokens {
            self.signed(&claims)
        } else {
            random(self.dialect.prefixes(&self.policy).0)
        };
        self.tokens.insert(token.clone(), claims);
        token
    }

    fn signed(&self, claims: &Map<String, Value>) -> String {
        let key = self.key(&self.signing_kid);
        let algorithm = key.map(|key| key.algorithm.as_str());
        let header = json!({"typ": "at+jwt", "alg": algorithm, "kid": self.signing_kid}).to_string();
        let payload = json!(claims).to_string();
        compact(header.as_bytes(), payload.as_bytes(), |message| key.map(|key| key.sign(message)).unwrap_or_default())
    }

    /// Creates the user `subject` if absent.
    pub(super) fn ensure_user(&mut self, subject: &str) {
        if !self.users.contains_key(subject) {
            self.set_user(subject, Map::new());
        }
    }

    /// Sets a user with a number, as GitHub has it, and with `profile` over the default members.
    pub(super) fn set_user(&mut self, subject: &str, profile: Map<String, Value>) {
        let known_id = self.users.get(subject).and_then(|user| user.get("id").cloned());
        let id = known_id.unwrap_or_else(|| json!(1000 + self.next_serial()));
        let mut members = Map::from_iter([
            ("sub".to_owned(), json!(subject)),
            ("id".to_owned(), id),
            ("name".to_owned(), json!(subject)),
            ("preferred_username".to_owned(), json!(subject)),
            ("email".to_owned(), json!(format!("{subject}@example.test"))),
        ]);
        members.extend(profile);
        self.users.insert(subject.to_owned(), members);
    }
}
