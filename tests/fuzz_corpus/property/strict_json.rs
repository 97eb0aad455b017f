//! `strict_json`: it accepts exactly the JSON in which no member is repeated, and reads it as other parsers do.

use portcullis_oauth::strict_json;
use serde_json::Value;

use crate::reader::Json;

const RESERVED: &str = "$serde_json::private::";

pub(crate) fn hold(input: &[u8]) {
    let strict = strict_json::parse(input);
    let usual = serde_json::from_slice::<Value>(input);
    match (strict, usual) {
        (Ok(strict), usual) => {
            assert_eq!(strict, usual.expect("what is strict is JSON"));
            assert!(!has_repetition(&serde_json::from_slice(input).expect("JSON")));
        }
        (Err(_), Err(_)) => {}
        (Err(error), Ok(value)) => {
            let json: Json = serde_json::from_slice(input).expect("JSON");
            // As text too, where it is no name; as a name, because `Value` may have made something else of that object.
            let is_reserved = value.to_string().contains(RESERVED) || has_reserved_name(&json);
            assert!(has_repetition(&json) || is_reserved, "{error}: {value}");
        }
    }
}

fn has_repetition(json: &Json) -> bool {
    match json {
        Json::Object(members) => (0..members.len())
            .any(|at| members[..at].iter().any(|(name, _)| *name == members[at].0) || has_repetition(&members[at].1)),
        Json::Array(values) => values.iter().any(has_repetition),
        Json::String(_) | Json::Other => false,
    }
}

fn has_reserved_name(json: &Json) -> bool {
    match json {
        Json::Object(members) => {
            members.iter().any(|(name, value)| name.starts_with(RESERVED) || has_reserved_name(value))
        }
        Json::Array(values) => values.iter().any(has_reserved_name),
        Json::String(_) | Json::Other => false,
    }
}
