//! How long files are, what a table of contents may contain, and how files depend on each other.
//!
//! The ceilings are a ratchet: what a change brings below them is taken off, and nothing is added.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    facts::Import,
    sources::{Source, at_most, none, product, product_by_package, sources},
};

/// Lines of code that a file has at most.
const LONGEST: usize = 400;
/// Lines of code below which a file is merged with its neighbour.
const SHORTEST: usize = 40;
const LONGEST_CONTENTS: usize = 80;

/// Files that may be short: tables of contents, the parts of a tower service, and what must be found by its name.
const MAY_BE_SHORT: [&str; 8] =
    ["lib.rs", "mod.rs", "main.rs", "layer.rs", "service.rs", "future.rs", "danger.rs", "telemetry.rs"];

const SHORT_FILES: usize = 22;
const CIRCLES: usize = 0;
const RESTRICTED_VISIBILITIES: usize = 1;
/// Lines of `use` and `mod` in a thousand lines of code.
const IMPORTS_PER_MILLE: usize = 90;

#[test]
fn no_file_is_too_long() {
    let long = product().filter_map(|source| {
        let lines = source.code().count();
        (lines > LONGEST).then(|| format!("{}: {lines} lines of code", source.path))
    });
    none(&long.collect::<Vec<_>>());
}

#[test]
fn short_files_are_merged_with_their_neighbours() {
    let short = product().filter(|source| !MAY_BE_SHORT.contains(&source.file_name())).filter_map(|source| {
        let lines = source.code().count();
        (lines < SHORTEST).then(|| format!("{}: {lines} lines of code", source.path))
    });
    at_most(SHORT_FILES, &short.collect::<Vec<_>>());
}

#[test]
fn every_file_says_in_its_first_line_what_it_is() {
    let silent = sources().iter().filter(|source| {
        let first = source.text.lines().next().unwrap_or_default();
        !first.starts_with("//! ")
    });
    none(&silent.map(|source| source.path.clone()).collect::<Vec<_>>());
}

#[test]
fn tables_of_contents_are_short_and_contain_no_function_bodies() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| ["lib.rs", "mod.rs"].contains(&source.file_name())) {
        let lines = source.code().count();
        if lines > LONGEST_CONTENTS {
            findings.push(format!("{}: {lines} lines of code", source.path));
        }
        if source.facts.has_bodies {
            findings.push(format!("{}: contains a function", source.path));
        }
    }
    none(&findings);
}

#[test]
fn visibility_is_seldom_restricted_to_a_path() {
    let restricted = product().flat_map(|source| {
        source
            .code()
            .filter(|(_, line)| line.contains("pub(in "))
            .map(|(number, _)| format!("{}:{number}", source.path))
    });
    at_most(RESTRICTED_VISIBILITIES, &restricted.collect::<Vec<_>>());
}

#[test]
fn imports_are_a_small_share_of_the_code() {
    let (mut imports, mut code, mut shares) = (0, 0, Vec::new());
    for (package, sources) in product_by_package() {
        let (mut own_imports, mut own_code) = (0, 0);
        for source in sources {
            let mut is_inside = false;
            for (_, line) in source.code() {
                let declaration =
                    line.split_once(") ").filter(|_| line.starts_with("pub(")).map_or(line, |(_, rest)| rest);
                let declaration = declaration.trim_start_matches("pub ");
                is_inside |= declaration.starts_with("use ") || declaration.starts_with("mod ") && line.ends_with(';');
                own_imports += usize::from(is_inside);
                is_inside &= !line.ends_with(';');
                own_code += 1;
            }
        }
        shares.push(format!("{package}: {} per mille", own_imports * 1000 / own_code));
        (imports, code) = (imports + own_imports, code + own_code);
    }
    let share = imports * 1000 / code;
    println!("{}\n{share} per mille in all", shares.join("\n"));
    assert!(share <= IMPORTS_PER_MILLE, "{share} per mille of the code are imports:\n{}", shares.join("\n"));
}

#[test]
fn files_of_a_crate_do_not_depend_on_each_other_in_a_circle() {
    let circles = product_by_package().into_iter().flat_map(|(package, sources)| {
        let circles = Modules::of(package, &sources).circles();
        circles.into_iter().map(move |files| format!("{package}: {}", files.join(" <-> ")))
    });
    at_most(CIRCLES, &circles.collect::<Vec<_>>());
}

/// The path of a module inside of its crate.
type Path = Vec<String>;

/// The modules of a crate, and what each imports of the others.
struct Modules {
    /// Whether the module only wires others together, by its path.
    wires: BTreeMap<Path, bool>,
    /// From the module and the name of a re-export to what it stands for.
    reexports: BTreeMap<(Path, String), Path>,
    imports: Vec<(Path, Path)>,
}

impl Modules {
    fn of(package: &str, sources: &[&Source]) -> Self {
        let mut modules = Self { wires: BTreeMap::new(), reexports: BTreeMap::new(), imports: Vec::new() };
        for source in sources {
            let below = source.path.trim_start_matches(package).trim_start_matches("/src/").trim_end_matches(".rs");
            let wires = ["lib.rs", "mod.rs", "main.rs"].contains(&source.file_name());
            let mut here: Path = below.split('/').map(str::to_owned).collect();
            if wires {
                here.pop();
            }
            modules.wires.insert(here.clone(), wires);
            for Import { path, is_reexport } in &source.facts.imports {
                let Some(target) = absolute(&here, path) else { continue };
                if *is_reexport {
                    let name = target.last().cloned().unwrap_or_default();
                    modules.reexports.insert((here.clone(), name), target);
                } else {
                    modules.imports.push((here.clone(), target));
                }
            }
        }
        modules
    }

    /// Returns the file in which the item at `path` is defined.
    fn file_of(&self, path: &[String], depth: usize) -> Option<Path> {
        let at = (0..=path.len()).rev().find(|&at| self.wires.contains_key(&path[..at]))?;
        let (module, rest) = path.split_at(at);
        let reexport = rest.first().and_then(|name| self.reexports.get(&(module.to_vec(), name.clone())));
        match reexport.filter(|_| depth < 8) {
            Some(target) => self.file_of(&[target, &rest[1..]].concat(), depth + 1),
            None => Some(module.to_vec()),
        }
    }

    /// Returns the circles; each is listed once, by its files.
    fn circles(&self) -> Vec<Vec<String>> {
        let mut uses: BTreeMap<Path, BTreeSet<Path>> = BTreeMap::new();
        for (from, path) in &self.imports {
            let to = self.file_of(path, 0).filter(|to| to != from && !self.wires[to] && !self.wires[from]);
            uses.entry(from.clone()).or_default().extend(to);
        }
        let reached: BTreeMap<_, _> = uses.keys().map(|from| (from, reachable(&uses, from))).collect();
        let mut circles: Vec<Vec<String>> = Vec::new();
        for (from, reached_from) in &reached {
            if reached_from.contains(*from) {
                let back = |to: &&Path| reached.get(to).is_some_and(|reached| reached.contains(*from));
                let circle: Vec<_> = reached_from.iter().filter(back).map(|path| path.join("/")).collect();
                if !circles.contains(&circle) {
                    circles.push(circle);
                }
            }
        }
        circles
    }
}

fn reachable(uses: &BTreeMap<Path, BTreeSet<Path>>, from: &Path) -> BTreeSet<Path> {
    let (mut found, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(path) = next.pop() {
        for to in uses.get(path).into_iter().flatten() {
            if found.insert(to.clone()) {
                next.push(to);
            }
        }
    }
    found
}

/// Resolves `crate`, `self` and `super`; a path into another crate is none of ours.
fn absolute(here: &[String], path: &[String]) -> Option<Path> {
    match path.first().map(String::as_str)? {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([here, &path[1..]].concat()),
        "super" => {
            let ups = path.iter().take_while(|part| *part == "super").count();
            Some([&here[..here.len().checked_sub(ups)?], &path[ups..]].concat())
        }
        // A module that is declared here.
        _ => None,
    }
}
