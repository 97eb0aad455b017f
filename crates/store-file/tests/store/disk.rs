//! A disk that is full, and files that cannot be written.
#![cfg(unix)]

use std::{
    env, fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
        process::CommandExt as _,
    },
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use portcullis_core::UnixTime;
use portcullis_store::{Expected, Row, Store, StoreErrorKind, Swap};
use portcullis_store_file::FileStore;
use tokio::time::timeout;

use crate::fixture::{COUNTER, Folder, command, key, number, numbered, says};

/// A small file system of a test's own, if this machine lets us have one.
struct SmallDisk(Folder);

impl SmallDisk {
    fn new() -> Option<Self> {
        let disk = Self(Folder::new());
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs"]).arg(disk.0.path());
        mount.output().is_ok_and(|output| output.status.success()).then_some(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[tokio::test]
async fn a_full_disk_fails_writes_and_loses_none() {
    let Some(disk) = SmallDisk::new() else {
        eprintln!("no file system may be mounted here: the limit on the size of files must do, which is tested too");
        return;
    };
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![0; 256 * 1024]).expect("room");
    let store = disk.0.open().await;
    let large = Row::new(vec![0xab; 10_000].into(), UnixTime::MAX);
    let mut written = 0;
    let error = loop {
        match store.compare_and_swap(key(written), Expected::Absent, large.clone(), None).await {
            Ok(outcome) => assert!(matches!(outcome, Swap::Written(_)), "{outcome:?}"),
            Err(error) => break error,
        }
        written += 1;
    };
    assert_eq!(error.kind(), StoreErrorKind::Full);
    assert!(written > 5, "{written} rows on the disk");
    assert!(error.to_string().contains("tokens: replacing it: the disk is full"), "{error}");
    for number in 0..written {
        assert!(store.load(key(number)).await.expect("reading needs no room").is_some(), "row {number} of {written}");
    }
    assert!(store.load(key(written)).await.expect("no failure").is_none(), "what failed is not there");
    let other = disk.0.open().await;
    assert!(other.load(key(0)).await.expect("no failure").is_some(), "a full disk can be read");

    fs::remove_file(ballast).expect("no failure");
    let swap = store.compare_and_swap(key(written), Expected::Absent, large, None).await;
    assert!(matches!(swap, Ok(Swap::Written(_))), "there is room again: {swap:?}");
    assert!(other.load(key(written)).await.expect("no failure").is_some(), "it was not written");
}

#[tokio::test]
async fn a_file_that_may_not_grow_fails_writes_and_loses_none() {
    let folder = Folder::new();
    let program = env::current_exe().expect("a path");
    let role = command(&program, "write", &folder.file());
    let mut shell = Command::new("sh");
    // Ignored, the signal becomes an error of the write.
    shell.args(["-c", "trap '' XFSZ && ulimit -f 100 && exec \"$0\" \"$@\""]).arg(&program).args(role.get_args());
    shell.envs(role.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = shell.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a shell");
    let reported = says(&mut child).last().expect("some writes").parse::<u32>().expect("a number");
    assert!(!child.wait().expect("its end").success(), "it has met no limit");

    let store = folder.open().await;
    let stored = store.load(COUNTER).await.expect("no failure").expect("a row");
    assert!((reported..=reported + 1).contains(&number(&stored.row.sealed)), "{reported} was reported");
    let swap = store.compare_and_swap(COUNTER, Expected::Unexpired(stored.version), numbered(0), None).await;
    assert!(matches!(swap, Ok(Swap::Written(_))), "{swap:?}");
}

/// A user without rights.
const UNPRIVILEGED: u32 = 65_534;

/// Makes the folder one of `user`, if this process may.
fn give(folder: &Folder, user: u32) {
    let own = folder.file().parent().expect("a folder").to_owned();
    for file in fs::read_dir(&own).expect("a folder") {
        chown(file.expect("an entry").path(), Some(user), Some(user)).expect("no failure");
    }
    chown(own, Some(user), Some(user)).expect("no failure");
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// What opening says in a process that may not do everything: root may.
fn opened_without_privileges(folder: &Folder) -> String {
    // Where others may run it.
    let program = env::temp_dir().join(format!("{}-program", folder.path().display()));
    fs::copy(env::current_exe().expect("a path"), &program).expect("a copy");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("no failure");
    let mut command = command(&program, "open", &folder.file());
    command.current_dir("/");
    if is_root() {
        give(folder, UNPRIVILEGED);
        command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    }
    let mut child = command.spawn().expect("a process");
    let said = says(&mut child).next().expect("it says something");
    child.wait().expect("its end");
    fs::remove_file(program).expect("no failure");
    said
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_an_error_at_the_start_and_loses_nothing() {
    let folder = Folder::new();
    folder.open().await.compare_and_swap(COUNTER, Expected::Absent, numbered(1), None).await.expect("no failure");
    assert_eq!(opened_without_privileges(&folder), "open");
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("no failure");
    let own = folder.file().parent().expect("a folder").to_owned();
    allow(&own, 0o500);
    let said = opened_without_privileges(&folder);
    assert!(said.contains("tokens: writing a file beside it") && said.contains("is read-only"), "{said}");
    allow(&own, 0o700);
    if is_root() {
        give(&folder, 0);
    }
    assert!(folder.open().await.load(COUNTER).await.expect("no failure").is_some());
}

#[tokio::test]
async fn a_folder_of_another_user_is_rejected() {
    let folder = Folder::new();
    folder.open().await;
    if !is_root() {
        eprintln!("only root can write to the folder of another user");
        return;
    }
    give(&folder, UNPRIVILEGED);
    let error = FileStore::open(folder.file()).await.expect_err("it is of another user").to_string();
    assert!(error.contains("belongs to another user (user 65534, and this process is of user 0)"), "{error}");
    let left = fs::read_dir(folder.file().parent().expect("a folder")).expect("a folder").count();
    assert_eq!(left, 1, "a file of root was left there");
}

#[tokio::test]
async fn a_link_to_the_file_is_followed_and_stays() {
    let folder = Folder::new();
    let link = folder.path().join("link");
    symlink(folder.file(), &link).expect("a link");
    let error = FileStore::open(link.as_path()).await.expect_err("the link leads nowhere").to_string();
    assert!(error.contains("/link: finding it: "), "{error}");
    assert!(link.is_symlink() && !folder.file().exists(), "the link was replaced");

    let store = folder.open().await;
    let linked = FileStore::open(link.as_path()).await.expect("a store");
    linked.compare_and_swap(COUNTER, Expected::Absent, numbered(1), None).await.expect("no failure");
    assert!(link.is_symlink(), "the link was replaced");
    assert!(store.load(COUNTER).await.expect("no failure").is_some(), "it is the same file");
}

#[tokio::test]
async fn a_link_in_place_of_the_temporary_file_is_not_followed() {
    let folder = Folder::new();
    let store = folder.open().await;
    let (other, temporary) = (folder.path().join("other"), folder.file().with_file_name("tokens.tmp"));
    fs::write(&other, "of another program").expect("written");
    symlink(&other, &temporary).expect("a link");
    store.compare_and_swap(COUNTER, Expected::Absent, numbered(1), None).await.expect("no failure");
    assert_eq!(fs::read_to_string(&other).expect("a file"), "of another program");
    assert!(!folder.file().is_symlink());
}

#[tokio::test]
async fn what_is_no_regular_file_is_refused() {
    let folder = Folder::new();
    fs::create_dir_all(folder.file()).expect("a folder");
    fs::set_permissions(folder.file().parent().expect("a folder"), fs::Permissions::from_mode(0o700))
        .expect("no failure");
    let error = FileStore::open(folder.file()).await.expect_err("a folder").to_string();
    assert!(error.contains("tokens: not a file of this store, and left as it is"), "{error}");

    fs::remove_dir(folder.file()).expect("no failure");
    let made = Command::new("mkfifo").args(["-m", "600"]).arg(folder.file()).status().expect("mkfifo");
    assert!(made.success());
    let opening =
        timeout(Duration::from_secs(60), FileStore::open(folder.file())).await.expect("it waits for a writer");
    assert!(opening.expect_err("a pipe").to_string().contains("not a file of this store"));
}
