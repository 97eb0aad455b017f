//! Recorded requests of real clients, replayed: `docs/compatibility.md` has the outcomes.

use std::path::Path;

use portcullis_core::ScopeSet;
use portcullis_test_support::{Answer, Browser, Call, Endpoint, OAuthClient, check_document_table};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use crate::{
    assertions::JWT_BEARER,
    fixture::{Fixture, ISSUER, with},
};

const RESOURCE: &str = "https://mcp.example.test/mcp";

/// The requests of a client. Names of hosts and values are replaced, shapes are not.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedClient {
    client: String,
    registration: Option<Value>,
    document: Option<Value>,
    #[serde(default)]
    authentication: Authentication,
    /// The redirect URI of the authorization request.
    redirect_uri: String,
    scope: Option<String>,
    /// Further parameters of the authorization request.
    #[serde(default)]
    authorization: Map<String, Value>,
    /// Whether a refresh repeats the scope of the authorization request.
    #[serde(default)]
    repeats_scope: bool,
    /// The content type of token requests, if it is unusual.
    content_type: Option<String>,
    /// The configuration key without which the client is refused.
    key: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
enum Authentication {
    #[default]
    #[serde(rename = "none")]
    None,
    #[serde(rename = "secret")]
    Secret,
    #[serde(rename = "secret in the form")]
    SecretInForm,
    #[serde(rename = "assertion")]
    Assertion,
}

/// A client that has registered, or has a document, and requests tokens.
struct Replay<'a> {
    recorded: &'a RecordedClient,
    fixture: &'a Fixture,
    client: OAuthClient,
    browser: Browser,
}

impl<'a> Replay<'a> {
    /// Registers the client, or publishes its document.
    async fn register(recorded: &'a RecordedClient, fixture: &'a Fixture) -> Result<Self, Answer> {
        let mut client = fixture.client("").await.with_redirect_uri(&recorded.redirect_uri).with_resource(RESOURCE);
        if let Some(scope) = &recorded.scope {
            client = client.with_scope(scope);
        }
        if let Some(document) = &recorded.document {
            let keys =
                document.get("jwks_uri").map_or(Value::Null, |_| fixture.idp.endpoint_url(Endpoint::KeySet).into());
            fixture.host.says(&with(document, "jwks_uri", &keys));
            client = client.with_client_id(document["client_id"].as_str().expect("a URL"));
        }
        if let Some(registration) = &recorded.registration {
            let without_secret = client.clone();
            let answer = client.register(registration).await.expect("a response");
            let Some(id) = answer["client_id"].as_str() else { return Err(answer) };
            match recorded.authentication {
                Authentication::None => client = without_secret.with_client_id(id),
                Authentication::SecretInForm => client = client.with_secret_in_body(answer.text("client_secret")),
                Authentication::Secret | Authentication::Assertion => {}
            }
        }
        let browser = Browser::new(fixture.network.clone()).with_stop_at(&recorded.redirect_uri);
        Ok(Self { recorded, fixture, client, browser })
    }

    /// Sends a request to the token endpoint as the client does.
    async fn send(&self, call: Call) -> Answer {
        let call = match &self.recorded.content_type {
            Some(content_type) => call.with_header("content-type", content_type),
            None => call,
        };
        let call = match self.recorded.authentication {
            Authentication::Assertion => {
                let id = self.client.client_id();
                let token = self.fixture.idp.token(id).with_header("typ", "JWT").with_claim("iss", id);
                let token = token.with_audience(&format!("{ISSUER}/token"));
                let assertion = token.with_lifetime(std::time::Duration::from_mins(1)).jwt();
                call.with("client_assertion_type", JWT_BEARER).with("client_assertion", &assertion)
            }
            _ => call,
        };
        call.await.expect("a response")
    }

    /// Logs in, with `more` scopes.
    async fn log_in(&mut self, more: Option<&str>) -> Result<Answer, String> {
        let authorization = self.client.authorization().expect("an endpoint");
        let written = self.recorded.authorization.iter().map(|(name, value)| (&**name, value.as_str().expect("text")));
        let authorization = written.fold(authorization, |request, (name, value)| request.with(name, value));
        let scope = [self.recorded.scope.as_deref(), more].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let authorization = if scope.is_empty() { authorization } else { authorization.with("scope", &scope) };
        let arrival = self.browser.log_in(&authorization.url(), "alice").await.map_err(|error| error.to_string())?;
        let callback = arrival.left().map_err(|error| error.to_string())?;
        let parameter =
            |url: &Url, name| url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned());
        let sent = Url::parse(&authorization.url()).expect("a URL");
        assert_eq!(parameter(&callback, "state"), parameter(&sent, "state"), "{}", self.recorded.client);
        let code = parameter(&callback, "code").ok_or_else(|| parameter(&callback, "error").unwrap_or_default())?;
        let tokens = self.send(self.client.redeem(&authorization, &code)).await;
        if tokens["refresh_token"].is_string() { Ok(tokens) } else { Err(outcome(&tokens)) }
    }

    async fn refresh(&self, refresh_token: &str) -> Answer {
        let call = self.client.refresh(refresh_token);
        let repeated = self.recorded.scope.as_deref().filter(|_| self.recorded.repeats_scope);
        self.send(repeated.into_iter().fold(call, |call, scope| call.with("scope", scope))).await
    }

    /// Returns the outcomes of a login, a refresh, a login for more scopes, and a revocation.
    async fn outcomes(mut self) -> Result<[String; 4], [String; 4]> {
        let no = |at: usize, why: String| {
            std::array::from_fn(|cell| match cell.cmp(&at) {
                std::cmp::Ordering::Less => "yes".to_owned(),
                std::cmp::Ordering::Equal => format!("no: {why}"),
                std::cmp::Ordering::Greater => String::new(),
            })
        };
        let tokens = self.log_in(None).await.map_err(|why| no(0, why))?;
        let refreshed = self.refresh(tokens.refresh_token()).await;
        if !refreshed["refresh_token"].is_string() || refreshed["access_token"] == tokens["access_token"] {
            return Err(no(1, outcome(&refreshed)));
        }
        let more = self.log_in(Some("mcp:write")).await.map_err(|why| no(2, why))?;
        if !more["scope"].as_str().is_some_and(|scope| scope.split(' ').any(|scope| scope == "mcp:write")) {
            return Err(no(2, "the scope is not granted".to_owned()));
        }
        let revoked = self.send(self.client.revoke(more.refresh_token())).await;
        let after = self.refresh(more.refresh_token()).await;
        if revoked.status() != 200 || after.error() != Some("invalid_grant") {
            return Err(no(3, outcome(&revoked)));
        }
        Ok(std::array::from_fn(|_| "yes".to_owned()))
    }
}

fn outcome(answer: &Answer) -> String {
    format!("{} {}", answer.status().as_u16(), answer.error().unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn recorded_clients_get_what_the_document_of_compatibility_says() {
    let recorded: Vec<RecordedClient> = serde_json::from_str(include_str!("recorded_clients.json")).expect("a table");
    let fixture = Fixture::with(|config| {
        let config = config.with_default_scopes(ScopeSet::parse("mcp:read").expect("a scope"));
        config.with_http_redirect_hosts(["host.docker.internal"])
    });
    let mut rows = Vec::new();
    for recorded in &recorded {
        let how = match (&recorded.document, &recorded.key) {
            (Some(_), _) => "document".to_owned(),
            (None, Some(key)) => format!("yes, with `{key}`"),
            (None, None) => "yes".to_owned(),
        };
        let mut row = vec![recorded.client.clone()];
        match Replay::register(recorded, &fixture).await {
            Ok(replay) => {
                row.push(how);
                row.extend(replay.outcomes().await.unwrap_or_else(|failed| failed));
            }
            Err(refused) => row.extend([
                format!("no: {}", outcome(&refused)),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
            ]),
        }
        rows.push(row);
    }
    let failed: Vec<_> = rows.iter().filter(|row| row.iter().any(|cell| cell.starts_with("no"))).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
    check_document_table(&document, "recorded clients", &rows);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_needs_a_key_is_refused_without_it() {
    let recorded: Vec<RecordedClient> = serde_json::from_str(include_str!("recorded_clients.json")).expect("a table");
    let fixture = Fixture::new();
    let needy: Vec<_> = recorded.iter().filter(|recorded| recorded.key.is_some()).collect();
    assert!(!needy.is_empty());
    for recorded in needy {
        let refused = Replay::register(recorded, &fixture).await.err().expect("a refusal");
        assert_eq!(refused.error(), Some("invalid_redirect_uri"), "{}", recorded.client);
        assert!(refused["error_description"] != json!(null));
    }
}
