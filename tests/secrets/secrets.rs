//! [`Secrets`]: what was said that only the two who said it may know.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use http::{HeaderMap, header};
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::{server::PLANTED, wiretap::Exchange};

/// Parameters and members that are secrets.
const SECRET: [&str; 14] = [
    "access_token",
    "refresh_token",
    "id_token",
    "client_secret",
    "code",
    "code_verifier",
    "token",
    "assertion",
    "client_assertion",
    "state",
    "nonce",
    "initial_access_token",
    "registration_access_token",
    "request",
];

/// What must have been said, or nothing is tested.
const EXPECTED: [&str; 14] = [
    "access_token",
    "refresh_token",
    "id_token",
    "client_secret",
    "code",
    "code_verifier",
    "token",
    "assertion",
    "state",
    "nonce",
    "request",
    "credentials",
    "cookie",
    "planted",
];

/// What a page tells the browser to take somewhere, which is what the page is for.
const TRAVELLING: [&str; 3] = ["state", "nonce", "request"];

/// Shorter ones are words.
const SHORTEST: usize = 12;

/// From the text to what it is.
pub(crate) struct Secrets(BTreeMap<String, Known>);

#[derive(Default)]
struct Known {
    what: BTreeSet<&'static str>,
    /// As it is, and as it is written elsewhere.
    written: Vec<String>,
}

/// All that was said in `exchanges`, and what the servers were set up with.
pub(crate) fn of(exchanges: &[Exchange]) -> Secrets {
    let mut secrets = Secrets(BTreeMap::new());
    for planted in PLANTED {
        secrets.add("planted", planted);
    }
    for exchange in exchanges {
        let query = exchange.uri.split_once('?').map_or("", |(_, query)| query);
        secrets.add_form(query.as_bytes());
        secrets.add_form(&exchange.request);
        secrets.add_credentials(&exchange.request_headers);
        secrets.add_cookies(&exchange.headers);
        secrets.add_json(&exchange.body);
        if let Some(location) = exchange.headers.get(header::LOCATION).and_then(|value| value.to_str().ok()) {
            let url = Url::parse(location);
            secrets.add_form(url.as_ref().ok().and_then(Url::query).unwrap_or_default().as_bytes());
        }
    }
    secrets
}

impl Secrets {
    /// There are some of each kind.
    #[track_caller]
    pub(crate) fn assert_complete(&self) {
        let found: BTreeSet<_> = self.0.values().flat_map(|known| known.what.iter().copied()).collect();
        for what in EXPECTED {
            assert!(found.contains(what), "no {what} was said");
        }
        assert!(self.0.len() > 100, "{} secrets", self.0.len());
    }

    fn add(&mut self, what: &'static str, text: &str) {
        if text.len() < SHORTEST {
            return;
        }
        let known =
            self.0.entry(text.to_owned()).or_insert_with(|| Known { written: written(text), ..Known::default() });
        known.what.insert(what);
        // The rest of a JWT may be known: the signature is the secret.
        if text.matches('.').count() == 2
            && let Some((_, signature)) = text.rsplit_once('.')
        {
            self.add(what, signature);
        }
    }

    fn add_form(&mut self, form: &[u8]) {
        for (name, value) in form_urlencoded::parse(form) {
            if let Some(what) = SECRET.iter().find(|secret| ***secret == *name) {
                self.add(what, &value);
            }
        }
    }

    fn add_json(&mut self, body: &[u8]) {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        for what in SECRET {
            self.add(what, json[what].as_str().unwrap_or_default());
        }
        let id_token = json["id_token"].as_str().and_then(|id_token| id_token.split('.').nth(1));
        let claims = id_token.and_then(|payload| BASE64_URL_SAFE_NO_PAD.decode(payload).ok()).unwrap_or_default();
        let claims: Value = serde_json::from_slice(&claims).unwrap_or_default();
        self.add("nonce", claims["nonce"].as_str().unwrap_or_default());
    }

    fn add_credentials(&mut self, headers: &HeaderMap) {
        for value in headers.get_all(header::AUTHORIZATION) {
            let Some((scheme, credentials)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else {
                continue;
            };
            self.add("credentials", credentials);
            if scheme.eq_ignore_ascii_case("basic") {
                let pair = BASE64_STANDARD.decode(credentials).unwrap_or_default();
                let pair = String::from_utf8(pair).unwrap_or_default();
                self.add("client_secret", pair.split_once(':').map_or("", |(_, secret)| secret));
            }
        }
    }

    fn add_cookies(&mut self, headers: &HeaderMap) {
        for value in headers.get_all(header::SET_COOKIE) {
            let pair = value.to_str().ok().and_then(|text| text.split(';').next()?.split_once('='));
            self.add("cookie", pair.map_or("", |(_, value)| value));
        }
    }

    /// Nothing that a client was given, or gave, is said in `text`.
    #[track_caller]
    pub(crate) fn assert_absent(&self, place: &str, text: &str) {
        assert_eq!(self.first_in(text), None, "{place}");
    }

    /// As [`assert_absent`](Self::assert_absent), but for what the browser is to take along.
    #[track_caller]
    pub(crate) fn assert_absent_from_page(&self, place: &str, page: &str) {
        let stays = |known: &Known| !known.what.iter().any(|what| TRAVELLING.contains(what));
        assert_eq!(first(self.0.values().filter(|known| stays(known)), page), None, "{place}");
    }

    /// The first that is said in `text`, and where.
    pub(crate) fn first_in(&self, text: &str) -> Option<String> {
        first(self.0.values(), text)
    }

    /// Nor the bytes behind it.
    #[track_caller]
    pub(crate) fn assert_absent_from_bytes(&self, place: &str, bytes: &[u8]) {
        self.assert_absent(place, &String::from_utf8_lossy(bytes));
        let decoded: HashMap<_, _> = self.0.keys().flat_map(|secret| Some((end_of_bytes(secret)?, secret))).collect();
        assert!(decoded.len() > 50, "most secrets are bytes");
        for window in bytes.windows(SHORTEST) {
            let secret = decoded.get(window);
            assert!(secret.is_none(), "{place} has the bytes of {secret:?}");
        }
    }
}

/// The last of the bytes that a token is in Base64: they are of its secret, whatever comes before.
fn end_of_bytes(token: &str) -> Option<Vec<u8>> {
    let own = token.rsplit(['.']).next().unwrap_or(token);
    let own = own.strip_prefix("pc").and_then(|own| own.split_once('_')).map_or(own, |(_, own)| own);
    let decoded = BASE64_URL_SAFE_NO_PAD.decode(own).or_else(|_| BASE64_STANDARD.decode(own)).ok()?;
    Some(decoded.last_chunk::<SHORTEST>()?.to_vec())
}

fn written(secret: &str) -> Vec<String> {
    let percent: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let (base64, base64_url) = (BASE64_STANDARD_NO_PAD.encode(secret), BASE64_URL_SAFE_NO_PAD.encode(secret));
    vec![secret.to_owned(), percent, hex, base64, base64_url]
}

fn first<'a>(mut secrets: impl Iterator<Item = &'a Known>, text: &str) -> Option<String> {
    secrets.find_map(|Known { what, written }| {
        let at = written.iter().find_map(|written| text.find(&**written))?;
        let start = text[..at].char_indices().rev().nth(300).map_or(0, |(start, _)| start);
        let end = text[at..].char_indices().nth(300).map_or(text.len(), |(end, _)| at + end);
        Some(format!("{what:?} in: {}", &text[start..end]))
    })
}
