//! Every row of `docs/defaults.md` stands in the file that it names.

use crate::sources::{none, read};

#[test]
fn every_default_stands_where_the_page_says() {
    let page = read("docs/defaults.md");
    let rows: Vec<Vec<_>> = page
        .lines()
        .filter(|line| line.contains(".rs` | `"))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    assert!(rows.len() > 50, "the tables were not found");
    let wrong = rows.iter().filter_map(|cells| match cells[..] {
        [name, _, _, _, file, text] if !read(file).contains(text) => Some(format!("{name}: {file} has no {text}")),
        [_, _, _, _, _, _] => None,
        _ => Some(format!("six cells: {cells:?}")),
    });
    none(&wrong.collect::<Vec<_>>());
}
