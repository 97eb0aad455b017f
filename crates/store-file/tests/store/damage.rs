//! Files that are damaged, of another program, of a later version, or replaced while they are in use.

use std::{fs, path::Path};

use portcullis_store::{Expected, Store, StoreErrorKind, Swap};
use portcullis_store_file::{FileStore, FileStoreError};

use crate::fixture::{COUNTER, Folder, key, numbered};

/// A store with three rows and an event.
async fn with_rows(folder: &Folder) -> FileStore {
    let store = folder.open().await;
    for number in 0..3 {
        let swap = store.compare_and_swap(key(number), Expected::Absent, numbered(number), None).await;
        assert!(matches!(swap, Ok(Swap::Written(_))), "{swap:?}");
    }
    store.append_event(vec![1, 2, 3].into()).await.expect("no failure");
    store
}

/// Opening and using the file fail, with a message that has `text` and the path, and the file stays as it is.
async fn is_refused(store: &FileStore, path: &Path, text: &str) {
    let before = fs::read(path).expect("a file");
    let opened = FileStore::open(path).await.expect_err("refused").to_string();
    let loaded = store.load(key(0)).await.expect_err("refused").to_string();
    let written = store.compare_and_swap(COUNTER, Expected::Absent, numbered(1), None).await;
    let written = written.expect_err("refused").to_string();
    for error in [opened, loaded, written] {
        assert!(error.contains("example/tokens: ") && error.contains(text), "{error}");
    }
    assert!(fs::read(path).expect("a file") == before, "it was overwritten");
}

#[tokio::test]
async fn a_file_that_is_damaged_anywhere_is_an_error_and_left_as_it_is() {
    let folder = Folder::new();
    let store = with_rows(&folder).await;
    let whole = fs::read(folder.file()).expect("a file");
    let header = whole.iter().position(|byte| *byte == b'\n').expect("a header");
    let magic = "portcullis file store ".len();
    let mut positions: Vec<_> = (magic..whole.len()).step_by(7).collect();
    positions.extend([magic, header - 1, header, header + 1, whole.len() - 1]);
    for position in positions {
        let mut damaged = whole.clone();
        damaged[position] ^= 1;
        fs::write(folder.file(), &damaged).expect("written");
        let error = FileStore::open(folder.file()).await.expect_err("damaged");
        let is_later = position < magic + 2 && matches!(error, FileStoreError::Later { .. });
        assert!(is_later || matches!(error, FileStoreError::Damaged { .. }), "byte {position}: {error}");
        assert!(fs::read(folder.file()).expect("a file") == damaged, "byte {position}: it was overwritten");
    }
    for len in [0, magic, header, header + 1, whole.len() - 1] {
        fs::write(folder.file(), &whole[..len]).expect("written");
        is_refused(&store, &folder.file(), "put a copy in its place, or move it away and log in again").await;
    }
    fs::write(folder.file(), &whole).expect("written");
    assert!(store.load(key(0)).await.expect("it is whole again").is_some());
}

#[tokio::test]
async fn the_file_of_another_program_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let store = with_rows(&folder).await;
    fs::write(folder.file(), "{\"notes\": []}").expect("written");
    is_refused(&store, &folder.file(), "not a file of this store").await;
}

#[tokio::test]
async fn a_later_format_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let store = with_rows(&folder).await;
    let text = fs::read_to_string(folder.file()).expect("a file");
    fs::write(folder.file(), text.replacen(" store 1 ", " store 2 ", 1)).expect("written");
    is_refused(&store, &folder.file(), "of a later version of this program (format 2, and 1 is the last").await;
}

#[tokio::test]
async fn a_file_that_was_deleted_or_replaced_is_not_written_any_more() {
    let folder = Folder::new();
    let store = with_rows(&folder).await;
    let earlier = fs::read(folder.file()).expect("a file");
    store.compare_and_remove(key(0), portcullis_store::Version::new(1)).await.expect("no failure");
    let now = fs::read(folder.file()).expect("a file");
    let other = Folder::new();
    with_rows(&other).await;
    let foreign = fs::read(other.file()).expect("a file");
    for replaced in [None, Some(earlier), Some(foreign)] {
        match &replaced {
            None => fs::remove_file(folder.file()).expect("removed"),
            Some(bytes) => fs::write(folder.file(), bytes).expect("written"),
        }
        let swap = store.compare_and_swap(COUNTER, Expected::Absent, numbered(1), None).await;
        let errors = [store.load(key(1)).await.expect_err("replaced"), swap.expect_err("replaced")];
        for error in errors {
            assert_eq!(error.kind(), StoreErrorKind::Replaced, "{error}");
        }
        assert_eq!(fs::read(folder.file()).ok(), replaced, "it was overwritten");
        fs::write(folder.file(), &now).expect("written");
        assert!(store.load(key(1)).await.expect("it is back").is_some());
    }
}

#[tokio::test]
async fn a_store_that_was_closed_says_so() {
    let folder = Folder::new();
    let store = with_rows(&folder).await;
    store.close().await.expect("no failure");
    let error = store.load(key(0)).await.expect_err("closed").to_string();
    assert!(error.ends_with("tokens: the store was closed"), "{error}");
    assert!(folder.open().await.load(key(0)).await.expect("another").is_some());
}
