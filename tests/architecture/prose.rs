//! Plain technical English: words that do not occur, and how the documentation of functions begins.
//!
//! The ceilings are a ratchet: what a change brings below them is taken off, and nothing is added.

use crate::sources::{at_most, files, product, read};

/// Words that name no component, and metaphors for which there is a standard term.
const BANNED: [&str; 23] = [
    "nobody",
    "whoever",
    "somebody",
    "anybody",
    "everybody",
    "stranger",
    "strangers",
    "crowd",
    "crowds",
    "thief",
    "thieves",
    "hangar",
    "hangars",
    "journey",
    "journeys",
    "errand",
    "errands",
    "landing",
    "landings",
    "house",
    "houses",
    "door",
    "doors",
];

/// Standard terms with a word that is otherwise banned: "single flight", "requests in flight".
const BEFORE_FLIGHT: [&str; 2] = ["single", "in"];

/// Folders of which the words are counted, with what is allowed.
const WORDS: [(&str, usize); 4] = [("crates", 0), ("examples", 0), ("tests", 0), ("docs", 0)];

/// Summaries of public functions that begin in another way.
const SUMMARIES: usize = 3;

/// Words that end in `s` and are no verbs.
const NO_VERBS: [&str; 16] = [
    "Always", "As", "Besides", "Does", "Has", "Is", "Its", "Others", "Perhaps", "Scopes", "This", "Tokens", "Unless",
    "Was", "Whose", "Yes",
];

#[test]
fn words_without_a_technical_meaning_do_not_occur() {
    for (folder, ceiling) in WORDS {
        let mut findings = Vec::new();
        for path in files(folder, &["rs", "md", "mjs", "html", "toml"]) {
            // This list.
            if path != "tests/architecture/prose.rs" {
                for (number, line) in read(&path).lines().enumerate() {
                    findings.extend(banned(line).map(|word| format!("{path}:{}: {word}", number + 1)));
                }
            }
        }
        at_most(ceiling, &findings);
    }
}

#[test]
fn summaries_of_public_functions_begin_with_a_verb_or_an_article() {
    let mut findings = Vec::new();
    for source in product() {
        for function in &source.facts.public_functions {
            let first = function.summary.split([' ', ',', '.', ':', '\'']).next().unwrap_or_default();
            let is_verb = first.len() > 2 && first.ends_with('s') && !NO_VERBS.contains(&first);
            if !is_verb && !["A", "An", "The"].contains(&first) {
                findings.push(format!("{}: {}: {}", source.path, function.name, function.summary));
            }
        }
    }
    at_most(SUMMARIES, &findings);
}

/// Returns the banned words of a line, also those that are parts of names in snake case.
fn banned(line: &str) -> impl Iterator<Item = String> {
    let words: Vec<_> =
        line.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    let found = (0..words.len()).filter_map(|at| {
        let word = &*words[at];
        let before = |back: usize| at.checked_sub(back).map_or("", |at| &*words[at]);
        let is_flight = ["flight", "flights"].contains(&word) && !BEFORE_FLIGHT.contains(&before(1));
        let is_measure =
            word == "many" && before(1) == "so" || word == "long" && (before(2), before(1)) == ("for", "so");
        (BANNED.contains(&word) || is_flight || is_measure).then(|| word.to_owned())
    });
    found.collect::<Vec<_>>().into_iter()
}

#[test]
fn standard_terms_are_no_banned_words() {
    assert_eq!(banned("/// A single flight of the requests in flight; so much for long lines.").count(), 0);
    assert_eq!(banned("fn nobody_waits_for_so_long() {} // a Flight, at most so many").count(), 4);
}
