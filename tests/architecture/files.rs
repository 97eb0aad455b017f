//! How long files are, and what a table of contents may contain.

use syn::{ImplItem, Item, TraitItem};

use crate::sources::{none, sources};

const LONGEST: usize = 400;
const LONGEST_CONTENTS: usize = 80;

#[test]
fn no_file_is_longer_than_a_concept() {
    let long = sources().into_iter().filter_map(|source| {
        let lines = source.production().lines().count();
        (lines > LONGEST && !source.is_test()).then(|| format!("{}: {lines} lines", source.path))
    });
    none(&long.collect::<Vec<_>>());
}

#[test]
fn every_file_says_in_its_first_line_what_it_is() {
    let silent = sources().into_iter().filter_map(|source| {
        let first = source.text.lines().next().unwrap_or_default();
        (!first.starts_with("//! ")).then_some(source.path)
    });
    none(&silent.collect::<Vec<_>>());
}

#[test]
fn tables_of_contents_are_short_and_contain_no_function_bodies() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| ["lib.rs", "mod.rs"].contains(&source.file_name())) {
        let lines = source.code().count();
        if lines > LONGEST_CONTENTS {
            findings.push(format!("{}: {lines} lines of code", source.path));
        }
        if source.parse().items.iter().any(has_body) {
            findings.push(format!("{}: contains a function", source.path));
        }
    }
    none(&findings);
}

fn has_body(item: &Item) -> bool {
    match item {
        Item::Fn(_) => true,
        Item::Impl(block) => block.items.iter().any(|item| matches!(item, ImplItem::Fn(_))),
        Item::Trait(item) => {
            item.items.iter().any(|item| matches!(item, TraitItem::Fn(method) if method.default.is_some()))
        }
        Item::Mod(module) => module.content.iter().flat_map(|(_, items)| items).any(has_body),
        _ => false,
    }
}
