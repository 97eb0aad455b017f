//! `oidc-provider`, a certified OpenID provider.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use reqwest::Client;
use serde_json::Value;
use tokio::process::Command;

use super::{Process, login::Login, script};

/// The secret with which the gate introspects, planted so that it is recognized wherever it turns up.
pub(crate) const GATE_SECRET: &str = "planted-gate-secret-7d1f";

/// The format of access tokens.
#[derive(Clone, Copy)]
pub(crate) enum Format {
    Jwt,
    Opaque,
}

/// A running provider.
pub(crate) struct Provider {
    process: Process,
    pub(crate) issuer: String,
    marks: AtomicUsize,
}

impl Provider {
    /// On a port of its own choice, with access tokens that live five minutes.
    pub(crate) async fn start(format: Format) -> Self {
        Self::start_with(format, 0, 300).await
    }

    pub(crate) async fn start_with(format: Format, port: u16, access_token_ttl: u32) -> Self {
        let format = match format {
            Format::Jwt => "jwt",
            Format::Opaque => "opaque",
        };
        let mut command = script("oidc-provider.mjs");
        command.env("AT_FORMAT", format).env("AT_TTL", access_token_ttl.to_string()).env("PORT", port.to_string());
        Self::run(command.env("GATE_SECRET", GATE_SECRET)).await
    }

    /// With opaque tokens, at a port of its own; what users allow is kept in the file `state`, and outlives it.
    pub(crate) async fn start_durable(port: u16, access_token_ttl: u32, state: &Path) -> Self {
        let mut command = script("oidc-provider.mjs");
        command.env("AT_FORMAT", "opaque").env("AT_TTL", access_token_ttl.to_string()).env("PORT", port.to_string());
        Self::run(command.env("STATE", state)).await
    }

    /// With opaque tokens and pages on which users log in themselves, any of them with any password. The application `upstream` is at
    /// `callback`.
    pub(crate) async fn start_with_pages(callback: &str, access_token_ttl: u32) -> Self {
        Self::start_with_pages_at(("127.0.0.1", 0), callback, access_token_ttl).await
    }

    /// As it is known by a name of this machine, and at a port (0: any).
    pub(crate) async fn start_with_pages_at((host, port): (&str, u16), callback: &str, access_token_ttl: u32) -> Self {
        let mut command = script("oidc-provider.mjs");
        command.env("AT_FORMAT", "opaque").env("AT_TTL", access_token_ttl.to_string());
        command.env("HOST", host).env("PORT", port.to_string());
        Self::run(command.env("PAGES", "yes").env("CALLBACK", callback)).await
    }

    /// With JWTs, and tokens that are bound to a key where a client has one: its proofs need a nonce.
    pub(crate) async fn start_with_proofs(access_token_ttl: u32) -> Self {
        let mut command = script("oidc-provider.mjs");
        command.env("AT_FORMAT", "jwt").env("AT_TTL", access_token_ttl.to_string()).env("PROOFS", "yes");
        Self::run(&mut command).await
    }

    async fn run(command: &mut Command) -> Self {
        let process = Process::start(command);
        let issuer = process.line("READY ").await;
        Self { process, issuer, marks: AtomicUsize::new(0) }
    }

    /// Logs `user` in, who allows the application `scope` at `resource`.
    pub(crate) async fn login(&self, user: &str, resource: &str, scope: &str) -> Tokens {
        let [authorization_endpoint, token_endpoint] = ["auth", "token"].map(|path| format!("{}/{path}", self.issuer));
        let login = Login { authorization_endpoint, token_endpoint, user, resource, scope };
        Tokens(login.run().await)
    }

    /// A token of a program that acts for itself.
    pub(crate) async fn client_token(&self, resource: &str, scope: &str) -> String {
        let form = [("grant_type", "client_credentials"), ("resource", resource), ("scope", scope)];
        let request = Client::new().post(format!("{}/token", self.issuer)).basic_auth("robot", Some("robot-secret"));
        let response = request.form(&form).send().await.expect("an answer");
        Tokens(response.json().await.expect("JSON")).access()
    }

    pub(crate) async fn revoke(&self, token: &str) {
        self.revoke_as("app", token).await;
    }

    /// Takes a token back; a refresh token with everything that came of it.
    pub(crate) async fn revoke_as(&self, client_id: &str, token: &str) {
        let request = Client::new().post(format!("{}/token/revocation", self.issuer));
        let request = request.basic_auth(client_id, Some(format!("{client_id}-secret"))).form(&[("token", token)]);
        assert_eq!(request.send().await.expect("an answer").status(), 200);
    }

    /// How often it has answered a request that begins like this: method and path.
    pub(crate) async fn count(&self, request: &str) -> usize {
        // What was answered before this is written down before this.
        let mark = format!("/mark-{}", self.marks.fetch_add(1, Ordering::Relaxed));
        reqwest::get(format!("{}{mark}", self.issuer)).await.expect("an answer");
        self.process.line(&format!("GET {mark} ")).await;
        self.process.lines().iter().filter(|line| line.starts_with(request)).count()
    }

    pub(crate) async fn kill(self) -> Vec<String> {
        self.process.kill().await
    }
}

/// The answer of the token endpoint.
pub(crate) struct Tokens(Value);

impl Tokens {
    pub(super) const fn new(response: Value) -> Self {
        Self(response)
    }

    pub(crate) fn access(&self) -> String {
        self.text("access_token")
    }

    pub(crate) fn id(&self) -> String {
        self.text("id_token")
    }

    fn text(&self, member: &str) -> String {
        self.0[member].as_str().unwrap_or_else(|| panic!("no {member}: {}", self.0)).to_owned()
    }
}
