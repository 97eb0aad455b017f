//! The files without the key are of no use.

use std::{fs, sync::Arc, time::Duration};

use portcullis_core::{BearerToken, GrantId, Issuer, ScopeSet, SystemClock, UnixTime};
use portcullis_grants::{
    GrantRecord, GrantStore, KeyRing, TokenSet, TokenStore,
    records::{Collection, RecordKey, SealedStore},
};
use portcullis_oauth::TokenResponse;
use portcullis_store_sqlite::SqliteStore;
use secrecy::SecretString;

use crate::folder::Folder;

const ACCESS: &str = "an-access-token-in-the-clear";
const REFRESH: &str = "a-refresh-token-in-the-clear";
const STATE: &str = "a-state-in-the-clear";
const CODE: &str = "a-code-in-the-clear";
const NOTE: &str = "something-the-provider-says-in-the-clear";

fn record(number: u8) -> GrantRecord {
    let access = BearerToken::new(&format!("{ACCESS}-{number}")).expect("a token");
    let mut response = TokenResponse::new(access);
    response.refresh_token = Some(SecretString::from(format!("{REFRESH}-{number}")));
    response.expires_in = Some(Duration::from_secs(3600));
    response.further.insert("note".into(), NOTE.into());
    let tokens = TokenSet::from_login(response, &ScopeSet::default(), UnixTime::from_secs(1_767_225_600));
    GrantRecord::new(Issuer::new("https://keycloak.example").expect("issuer"), Arc::new(tokens))
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn no_token_stands_in_the_bytes_of_any_file() {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.database(), Arc::new(SystemClock::new())).await.expect("a store");
    let ring = KeyRing::new([&[7; 32]]).expect("a key");
    let records = SealedStore::new(Arc::new(store.clone()), ring.clone()).expect("it is no ephemeral one");
    let store: Arc<dyn TokenStore> = Arc::new(store);
    let vault = GrantStore::new(Arc::clone(&store), ring).expect("it is no ephemeral one");
    for number in 0..100 {
        let id = GrantId::from_bytes([number; 16]);
        let version = vault.create(id, &record(number)).await.expect("no failure");
        if number % 3 == 0 {
            assert!(vault.remove(id, version).await.expect("no failure"));
        }
        let key = RecordKey::of(Collection::LOGINS, &[STATE.as_bytes(), &[number]]);
        let value = (format!("{CODE}-{number}"), STATE);
        records.create(key, &value, UnixTime::MAX).await.expect("no failure").expect("there was none");
        if number % 3 == 0 {
            records.take::<(String, String)>(key).await.expect("no failure").expect("what was put in");
        }
    }
    let kept = vault.load(GrantId::from_bytes([1; 16])).await.expect("no failure").expect("a record");
    assert_eq!(kept.record.issuer().as_str(), "https://keycloak.example");

    let mut seen = Vec::new();
    for entry in fs::read_dir(folder.path()).expect("a folder") {
        let path = entry.expect("an entry").path();
        let bytes = fs::read(&path).expect("a file");
        for secret in [ACCESS, REFRESH, NOTE, STATE, CODE] {
            let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
            for form in [secret, &hex, &hex.to_uppercase()] {
                assert!(!contains(&bytes, form.as_bytes()), "{}: {form}", path.display());
            }
        }
        seen.push((path.extension().expect("one").to_owned(), bytes));
    }
    seen.sort();
    let names: Vec<_> = seen.iter().map(|(extension, _)| extension.to_str().expect("text")).collect();
    assert_eq!(names, ["db", "db-shm", "db-wal"]);
    // What is looked for would be found: a row's own bytes are.
    let row = store.load(GrantId::from_bytes([1; 16])).await.expect("no failure").expect("a row");
    let beginning = &row.grant.sealed[..32];
    assert!(seen.iter().any(|(_, bytes)| contains(bytes, beginning)), "the rows are elsewhere");
}
