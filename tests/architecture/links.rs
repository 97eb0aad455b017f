//! Links between the documents lead somewhere.

use crate::sources::{files, none, read, root};

#[test]
fn every_relative_link_leads_to_a_file_and_to_a_heading_of_it() {
    let mut findings = Vec::new();
    let (mut documents, examples) = (files("docs", &["md"]), files("examples", &["md"]));
    documents.extend(["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(str::to_owned));
    documents.extend(examples);
    for document in documents {
        let folder = document.rfind('/').map_or("", |end| &document[..=end]);
        for link in links(&read(&document)) {
            let (path, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { document.clone() } else { format!("{folder}{path}") };
            let leads = root().join(&target).exists();
            if !leads || !heading.is_empty() && !headings(&read(&target)).contains(&heading.to_owned()) {
                findings.push(format!("{document}: {link}"));
            }
        }
    }
    none(&findings);
}

/// What stands in `](…)` and is not the address of something elsewhere. Code has no links.
fn links(text: &str) -> Vec<String> {
    let prose: String = text.split("```").step_by(2).collect();
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

/// The headings of a document as they are linked to.
fn headings(text: &str) -> Vec<String> {
    let titles = text.lines().filter_map(|line| line.strip_prefix('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    titles.map(|title| title.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}
