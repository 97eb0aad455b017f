//! Glewlwyd, an authorization server in C with habits of its own; `just setup` installs Debian's.

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
};

use reqwest::{Client, Method, Response, header};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{Process, free_port, until_listening};

/// Where Debian keeps the tables.
const TABLES: &str = "/usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz";

/// Its pages, which Debian keeps elsewhere, and what they want to know.
const PAGES: &str = r#"cp -rL --no-preserve=mode /usr/share/glewlwyd/webapp . && rm -rf webapp/config.json
    echo '{"GlewlwydUrl": "./", "ProfileUrl": "profile.html", "AdminUrl": "index.html", "LoginUrl": "login.html",
        "lang": ["en"], "sessionSchemes": [], "register": [], "profilePages": {}}' >webapp/config.json"#;

/// How it issues tokens: refresh tokens are good once.
const PARAMETERS: &str = include_str!("glewlwyd.json");

/// A running Glewlwyd, with the user `alice` and an application that she allows what it asks for.
pub(crate) struct Glewlwyd {
    pub(crate) issuer: String,
    api: String,
    folder: PathBuf,
    _process: Process,
}

impl Glewlwyd {
    pub(crate) const CLIENT_ID: &str = "upstream";
    /// Of alice.
    pub(crate) const PASSWORD: &str = "correct horse battery";
    pub(crate) const CLIENT_SECRET: &str = "upstream-secret-0123456789abcdef";

    pub(crate) async fn start(redirect_uri: &str, access_token_ttl: u32) -> Self {
        assert!(Path::new(TABLES).exists(), "Glewlwyd is missing: run `just setup`");
        let folder = env::temp_dir().join(format!("portcullis-glewlwyd-{:x}", rand::random::<u64>()));
        fs::create_dir_all(folder.join("none")).expect("a folder");
        let port = free_port();
        let configuration = folder.join("glewlwyd.conf");
        fs::write(&configuration, configured(port, &folder)).expect("a file");
        shell(&folder, &format!("zcat {TABLES} | sqlite3 g.db")).await;
        shell(&folder, PAGES).await;
        shell(&folder, "openssl genrsa -out private.pem 2048 && openssl rsa -in private.pem -pubout -out public.pem")
            .await;
        let process =
            Process::start(Command::new("glewlwyd").arg(format!("--config-file={}", configuration.display())));
        until_listening(port).await;
        let api = format!("http://127.0.0.1:{port}/api");
        let this = Self { issuer: format!("{api}/oidc"), api, folder, _process: process };
        this.fill(redirect_uri, access_token_ttl).await;
        this
    }

    /// The cookies of a browser in which alice has signed in.
    pub(crate) async fn sign_in(&self) -> HashMap<String, String> {
        HashMap::from([self.session("alice", Self::PASSWORD).await])
    }

    /// Takes a refresh token back.
    pub(crate) async fn revoke(&self, refresh_token: &str) {
        let form = [("token", refresh_token), ("token_type_hint", "refresh_token")];
        let request = Client::new().post(format!("{}/revoke", self.issuer)).form(&form);
        let request = request.basic_auth(Self::CLIENT_ID, Some(Self::CLIENT_SECRET));
        succeeded(request.send().await.expect("an answer")).await;
    }

    async fn fill(&self, redirect_uri: &str, access_token_ttl: u32) {
        let admin = self.session("admin", "password").await;
        let add = async |path, body: Value| self.send(Method::POST, path, &admin, &body).await;
        add(
            "/mod/plugin/",
            json!({
                "module": "oidc", "name": "oidc", "display_name": "OIDC", "parameters": self.plugin(access_token_ttl),
            }),
        )
        .await;
        add(
            "/user/",
            json!({
                "username": "alice", "name": "Alice", "email": "alice@example.test", "password": Self::PASSWORD,
                "scope": ["g_profile", "openid"], "enabled": true,
            }),
        )
        .await;
        add(
            "/client/",
            json!({
                "client_id": Self::CLIENT_ID, "name": "upstream", "client_secret": Self::CLIENT_SECRET,
                "password": Self::CLIENT_SECRET, "confidential": true, "enabled": true, "redirect_uri": [redirect_uri],
                "scope": ["openid"], "authorization_type": ["code", "refresh_token"],
                "token_endpoint_auth_method": ["client_secret_basic"],
            }),
        )
        .await;
        let alice = self.session("alice", Self::PASSWORD).await;
        let consent = json!({"scope": "openid"});
        self.send(Method::PUT, &format!("/auth/grant/{}", Self::CLIENT_ID), &alice, &consent).await;
    }

    fn plugin(&self, access_token_ttl: u32) -> Value {
        let pem = |name| fs::read_to_string(self.folder.join(name)).expect("a key").into();
        let mut parameters: Value = serde_json::from_str(PARAMETERS).expect("JSON");
        parameters["iss"] = self.issuer.as_str().into();
        (parameters["key"], parameters["cert"]) = (pem("private.pem"), pem("public.pem"));
        parameters["access-token-duration"] = access_token_ttl.into();
        parameters
    }

    /// Name and value of the cookie.
    async fn session(&self, username: &str, password: &str) -> (String, String) {
        let credentials = json!({"username": username, "password": password});
        let request = Client::new().post(format!("{}/auth/", self.api)).json(&credentials);
        let answer = succeeded(request.send().await.expect("an answer")).await;
        let cookie = answer.headers()[header::SET_COOKIE].to_str().expect("text");
        let (name, value) = cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
        (name.to_owned(), value.to_owned())
    }

    async fn send(&self, method: Method, path: &str, (name, value): &(String, String), body: &Value) {
        let request = Client::new().request(method, format!("{}{path}", self.api));
        let request = request.header(header::COOKIE, format!("{name}={value}")).json(body);
        succeeded(request.send().await.expect("an answer")).await;
    }
}

impl Drop for Glewlwyd {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn configured(port: u16, folder: &Path) -> String {
    let folder = folder.display();
    let types: Vec<_> =
        [("html", "text/html"), ("css", "text/css"), ("js", "text/javascript"), ("json", "application/json")]
            .map(|(extension, kind)| format!("{{ extension = \".{extension}\" mime_type = \"{kind}\" }}"))
            .into();
    let types = types.join(", ");
    let modules: String = ["user", "client", "plugin"]
        .map(|kind| format!("{kind}_module_path = \"/usr/lib/glewlwyd/{kind}\"\n"))
        .concat();
    format!(
        "port = {port}\nbind_address = \"127.0.0.1\"\nexternal_url = \"http://127.0.0.1:{port}\"\napi_prefix = \"api\"\n\
         static_files_path = \"{folder}/webapp/\"\nstatic_files_mime_types = ( {types} )\nlogin_url = \"login.html\"\nlog_mode = \"console\"\nlog_level = \"WARNING\"\ncookie_domain = \"127.0.0.1\"\n\
         session_key = \"session\"\nsession_expiration = 3600\nadmin_scope = \"g_admin\"\nprofile_scope = \"g_profile\"\n\
         allow_multiple_user_per_session = true\nlogin_api_enabled = true\nhash_algorithm = \"SHA512\"\n{modules}\
         user_auth_scheme_module_path = \"/usr/lib/glewlwyd/scheme\"\nuser_middleware_module_path = \"{folder}/none\"\n\
         database = {{ type = \"sqlite3\"; path = \"{folder}/g.db\"; }};\n"
    )
}

async fn shell(folder: &Path, script: &str) {
    let output = Command::new("sh").args(["-ec", script]).current_dir(folder).output().await.expect("a shell");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn succeeded(answer: Response) -> Response {
    let (url, status) = (answer.url().clone(), answer.status());
    if !status.is_success() {
        panic!("{url}: {status}: {}", answer.text().await.expect("text"));
    }
    answer
}
