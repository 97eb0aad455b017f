//! The page of the documentation, with a section for each part of the benchmarks.

use std::{fs, io, path::Path};

/// The parts, in the order of the page.
pub(crate) const PARTS: [&str; 4] = ["gate", "grants", "client", "bridge"];

const INTRODUCTION: &str = "# Benchmarks\n\nWritten by `just bench`; not edited by hand.\n";

/// Replaces the section of `part` by `text`; the other sections are unchanged.
pub(crate) fn write(root: &Path, part: &str, text: &str) -> io::Result<()> {
    let path = root.join("docs/benchmarks.md");
    let before = fs::read_to_string(&path).unwrap_or_default();
    let mut page = INTRODUCTION.to_owned();
    for name in PARTS {
        let text = if name == part { Some(text) } else { part_of(&before, name) };
        if let Some(text) = text {
            page += &format!("\n{}\n{}\n{}\n", opening(name), text.trim(), closing(name));
        }
    }
    fs::write(path, page)
}

fn part_of<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(&opening(name))?;
    Some(rest.split_once(&closing(name))?.0)
}

fn opening(name: &str) -> String {
    format!("<!-- {name} -->")
}

fn closing(name: &str) -> String {
    format!("<!-- end of {name} -->")
}
