//! The key that seals the rows of a store: in a file, or in the keyring of the operating system.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use portcullis_store::KeyRing;
use zeroize::Zeroizing;

use crate::{FileStore, KeyError, disk::Disk, store::Shared};

/// How long a caller waits while another process creates the key: its user may have to unlock the keyring.
const CREATION_TIMEOUT: Duration = Duration::from_mins(1);

impl FileStore {
    /// Reads the keys in the file `path`, or creates one there, with mode 0600, for a store that has no rows yet.
    ///
    /// The file is one that [`KeyRing::from_file`] reads: keys can be added to it. Of any number of processes that find no key, one
    /// creates it. A file that cannot be read is an error, and left as it is. A program that can read both files can read the rows: keep
    /// copies of the two apart.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn keys_in_file(&self, path: impl Into<PathBuf>) -> Result<KeyRing, KeyError> {
        let (shared, path) = (Arc::clone(&self.shared), path.into());
        self.blocking(move || in_file(&shared, &path)).await
    }

    /// Reads the keys in the entry `user` of `service` of the keyring of the operating system, or creates one there for a store that has no rows
    /// yet: the Keychain of macOS, the Credential Manager of Windows, and the Secret Service elsewhere, as of GNOME and KDE.
    ///
    /// The entry is small, a text that [`KeyRing::parse`] reads. Of any number of processes that find no key, one creates it, under the lock
    /// of the store. An entry that cannot be read, as of a keyring that is locked, is an error, and left as it is. The system may ask the
    /// user for a password: the call waits for it on a thread for blocking work.
    ///
    /// A machine without a desktop, such as a server or a container, has no keyring: the call fails at once, with
    /// [`KeyError::NoKeyring`]. Use [`keys_in_file`](Self::keys_in_file) there. Which of both is used is the decision of the
    /// configuration: a program that falls back by itself cannot read the rows of its other runs.
    ///
    /// # Errors
    /// [`KeyError`].
    #[cfg(feature = "keyring")]
    pub async fn keys_in_keyring(&self, service: &str, user: &str) -> Result<KeyRing, KeyError> {
        let (shared, place) = (Arc::clone(&self.shared), format!("the entry {user} of {service} in the keyring"));
        let (service, user) = (service.to_owned(), user.to_owned());
        self.blocking(move || match keyring::Entry::new(&service, &user) {
            Ok(entry) => in_keyring(&shared, place, &entry),
            Err(error) => Err(match keyring::Entry::store_status() {
                Ok(()) => keyring_failed(&place, &error),
                Err(absent) => KeyError::NoKeyring { place, problem: absent.to_string() },
            }),
        })
        .await
    }
}

fn in_file(shared: &Shared, path: &Path) -> Result<KeyRing, KeyError> {
    let disk = Disk::at(path)?;
    if disk.read()?.is_none() {
        let lock = disk.lock(CREATION_TIMEOUT)?;
        if disk.read()?.is_none() {
            refuse_unless_empty(shared, || disk.path().display().to_string())?;
            disk.replace(new_key().as_bytes(), &lock)?;
        }
    }
    Ok(KeyRing::from_file(disk.path())?)
}

#[cfg(feature = "keyring")]
fn in_keyring(shared: &Shared, place: String, entry: &keyring::Entry) -> Result<KeyRing, KeyError> {
    let read = || match entry.get_password() {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(keyring::Error::NoEntry) => Ok(None),
        Err(error) => Err(keyring_failed(&place, &error)),
    };
    let text = match read()? {
        Some(text) => text,
        None => {
            let _lock = shared.disk.lock(CREATION_TIMEOUT)?;
            if read()?.is_none() {
                refuse_unless_empty(shared, || place.clone())?;
                entry.set_password(&new_key()).map_err(|error| keyring_failed(&place, &error))?;
            }
            // What the keyring says it has, and not what it was told.
            read()?.ok_or_else(|| keyring_failed(&place, &"the entry that was just written is not there"))?
        }
    };
    KeyRing::parse(&text).map_err(|invalid| KeyError::Invalid { place, invalid })
}

/// The message of the keyring, without what it has found: that may be a key.
#[cfg(feature = "keyring")]
fn keyring_failed(place: &str, error: &impl std::fmt::Display) -> KeyError {
    KeyError::Keyring { place: place.to_owned(), problem: error.to_string() }
}

/// Refuses to create a key for rows that were sealed with another one.
fn refuse_unless_empty(shared: &Shared, place: impl FnOnce() -> String) -> Result<(), KeyError> {
    if shared.content()?.table.is_empty() {
        return Ok(());
    }
    Err(KeyError::Missing { place: place(), path: shared.disk.path().to_owned() })
}

/// Returns a random key, as a line of a key ring.
fn new_key() -> Zeroizing<String> {
    let mut key = Zeroizing::new([0_u8; 32]);
    rand::fill(&mut *key);
    // Sufficient capacity from the start: the buffers that a growing text leaves behind are not wiped.
    let mut line = Zeroizing::new(String::with_capacity(64));
    STANDARD.encode_string(*key, &mut line);
    line.push('\n');
    line
}

#[cfg(all(test, feature = "keyring"))]
mod tests {
    use std::sync::Barrier;

    use keyring_core::{Entry, Error, mock};
    use portcullis_core::UnixTime;
    use portcullis_store::{Collection, RecordKey, SealedStore};

    use super::*;

    const COLLECTION: Collection = Collection::new(200, "test");

    /// A store, and an entry of a keyring in memory: this machine may have no keyring, and no user to unlock it.
    struct World {
        store: FileStore,
        entry: keyring::Entry,
        folder: PathBuf,
    }

    impl World {
        async fn new() -> Self {
            let folder = std::env::temp_dir().join(format!("portcullis-keys-{:x}", rand::random::<u64>()));
            let store = FileStore::open(folder.join("tokens")).await.expect("a store");
            let mock: Arc<keyring_core::CredentialStore> = mock::Store::new().expect("a keyring");
            let inner = Entry::new_in_store(&mock, "example", "tokens").expect("an entry");
            Self { store, entry: keyring::Entry { inner }, folder }
        }

        fn keys(&self) -> Result<KeyRing, KeyError> {
            in_keyring(&self.store.shared, "the entry".to_owned(), &self.entry)
        }

        fn fails_next(&self, error: Error) {
            self.entry.inner.as_any().downcast_ref::<mock::Cred>().expect("a mock").set_error(error);
        }

        async fn write(&self) {
            let sealed = SealedStore::new(Arc::new(self.store.clone()), self.keys().expect("a key")).expect("durable");
            let key = RecordKey::of(COLLECTION, &[b"a row"]);
            sealed.create(key, &"a value", UnixTime::MAX).await.expect("no failure").expect("none before");
        }
    }

    impl Drop for World {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }

    #[tokio::test]
    async fn the_key_is_created_once_and_found_again() {
        let world = World::new().await;
        let together = Barrier::new(8);
        let rings: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        together.wait();
                        format!("{:?}", world.keys().expect("a key"))
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(rings.iter().all(|ring| *ring == rings[0]), "{rings:?}");
        let text = world.entry.get_password().expect("the key");
        assert!(text.len() < 64 && KeyRing::parse(&text).is_ok(), "small, and a key ring");
    }

    #[tokio::test]
    async fn an_entry_that_cannot_be_read_is_not_overwritten() {
        let world = World::new().await;
        world.fails_next(Error::NoStorageAccess("the keyring is locked".into()));
        let error = world.keys().expect_err("locked").to_string();
        assert!(error.contains("the keyring is locked") && error.contains("unlock"), "{error}");
        assert!(matches!(world.entry.get_password(), Err(Error::NoEntry)), "a key was created");

        world.entry.set_password("the password of something else").expect("set");
        let error = world.keys().expect_err("no key").to_string();
        assert!(error.contains("the entry is not a key ring") && !error.contains("something else"), "{error}");
        assert_eq!(world.entry.get_password().expect("it is there"), "the password of something else");

        world.entry.set_secret(&[0xff, 0xfe]).expect("set");
        assert!(matches!(world.keys(), Err(KeyError::Keyring { .. })), "not text");
        assert_eq!(world.entry.get_secret().expect("it is there"), [0xff, 0xfe]);
    }

    #[tokio::test]
    async fn no_key_is_created_for_rows_that_are_sealed_with_another() {
        let world = World::new().await;
        world.write().await;
        let text = world.entry.get_password().expect("the key");
        world.entry.delete_credential().expect("deleted");
        let error = world.keys().expect_err("the key is gone").to_string();
        assert!(error.contains("tokens has rows that were sealed with one: put the key back"), "{error}");
        assert!(matches!(world.entry.get_password(), Err(Error::NoEntry)), "a key was created");
        world.entry.set_password(&text).expect("set");
        assert!(world.keys().is_ok(), "it was put back");
    }
}
