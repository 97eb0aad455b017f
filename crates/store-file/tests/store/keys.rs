//! The key of the store in a file: created once, never overwritten, and the rows are of no use without it.

use std::{fs, path::Path, sync::Arc};

use portcullis_core::UnixTime;
use portcullis_store::{OpenError, RecordKey, SealedStore};
use portcullis_store_file::{FileStore, KeyError};

#[cfg(all(feature = "keyring", target_os = "linux"))]
use crate::fixture::command;
use crate::fixture::{COLLECTION, Folder, key, says, spawn};

const TOKEN: &str = "a-refresh-token-in-the-clear";

async fn write(folder: &Folder, at: RecordKey) {
    let store = folder.open().await;
    let keys = store.keys_in_file(folder.file().with_file_name("key")).await.expect("a key");
    let sealed = SealedStore::open(Arc::new(store), keys, &[COLLECTION]).await.expect("the right key");
    sealed.create(at, &TOKEN, UnixTime::MAX).await.expect("no failure").expect("none before");
    assert_eq!(sealed.load::<String>(at).await.expect("no failure").expect("a row").value, TOKEN);
}

#[test]
fn of_many_processes_one_creates_the_key() {
    let folder = Folder::new();
    let mut processes: Vec<_> = (0..8).map(|_| spawn("key", &folder.file())).collect();
    let keys: Vec<_> = processes.iter_mut().map(|process| says(process).last().expect("a key")).collect();
    for mut process in processes {
        assert!(process.wait().expect("its end").success());
    }
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[tokio::test]
async fn a_key_file_that_cannot_be_read_is_not_overwritten() {
    let folder = Folder::new();
    let (store, path) = (folder.open().await, folder.file().with_file_name("key"));
    for text in ["", "no key"] {
        fs::write(&path, text).expect("written");
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("no failure");
        let error = store.keys_in_file(&path).await.expect_err("no key").to_string();
        assert!(error.contains("example/key is no key ring"), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("a file"), text);
    }
    #[cfg(unix)]
    {
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("no failure");
        let error = store.keys_in_file(&path).await.expect_err("open to others").to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }
}

#[tokio::test]
async fn no_key_is_created_for_rows_that_are_sealed_with_another() {
    let folder = Folder::new();
    write(&folder, key(1)).await;
    let path = folder.file().with_file_name("key");
    let text = fs::read_to_string(&path).expect("a key");
    fs::remove_file(&path).expect("removed");
    let store = folder.open().await;
    let error = store.keys_in_file(&path).await.expect_err("the key is gone");
    assert!(matches!(error, KeyError::Missing { .. }), "{error}");
    assert!(error.to_string().contains("or move") && !path.exists(), "{error}");

    // The key of another store opens nothing, which is noticed at the start.
    let other = Folder::new();
    write(&other, key(1)).await;
    let wrong = store.keys_in_file(other.file().with_file_name("key")).await.expect("a key");
    let opened = SealedStore::open(Arc::new(store), wrong, &[COLLECTION]).await;
    assert!(matches!(opened, Err(OpenError::WrongKeys(_))), "{opened:?}");

    fs::write(&path, text).expect("written");
    #[cfg(unix)]
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("no failure");
    write(&folder, key(2)).await;
}

#[tokio::test]
async fn no_token_stands_in_the_bytes_of_any_file() {
    let folder = Folder::new();
    write(&folder, key(1)).await;
    let mut files = 0;
    for entry in fs::read_dir(folder.file().parent().expect("a folder")).expect("a folder") {
        let bytes = fs::read(entry.expect("an entry").path()).expect("a file");
        assert!(!contains(&bytes, TOKEN), "{}", String::from_utf8_lossy(&bytes));
        files += 1;
    }
    assert_eq!(
        files,
        if cfg!(unix) { 2 } else { 4 },
        "the file and the key, and a lock file of each where folders have no locks"
    );
    assert!(contains(&fs::read(folder.file()).expect("a file"), "\"sealed\""), "the rows are elsewhere");
}

#[cfg(unix)]
#[tokio::test]
async fn every_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = Folder::new();
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    write(&folder, key(1)).await;
    let own = folder.file().parent().expect("a folder").to_owned();
    assert_eq!(mode(&own), 0o700);
    for entry in fs::read_dir(&own).expect("a folder") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    for open in [0o640, 0o604, 0o660] {
        fs::set_permissions(folder.file(), fs::Permissions::from_mode(open)).expect("no failure");
        let error = FileStore::open(folder.file()).await.expect_err("open to other users").to_string();
        assert!(error.contains(&format!("mode {open:o}, expected 600); chmod 600 ")), "{error}");
        assert_eq!(mode(&folder.file()), open, "the user is told, and decides");
    }
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o600)).expect("no failure");
    folder.open().await;

    for open in [0o720, 0o702, 0o777] {
        fs::set_permissions(&own, fs::Permissions::from_mode(open)).expect("no failure");
        let error = FileStore::open(folder.file()).await.expect_err("open to other users").to_string();
        assert!(error.contains(&format!("mode {open:o}, expected 700")) && error.contains("chmod 700"), "{error}");
        assert_eq!(mode(&own), open, "the folder may be shared on purpose");
    }
}

/// On Linux the keyring is a service of the session, which is found by this address.
#[cfg(all(feature = "keyring", target_os = "linux"))]
#[test]
fn without_a_keyring_the_error_names_the_key_file() {
    let folder = Folder::new();
    let program = std::env::current_exe().expect("a path");
    let mut process = command(&program, "keyring", &folder.file());
    process.env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", folder.path().join("absent").display()));
    let mut process = process.spawn().expect("a process");
    let said = says(&mut process).last().expect("it says something");
    assert!(process.wait().expect("its end").success());
    assert!(said.contains("the entry tokens of example in the keyring: there is no keyring here"), "{said}");
    assert!(said.contains("use a key file (`keys_in_file`)"), "{said}");
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}
