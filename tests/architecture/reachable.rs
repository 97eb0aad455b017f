//! No file is forgotten: every one is reached from a target of its package.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use syn::{Expr, Item, ItemMod, Lit, Meta};

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
    let forgotten = sources().into_iter().filter(|source| !reached.contains(&root.join(&source.path)));
    none(&forgotten.map(|source| source.path).collect::<Vec<_>>());
}

/// Notes `file`, and what it declares; `folder` is where its modules are.
fn visit(file: &Path, folder: &Path, reached: &mut BTreeSet<PathBuf>) {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    if !reached.insert(file.canonicalize().expect("it exists")) {
        return;
    }
    let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    for item in parsed.items {
        let Item::Mod(module) = item else { continue };
        if module.content.is_some() {
            continue;
        }
        let name = module.ident.to_string();
        if let Some(path) = path_attribute(&module) {
            let path = file.parent().expect("a folder").join(path);
            visit(&path, path.parent().expect("a folder"), reached);
        } else if folder.join(&name).join("mod.rs").exists() {
            visit(&folder.join(&name).join("mod.rs"), &folder.join(&name), reached);
        } else {
            visit(&folder.join(format!("{name}.rs")), &folder.join(&name), reached);
        }
    }
}

fn path_attribute(module: &ItemMod) -> Option<String> {
    module.attrs.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    })
}
