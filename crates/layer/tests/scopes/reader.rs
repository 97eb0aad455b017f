//! Property tests of the JSON-RPC reader.

use portcullis_layer::scope::operations;
use proptest::{collection::vec, prelude::*, proptest, sample::select};
use serde_json::{Value, json};

/// `text` as a JSON string in which the characters chosen by `escaped` are written as `\u....`.
fn written(text: &str, escaped: &[bool]) -> String {
    let mut json = String::from("\"");
    for (at, unit) in text.encode_utf16().enumerate() {
        let plain = char::from_u32(unit.into()).filter(|c| !c.is_control() && !matches!(c, '"' | '\\'));
        match plain {
            Some(c) if !escaped.get(at).copied().unwrap_or(true) => json.push(c),
            _ => json.push_str(&format!("\\u{unit:04x}")),
        }
    }
    json + "\""
}

/// Pieces of texts that are similar to JSON-RPC.
fn piece() -> impl Strategy<Value = &'static str> {
    select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"method\"",
        "\"params\"",
        "\"name\"",
        "\"tools/call\"",
        "\"id\"",
        "1",
        "null",
        "\"ping\"",
        "\"Method\"",
        "\"\\u006dethod\"",
        " ",
        "\u{feff}",
        "\"uri\"",
        "\"resources/read\"",
        "-",
        "1e999",
        "\\",
    ])
}

/// Evaluated members, some of them repeated.
fn member() -> impl Strategy<Value = (&'static str, Value)> {
    let keys = select(vec!["method", "params", "name", "Method", "Params", "id", "param\u{17f}"]);
    let values = select(vec![
        json!("tools/call"),
        json!("ping"),
        json!({"name": "a"}),
        json!({"name": "b"}),
        json!({"name": "a", "Name": "b"}),
        json!(["a"]),
        json!(1),
        Value::Null,
    ]);
    (keys, values)
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in vec(any::<u8>(), 0..200)) {
        let _ = operations(&body);
    }

    #[test]
    fn no_pieces_of_json_rpc_make_it_panic_and_what_it_accepts_is_json(pieces in vec(piece(), 0..30)) {
        let body = pieces.concat();
        if operations(body.as_bytes()).is_ok() && !body.is_empty() {
            prop_assert!(serde_json::from_str::<Value>(&body).is_ok());
        }
    }

    #[test]
    fn a_name_is_found_however_it_is_escaped(
        tool in any::<String>(),
        escaped in vec(any::<bool>(), 0..40),
        batch in any::<bool>(),
    ) {
        let mut body = format!(
            r#"{{"jsonrpc":"2.0","id":1,{}:{},"params":{{{}:{}}}}}"#,
            written("method", &escaped), written("tools/call", &escaped),
            written("name", &escaped), written(&tool, &escaped),
        );
        if batch {
            body = format!("[{body},{{}}]");
        }
        let found = operations(body.as_bytes()).expect(&body);
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!((found[0].method(), found[0].target()), ("tools/call", Some(&*tool)));
    }

    #[test]
    fn what_it_accepts_has_one_reading_only(members in vec(member(), 0..6)) {
        let text: Vec<_> = members.iter().map(|(key, value)| format!("{}:{value}", json!(key))).collect();
        let body = format!("{{{}}}", text.join(","));
        if let Ok(found) = operations(body.as_bytes()) {
            let readings = |name: &str| {
                let like = |key: &str| key.replace('\u{17f}', "s").eq_ignore_ascii_case(name);
                members.iter().filter(|(key, _)| like(key)).map(|(_, value)| value).collect::<Vec<_>>()
            };
            prop_assert!(readings("method").len() <= 1 && readings("params").len() <= 1, "{}", body);
            let method = readings("method").first().and_then(|method| method.as_str());
            prop_assert_eq!(found.first().map(|operation| operation.method()), method);
            if method == Some("tools/call") {
                let params = readings("params")[0];
                prop_assert_eq!(params.as_object().map(|params| params.len()), Some(1));
                prop_assert_eq!(found[0].target(), params["name"].as_str());
            }
        }
    }
}
