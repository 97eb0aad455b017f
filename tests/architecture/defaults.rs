//! The methods that `docs/defaults.md` names exist.

use std::collections::BTreeSet;

use crate::sources::{none, product, read, table};

#[test]
fn every_method_that_changes_a_default_exists() {
    let rows = table(&read("docs/defaults.md"), "default");
    assert!(rows.len() > 50, "the tables were not found");
    let mut findings = BTreeSet::new();
    for cells in &rows {
        let [name, _, _, changed_by] = &cells[..] else { panic!("four cells: {cells:?}") };
        // `Type::method`, `module::function`, or `method` alone.
        for path in changed_by.split('`').skip(1).step_by(2) {
            let (owner, function) = path.rsplit_once("::").unwrap_or(("", path));
            if function.starts_with(char::is_uppercase) {
                continue; // a type
            }
            let signatures = ["(", "<"].map(|next| format!("fn {function}{next}"));
            let defines = |text: &str| text.contains(owner) && signatures.iter().any(|start| text.contains(start));
            if !product().any(|source| defines(&source.text)) {
                findings.insert(format!("{name}: there is no {path}"));
            }
        }
    }
    none(&findings.into_iter().collect::<Vec<_>>());
}
