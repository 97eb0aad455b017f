//! [`check_document_table`]: tables of documents that tests produce.

use std::{env, fs, path::Path};

/// Compares the table after the comment `<!-- table: NAME -->` of `document` with `rows`. The header of the table stays as it is written.
/// If the environment variable `UPDATE_DOCS` is `1`, replaces the rows in the document instead.
///
/// # Panics
/// If the document has no such table, or other rows.
pub fn check_document_table(document: &Path, name: &str, rows: &[Vec<String>]) {
    let text = fs::read_to_string(document).expect("the document");
    let marker = format!("<!-- table: {name} -->\n\n");
    let table = text.find(&marker).expect("the comment before the table") + marker.len();
    let header: usize = text[table..].split_inclusive('\n').take(2).map(str::len).sum();
    let (before, rest) = text.split_at(table + header);
    let written: usize = rest.split_inclusive('\n').take_while(|line| line.starts_with('|')).map(str::len).sum();
    let rows: String = rows.iter().map(|cells| format!("| {} |\n", cells.join(" | "))).collect();
    if rest[..written] == rows {
        return;
    }
    let is_updated = env::var("UPDATE_DOCS").is_ok_and(|value| value == "1");
    assert!(is_updated, "the table {name:?} has other rows; UPDATE_DOCS=1 replaces them with\n{rows}");
    fs::write(document, format!("{before}{rows}{}", &rest[written..])).expect("the document is writable");
}
