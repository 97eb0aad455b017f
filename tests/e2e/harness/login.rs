//! The authorization code flow with PKCE, through a browser that is no more than redirects and cookies.

use std::collections::HashMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::{Client, header, redirect::Policy};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

/// Where every application of the tests gets its codes.
pub(crate) const REDIRECT_URI: &str = "http://127.0.0.1:1/callback";
const VERIFIER: &str = "a-verifier-that-is-long-enough-to-be-one-43";

pub(super) struct Login<'a> {
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    pub(super) user: &'a str,
    pub(super) resource: &'a str,
    pub(super) scope: &'a str,
}

impl Login<'_> {
    /// The answer of the token endpoint.
    pub(super) async fn run(&self) -> Value {
        let code = self.authorize().await;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", &*code),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", VERIFIER),
            ("resource", self.resource),
        ];
        form.retain(|(_, value)| !value.is_empty());
        let request = Client::new().post(&self.token_endpoint).basic_auth("app", Some("app-secret"));
        request.form(&form).send().await.expect("an answer").json().await.expect("JSON")
    }

    async fn authorize(&self) -> String {
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let parameters = [
            ("client_id", "app"),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT_URI),
            ("scope", self.scope),
            ("resource", self.resource),
            ("login_hint", self.user),
            ("code_challenge", &*challenge),
            ("code_challenge_method", "S256"),
        ];
        let parameters = parameters.iter().filter(|(_, value)| !value.is_empty());
        let url = Url::parse_with_params(&self.authorization_endpoint, parameters).expect("a URL");
        code(url, HashMap::new()).await
    }
}

/// The code with which the browser comes back to the application, from wherever `url` leads it.
pub(crate) async fn code(mut url: Url, mut cookies: HashMap<String, String>) -> String {
    let browser = Client::builder().redirect(Policy::none()).build().expect("a client");
    for _ in 0..10 {
        let header: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = browser.get(url.clone()).header(header::COOKIE, header.join("; "));
        let response = request.send().await.expect("an answer");
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            let (name, value) = cookie
                .to_str()
                .expect("text")
                .split(';')
                .next()
                .and_then(|pair| pair.split_once('='))
                .expect("a cookie");
            cookies.insert(name.to_owned(), value.to_owned());
        }
        let location = response.headers().get(header::LOCATION).map(|value| value.to_str().expect("text").to_owned());
        let Some(location) = location else { panic!("stuck at {url}: {}", response.text().await.expect("text")) };
        url = url.join(&location).expect("a URL");
        if url.as_str().starts_with(REDIRECT_URI) {
            let code = url.query_pairs().find_map(|(name, value)| (name == "code").then(|| value.into_owned()));
            return code.unwrap_or_else(|| panic!("no code: {url}"));
        }
    }
    panic!("too many redirects, at {url}");
}
