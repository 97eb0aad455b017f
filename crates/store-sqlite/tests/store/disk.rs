//! A disk that is full, and files that cannot be written.
#![cfg(unix)]

use std::{
    env, fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

use portcullis_core::UnixTime;
use portcullis_store::{Expected, RecordKey, Row, Store, StoreErrorKind, Swap};
use portcullis_store_sqlite::SqliteStore;

use crate::{
    folder::Folder,
    process::{COUNTER, GRANTS, command, number, numbered, says},
};

/// A small file system of a test's own, if this machine lets us have one.
struct SmallDisk(Folder);

impl SmallDisk {
    fn new() -> Option<Self> {
        let disk = Self(Folder::new());
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(disk.0.path()).output();
        mount.is_ok_and(|output| output.status.success()).then_some(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: connections are closed by threads of their own.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[tokio::test]
async fn a_full_disk_fails_writes_and_loses_none() {
    let Some(disk) = SmallDisk::new() else {
        eprintln!(
            "no file system may be mounted here: the limit on the size of files must do, which is tested as well"
        );
        return;
    };
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![0; 512 * 1024]).expect("room");
    let store = SqliteStore::open(disk.0.database()).await.expect("a store");
    let large = Row::new(vec![0xab; 10_000].into(), UnixTime::MAX);
    let id = |number: u8| RecordKey::new(GRANTS, [number; 32]);
    let mut written = 0;
    let error = loop {
        match store.compare_and_swap(id(written), Expected::Absent, large.clone(), None).await {
            Ok(outcome) => assert!(matches!(outcome, Swap::Written(_)), "{outcome:?}"),
            Err(error) => break error,
        }
        written += 1;
    };
    assert_eq!(error.kind(), StoreErrorKind::Full);
    let error = error.to_string();
    assert!(written > 10, "{written} rows on the disk");
    assert!(error.contains("portcullis.db") && error.contains("full"), "{error}");
    for again in 0..3 {
        assert!(
            store.compare_and_swap(id(written), Expected::Absent, large.clone(), None).await.is_err(),
            "{again}: no room"
        );
    }
    for number in 0..written {
        assert!(store.load(id(number)).await.expect("reading needs no room").is_some(), "row {number} of {written}");
    }
    assert!(store.load(id(written)).await.expect("no failure").is_none(), "what failed is not there");

    fs::remove_file(ballast).expect("no failure");
    let swap = store.compare_and_swap(id(written), Expected::Absent, large.clone(), None).await;
    assert!(matches!(swap, Ok(Swap::Written(_))), "there is room again: {swap:?}");
    let other = SqliteStore::open(disk.0.database()).await.expect("a store");
    assert!(other.load(id(written)).await.expect("no failure").is_some(), "it was not committed");
}

#[tokio::test]
async fn a_file_that_may_not_grow_fails_writes_and_loses_none() {
    let folder = Folder::new();
    let program = env::current_exe().expect("a path");
    let role = command(&program, "write", &folder.database());
    let mut shell = Command::new("sh");
    // Ignored, the signal becomes an error of the write.
    shell.args(["-c", "trap '' XFSZ && ulimit -f 512 && exec \"$0\" \"$@\""]).arg(&program).args(role.get_args());
    shell.envs(role.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = shell.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a shell");
    let reported = says(&mut child).last().expect("some writes").parse::<u32>().expect("a number");
    assert!(!child.wait().expect("its end").success(), "it has met no limit");

    let store = SqliteStore::open(folder.database()).await.expect("a store");
    let stored = store.load(COUNTER).await.expect("no failure").expect("a row");
    assert_eq!(number(&stored.row.sealed), reported);
    let swap = store.compare_and_swap(COUNTER, Expected::Unexpired(stored.version), numbered(0), None).await;
    assert!(matches!(swap, Ok(Swap::Written(_))), "{swap:?}");
}

/// What opening says in a process that may not do everything: root may.
fn opened_without_privileges(folder: &Folder) -> String {
    /// A user without rights.
    const UNPRIVILEGED: u32 = 65_534;
    // Where others may run it.
    let program = env::temp_dir().join(format!("{}-program", folder.path().display()));
    fs::copy(env::current_exe().expect("a path"), &program).expect("a copy");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("no failure");
    let mut command = command(&program, "open", &folder.database());
    command.current_dir("/");
    if fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        for file in fs::read_dir(folder.path()).expect("a folder") {
            std::os::unix::fs::chown(file.expect("an entry").path(), Some(UNPRIVILEGED), Some(UNPRIVILEGED))
                .expect("no failure");
        }
        std::os::unix::fs::chown(folder.path(), Some(UNPRIVILEGED), Some(UNPRIVILEGED)).expect("no failure");
        command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    }
    let mut child = command.spawn().expect("a process");
    let said = says(&mut child).next().expect("it says something");
    child.wait().expect("its end");
    fs::remove_file(program).expect("no failure");
    said
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("no failure");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_an_error_at_the_start() {
    let folder = Folder::new();
    drop(SqliteStore::open(folder.database()).await.expect("a store"));
    assert_eq!(opened_without_privileges(&folder), "open");
    allow(&folder.database(), 0o400);
    let said = opened_without_privileges(&folder);
    assert!(said.contains("portcullis.db: the file, its folder or its file system is read-only"), "{said}");
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_at_the_start() {
    let folder = Folder::new();
    allow(folder.path(), 0o500);
    let said = opened_without_privileges(&folder);
    assert!(said.contains("portcullis.db: creating it: Permission denied"), "{said}");
    allow(folder.path(), 0o700);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_an_error_at_the_start() {
    let folder = Folder::new();
    let path = folder.path().join("nowhere").join("portcullis.db");
    let error = SqliteStore::open(path).await.expect_err("no folder").to_string();
    assert!(error.contains("nowhere/portcullis.db: creating it: No such file or directory"), "{error}");
}
