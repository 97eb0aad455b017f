//! The files without the key are of no use.

use std::{fs, sync::Arc};

use portcullis_core::UnixTime;
use portcullis_store::{Collection, KeyRing, RecordKey, SealedStore, Store as _};
use portcullis_store_sqlite::SqliteStore;

use crate::{folder::Folder, process::grant};

const LOGINS: Collection = Collection::new(2, "logins");
const ACCESS: &str = "an-access-token-in-the-clear";
const REFRESH: &str = "a-refresh-token-in-the-clear";
const STATE: &str = "a-state-in-the-clear";
const CODE: &str = "a-code-in-the-clear";
const NOTE: &str = "something-the-provider-says-in-the-clear";

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn no_token_stands_in_the_bytes_of_any_file() {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.database()).await.expect("a store");
    let ring = KeyRing::new([&[7; 32]]).expect("a key");
    let sealed = SealedStore::new(Arc::new(store.clone()), ring).expect("it is no ephemeral one");
    for number in 0..100_u8 {
        let tokens = [ACCESS, REFRESH, NOTE].map(|token| format!("{token}-{number}"));
        let version = sealed.create(grant(number.into()), &tokens, UnixTime::MAX).await.expect("no failure");
        if number % 3 == 0 {
            assert!(sealed.remove(grant(number.into()), version.expect("there was none")).await.expect("no failure"));
        }
        let key = RecordKey::of(LOGINS, &[STATE.as_bytes(), &[number]]);
        let value = (format!("{CODE}-{number}"), STATE);
        sealed.create(key, &value, UnixTime::MAX).await.expect("no failure").expect("there was none");
        if number % 3 == 0 {
            sealed.take::<(String, String)>(key).await.expect("no failure").expect("what was put in");
        }
        sealed.append_event(&(CODE, number)).await.expect("no failure");
    }
    let kept = sealed.load::<[String; 3]>(grant(1)).await.expect("no failure").expect("a record");
    assert_eq!(kept.value[0], format!("{ACCESS}-1"));

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
    let row = store.load(grant(1)).await.expect("no failure").expect("a row");
    let beginning = &row.row.sealed[..32];
    assert!(seen.iter().any(|(_, bytes)| contains(bytes, beginning)), "the rows are elsewhere");
}
