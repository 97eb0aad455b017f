//! Only the owner may read the files.
#![cfg(unix)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use portcullis_store::{Expected, Store};
use portcullis_store_sqlite::SqliteStore;

use crate::{
    folder::Folder,
    process::{COUNTER, command, numbered, says},
};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

fn files(folder: &Folder) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
    files.collect()
}

#[tokio::test]
async fn every_file_is_created_for_its_owner_alone() {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.database()).await.expect("a store");
    store.compare_and_swap(COUNTER, Expected::Absent, numbered(1), None).await.expect("no failure");
    let files = files(&folder);
    assert_eq!(files.len(), 3, "the database, -wal and -shm: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn no_umask_opens_them() {
    let folder = Folder::new();
    let program = std::env::current_exe().expect("a path");
    let role = command(&program, "write", &folder.database());
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "umask 000 && exec \"$0\" \"$@\""]).arg(program).args(role.get_args());
    shell.envs(role.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = shell.stdout(std::process::Stdio::piped()).spawn().expect("a shell");
    assert!(says(&mut child).next().is_some());
    child.kill().expect("SIGKILL");
    child.wait().expect("its end");
    let files = files(&folder);
    assert_eq!(files.len(), 3, "the database, -wal and -shm: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn files_that_are_open_to_others_are_closed() {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.database()).await.expect("a store");
    store.compare_and_swap(COUNTER, Expected::Absent, numbered(1), None).await.expect("no failure");
    for file in files(&folder) {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("no failure");
    }
    SqliteStore::open(folder.database()).await.expect("a store");
    for file in files(&folder) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    assert!(store.load(COUNTER).await.expect("no failure").is_some(), "the store before still works");
}
