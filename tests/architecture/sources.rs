//! The workspace as the checks see it: every Rust file is read and parsed once, for all tests.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
    thread,
};

use serde_json::Value;

use crate::facts::Facts;

/// Where Rust is; a folder of its own would be one more workspace (`bench`, `fuzz`).
const CODE: [&str; 3] = ["crates", "examples", "tests"];
const FOREIGN: [&str; 5] = ["target", "node_modules", "environments", ".git", "book"];

/// A Rust file of the workspace.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the workspace, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) facts: Facts,
}

impl Source {
    fn read(path: &str) -> Self {
        let text = read(path);
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.to_owned(), facts: Facts::of(&parsed), text }
    }

    /// The text without the module of unit tests at its end.
    pub(crate) fn production(&self) -> &str {
        self.text.find("\n#[cfg(test)]\nmod ").map_or(&self.text, |end| &self.text[..end])
    }

    /// Code, line by line: no comments, no blank lines, no unit tests; line numbers count from one.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.production().lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        lines.filter(|(_, line)| !line.is_empty() && !line.starts_with("//"))
    }

    /// Reports whether nothing of this file is in the product.
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.starts_with("crates/test-support/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
    }

    pub(crate) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The folder of the package: `crates/core`.
    pub(crate) fn package(&self) -> &str {
        self.path.split_once("/src/").map_or("", |(package, _)| package)
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace")
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Rust file of the workspace.
pub(crate) fn sources() -> &'static [Source] {
    static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
        let paths: Vec<_> = CODE.iter().flat_map(|folder| files(folder, &["rs"])).collect();
        assert!(paths.len() > 100, "the sources were not found");
        let share = paths.len().div_ceil(thread::available_parallelism().map_or(1, usize::from));
        thread::scope(|scope| {
            let parts: Vec<_> = paths
                .chunks(share)
                .map(|part| scope.spawn(|| part.iter().map(|path| Source::read(path)).collect::<Vec<_>>()))
                .collect();
            parts.into_iter().flat_map(|part| part.join().expect("every file is parsed")).collect()
        })
    });
    &SOURCES
}

/// The files of the product: no tests, no fixtures.
pub(crate) fn product() -> impl Iterator<Item = &'static Source> {
    sources().iter().filter(|source| !source.is_test())
}

/// The files of the product, by package.
pub(crate) fn product_by_package() -> BTreeMap<&'static str, Vec<&'static Source>> {
    let mut packages: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for source in product().filter(|source| !source.package().is_empty()) {
        packages.entry(source.package()).or_default().push(source);
    }
    packages
}

/// The files below `folder` that end in one of `extensions`, relative to the workspace.
pub(crate) fn files(folder: &str, extensions: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    collect(&root().join(folder), extensions, &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, extensions: &[&str], found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !FOREIGN.contains(&&*name) {
                collect(&path, extensions, found);
            }
        } else if extensions.iter().any(|extension| path.extension().is_some_and(|found| found == *extension)) {
            found.push(path.strip_prefix(root()).expect("below").to_string_lossy().into_owned());
        }
    }
}

/// The packages of the workspace, as `cargo metadata` describes them.
pub(crate) fn packages() -> Vec<Value> {
    let text = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let mut metadata: Value = serde_json::from_str(&text).expect("JSON");
    let Value::Array(packages) = metadata["packages"].take() else { panic!("no packages") };
    packages
}

/// What cargo prints. It neither changes the lock file nor asks the network.
pub(crate) fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--locked", "--offline"])
        .current_dir(root())
        // A package with its own features only.
        .env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION")
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The cells of every row of the tables of `text` whose header begins with `first`.
pub(crate) fn table(text: &str, first: &str) -> Vec<Vec<String>> {
    let lines: Vec<_> = text.lines().collect();
    let is_header = |line: &str| line.split('|').nth(1).is_some_and(|cell| cell.trim() == first);
    let headers = (0..lines.len()).filter(|at| is_header(lines[*at]));
    let rows = headers.flat_map(|at| lines[at..].iter().skip(2).take_while(|line| line.starts_with('|')));
    let rows = rows.map(|line| {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
        cells[1..cells.len() - 1].to_vec()
    });
    let rows: Vec<_> = rows.collect();
    assert!(!rows.is_empty(), "there is no table that begins with {first}");
    rows
}

/// Fails with all `findings` at once.
#[track_caller]
pub(crate) fn none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// Fails with all `findings` if there are more than `ceiling`. A ceiling is only ever lowered.
#[track_caller]
pub(crate) fn at_most(ceiling: usize, findings: &[String]) {
    let found = findings.len();
    assert!(found <= ceiling, "\n{}\n{found} found, {ceiling} allowed\n", findings.join("\n"));
    println!("{found} found, {ceiling} allowed\n{}", findings.join("\n"));
}
