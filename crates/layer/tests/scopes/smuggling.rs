//! Calls of `admin_echo` that a less strict parser would miss.

use http::HeaderValue;

use super::support::{ask, call, post};

const MALFORMED: &str = "malformed_body";

#[tokio::test]
async fn escapes_hide_neither_method_nor_name() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"to\u006fls/call","params":{"name":"admin_echo"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools\/call","params":{"name":"admin_ech\u006F"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"\u006dethod":"tools/call","p\u0061rams":{"n\u0061me":"admin_echo"}}"#,
        " \r\n\t{\"params\" : {\"name\":\"admin_echo\"}, \"method\":\"tools/call\"} \n",
    ] {
        ask(post("none", body)).await.assert_forbidden("admin audit");
    }
}

#[tokio::test]
async fn a_repeated_member_is_refused_at_every_level() {
    for body in [
        r#"{"id":1,"method":"ping","method":"tools/call","params":{"name":"admin_echo"}}"#,
        r#"{"id":1,"method":"tools/call","method":"ping","params":{"name":"admin_echo"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"echo"},"params":{"name":"admin_echo"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"echo","name":"admin_echo"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"echo","n\u0061me":"admin_echo"}}"#,
        r#"{"id":1,"id":2,"method":"ping"}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"echo","arguments":{"a":1,"a":2}}}"#,
        r#"[{"method":"ping"},{"method":"ping","method":"tools/call"}]"#,
    ] {
        ask(post("admin~audit", body)).await.assert_unreadable(MALFORMED);
    }
}

#[tokio::test]
async fn a_member_that_differs_in_case_only_is_refused() {
    for body in [
        r#"{"id":1,"Method":"tools/call","params":{"name":"admin_echo"}}"#,
        r#"{"id":1,"method":"ping","METHOD":"tools/call","params":{"name":"admin_echo"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"echo"},"Params":{"name":"admin_echo"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"echo"},"param\u017f":{"name":"admin_echo"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"echo","Name":"admin_echo"}}"#,
        r#"{"id":1,"method":"resources/read","params":{"uri":"a:b","URI":"c:d"}}"#,
    ] {
        ask(post("read~admin~audit", body)).await.assert_unreadable(MALFORMED);
    }
    let arguments = r#"{"id":1,"method":"tools/call","params":{"name":"echo","arguments":{"Name":"x","name":"y"}}}"#;
    ask(post("none", arguments)).await.assert_passed();
}

#[tokio::test]
async fn what_is_not_one_text_of_json_is_refused() {
    let call = call("admin_echo");
    let utf_16: Vec<u8> = call.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let bodies: [Vec<u8>; 12] = [
        format!("\u{feff}{call}").into_bytes(),
        [b"\xff\xfe".as_slice(), &utf_16].concat(),
        utf_16,
        format!("{{}}{call}").into_bytes(),
        format!("{{\"id\":1,\"method\":\"ping\"}}\n{call}").into_bytes(),
        format!("{call},").into_bytes(),
        format!("/* */{call}").into_bytes(),
        call.replace("admin", "adm\u{1}in").into_bytes(),
        call.as_bytes()[..call.len() - 1].to_vec(),
        [call.replace("admin_echo", "x").as_bytes(), b"\xff"].concat(),
        call.replace("[1]", "\"\\ud800\"").into_bytes(),
        b"method=tools/call&name=admin_echo".to_vec(),
    ];
    for body in bodies {
        ask(post("admin~audit", body)).await.assert_unreadable(MALFORMED);
    }
}

#[tokio::test]
async fn what_is_json_but_no_message_is_refused() {
    for body in [
        "null",
        "1",
        "\"tools/call\"",
        r#"["2.0",1,"tools/call",{"name":"admin_echo"}]"#,
        r#"[[{"id":1,"method":"tools/call","params":{"name":"admin_echo"}}]]"#,
        r#"{"id":1,"method":["tools/call"],"params":{"name":"admin_echo"}}"#,
        r#"{"id":1,"method":null,"params":{"name":"admin_echo"}}"#,
        r#"{"id":1,"method":"tools/call","params":["admin_echo",{}]}"#,
        r#"{"id":1,"method":"tools/call","params":"admin_echo"}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":["admin_echo"]}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":null}}"#,
        r#"{"id":1,"method":"tools/call","params":{}}"#,
        r#"{"id":1,"method":"tools/call","params":null}"#,
        r#"{"id":1,"method":"tools/call"}"#,
        r#"{"id":1,"method":"resources/read","params":{"uri":7}}"#,
    ] {
        ask(post("read~admin~audit", body)).await.assert_unreadable(MALFORMED);
    }
}

#[tokio::test]
async fn one_message_that_cannot_be_read_spoils_the_batch() {
    let batch = format!("[{},1]", call("echo"));
    ask(post("admin~audit", batch)).await.assert_unreadable(MALFORMED);
}

#[tokio::test]
async fn nesting_does_not_exhaust_the_stack() {
    for opening in ["[", "{\"a\":"] {
        ask(post("none", opening.repeat(500_000))).await.assert_unreadable(MALFORMED);
    }
}

#[tokio::test]
async fn an_encoded_body_is_refused_even_if_it_reads_like_json() {
    for (name, value) in [
        ("content-encoding", "gzip"),
        ("content-encoding", "deflate"),
        ("content-encoding", "identity, br"),
        ("content-type", "application/json; charset=utf-7"),
        ("content-type", "application/json; Charset=\"UTF-16\""),
    ] {
        let mut request = post("admin~audit", call("echo"));
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        ask(request).await.assert_unreadable(MALFORMED);
    }
}

#[tokio::test]
async fn a_second_header_does_not_hide_an_encoding() {
    for (name, value) in [("content-encoding", "gzip"), ("content-type", "application/json; charset=utf-7")] {
        let mut request = post("admin~audit", call("echo"));
        request.headers_mut().insert("content-encoding", HeaderValue::from_static("identity"));
        request.headers_mut().append(name, HeaderValue::from_static(value));
        ask(request).await.assert_unreadable(MALFORMED);
    }
    let mut request = post("none", call("echo"));
    request.headers_mut().insert("content-encoding", HeaderValue::from_static("Identity"));
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/json; charset=UTF-8"));
    ask(request).await.assert_passed();
}

#[tokio::test]
async fn the_content_type_hides_nothing() {
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let mut request = post("none", call("admin_echo"));
        request.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
        ask(request).await.assert_forbidden("admin audit");
    }
    let mut request = post("none", call("admin_echo"));
    request.headers_mut().remove("content-type");
    ask(request).await.assert_forbidden("admin audit");
}
