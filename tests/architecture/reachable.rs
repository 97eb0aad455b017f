//! No file is forgotten: every one is reached from a target of its package.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::sources::{none, packages, root, sources};

#[test]
fn every_file_is_reached_from_a_target() {
    let mut reached = BTreeSet::new();
    for package in packages() {
        for target in package["targets"].as_array().expect("a list") {
            let path = Path::new(target["src_path"].as_str().expect("a path"));
            visit(path, path.parent().expect("a folder"), &mut reached);
        }
    }
    let root = root();
    let forgotten = sources().iter().filter(|source| !reached.contains(&root.join(&source.path)));
    none(&forgotten.map(|source| source.path.clone()).collect::<Vec<_>>());
}

/// Notes `file`, and what it declares; `folder` is where its modules are.
fn visit(file: &Path, folder: &Path, reached: &mut BTreeSet<PathBuf>) {
    let file = file.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    if !reached.insert(file.clone()) {
        return;
    }
    let root = root();
    let Some(source) = sources().iter().find(|source| root.join(&source.path) == file) else {
        panic!("{}: no file of the workspace", file.display())
    };
    for module in &source.facts.modules {
        let name = &module.name;
        if let Some(path) = &module.path {
            let path = file.parent().expect("a folder").join(path);
            visit(&path, path.parent().expect("a folder"), reached);
        } else if folder.join(name).join("mod.rs").exists() {
            visit(&folder.join(name).join("mod.rs"), &folder.join(name), reached);
        } else {
            visit(&folder.join(format!("{name}.rs")), &folder.join(name), reached);
        }
    }
}
