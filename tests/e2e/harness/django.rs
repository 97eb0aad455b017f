//! An authorization server made with django-oauth-toolkit: introspection without `sub`, endpoints that end in a slash, a consent page.

use std::{env, fs, path::PathBuf};

use reqwest::Client;

use super::{
    Process,
    login::Login,
    provider::{GATE_SECRET, Tokens},
    scripts::python_script,
};

/// A running authorization server.
pub(crate) struct DjangoOauthToolkit {
    pub(crate) issuer: String,
    process: Process,
    folder: PathBuf,
}

impl DjangoOauthToolkit {
    /// Starts one whose application `upstream` is at `callback`.
    pub(crate) async fn start(callback: &str, access_token_ttl: u32) -> Self {
        let folder = env::temp_dir().join(format!("portcullis-django-{:x}", rand::random::<u64>()));
        fs::create_dir(&folder).expect("a folder");
        let mut command = python_script("django-oauth-toolkit", "django_oauth_toolkit.py");
        command.env("AT_TTL", access_token_ttl.to_string()).env("CALLBACK", callback);
        let process = Process::start(command.env("GATE_SECRET", GATE_SECRET).env("FOLDER", &folder));
        let issuer = process.line("READY ").await;
        Self { issuer, process, folder }
    }

    /// Logs `user` in, who allows the application `app` `scope` at `resource` (empty: without a resource indicator).
    pub(crate) async fn login(&self, user: &str, resource: &str, scope: &str) -> Tokens {
        let (authorization_endpoint, token_endpoint) = (self.endpoint("authorize"), self.endpoint("token"));
        let login = Login { authorization_endpoint, token_endpoint, user, resource, scope };
        Tokens::new(login.run().await)
    }

    /// Revokes a token of the client `client_id`.
    pub(crate) async fn revoke(&self, client_id: &str, token: &str) {
        let request = Client::new().post(self.endpoint("revoke_token")).form(&[("token", token)]);
        let request = request.basic_auth(client_id, Some(format!("{client_id}-secret")));
        assert_eq!(request.send().await.expect("a response").status(), 200);
    }

    /// Returns how often it has responded to a request that begins like this: method, path and status.
    pub(crate) fn count(&self, request: &str) -> usize {
        self.process.lines().iter().filter(|line| line.starts_with(request)).count()
    }

    /// Returns the URL of the endpoint `name`.
    pub(crate) fn endpoint(&self, name: &str) -> String {
        format!("{}/o/{name}/", self.issuer)
    }
}

impl Drop for DjangoOauthToolkit {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
