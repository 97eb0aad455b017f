//! `operations`: whatever way a reader reads JSON, it finds no call that the check of scopes did not find.

use portcullis_layer::scope::operations;

use crate::reader::Json;

/// A way to read a member: which of two counts, and whether case does.
#[derive(Clone, Copy, Debug)]
struct Reader {
    last_counts: bool,
    ignores_case: bool,
}

const READERS: [Reader; 4] = [
    Reader { last_counts: true, ignores_case: false },
    Reader { last_counts: true, ignores_case: true },
    Reader { last_counts: false, ignores_case: false },
    Reader { last_counts: false, ignores_case: true },
];

pub(crate) fn hold(input: &[u8]) {
    let Ok(operations) = operations(input) else { return };
    let found: Vec<_> = operations.iter().map(|asked| (asked.method(), asked.target())).collect();
    if input.is_empty() {
        assert!(found.is_empty());
        return;
    }
    let json: Json = serde_json::from_slice(input).expect("what is judged is JSON");
    for reader in READERS {
        assert_eq!(reader.operations(&json), found, "{reader:?}");
    }
}

impl Reader {
    fn operations(self, json: &Json) -> Vec<(&str, Option<&str>)> {
        match json {
            Json::Array(messages) => messages.iter().filter_map(|message| self.operation(message)).collect(),
            message => self.operation(message).into_iter().collect(),
        }
    }

    fn operation(self, message: &Json) -> Option<(&str, Option<&str>)> {
        let method = self.text(message, "method")?;
        let target = match method {
            "tools/call" | "prompts/get" => Some("name"),
            "resources/read" => Some("uri"),
            _ => None,
        };
        Some((method, target.and_then(|name| self.text(self.member(message, "params")?, name))))
    }

    fn text<'a>(self, json: &'a Json, name: &str) -> Option<&'a str> {
        match self.member(json, name)? {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    fn member<'a>(self, json: &'a Json, name: &str) -> Option<&'a Json> {
        let Json::Object(members) = json else { return None };
        let is_meant = |found: &str| if self.ignores_case { fold(found) == name } else { found == name };
        let mut meant = members.iter().filter(|(found, _)| is_meant(found)).map(|(_, value)| value);
        if self.last_counts { meant.next_back() } else { meant.next() }
    }
}

/// As Go does: by Unicode, so that a long s and the sign for Kelvin are letters.
fn fold(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}
