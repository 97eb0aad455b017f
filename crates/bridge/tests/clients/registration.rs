//! Dynamic client registration: accepted and rejected metadata.

use http::{Request, StatusCode};
use portcullis_bridge::RegistrationPolicy;
use portcullis_test_support::{Browser, LogCapture, OAuthClient};
use serde_json::{Value, json};

use crate::fixture::{Fixture, ISSUER, Outcome, metadata, nothing, with};

const WEB: &str = "https://app.example.test/callback";
const LOOPBACK: &str = "http://127.0.0.1:49152/callback";

#[tokio::test(start_paused = true)]
async fn as_03_a_registration_is_answered_with_all_that_was_registered() {
    let fixture = Fixture::new();
    let wanted = json!({
        "redirect_uris": [WEB, "http://localhost:3000/cb", "cursor://anysphere/cb"],
        "client_name": "App",
        "client_uri": "https://app.example.test/",
        "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
        "response_types": ["code", "token"],
        "token_endpoint_auth_method": "none",
        "scope": "mcp:read openid",
        "logo_uri": "https://app.example.test/logo.png",
        "software_id": "not registered",
    });
    let answer = fixture.register(&wanted).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let mut registered = answer.json().clone();
    let members = registered.as_object_mut().expect("an object");
    let id = members.remove("client_id").expect("a name");
    assert!(!id.as_str().expect("a string").contains(':'), "no URL");
    assert_eq!(members.remove("client_id_issued_at"), Some(json!(1_767_225_600)));
    assert_eq!(
        registered,
        json!({
            "redirect_uris": [WEB, "http://localhost:3000/cb", "cursor://anysphere/cb"],
            "client_name": "App",
            "client_uri": "https://app.example.test/",
            "application_type": "native",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "scope": "mcp:read",
        })
    );
    let again = fixture.register(&metadata(WEB)).await;
    assert_ne!(again["client_id"], id, "names are random");
}

#[tokio::test(start_paused = true)]
async fn as_03_what_is_left_out_has_the_defaults_of_the_specification() {
    let answer = Fixture::new().register(&json!({"redirect_uris": [WEB]})).await;
    assert_eq!(answer["token_endpoint_auth_method"], "client_secret_basic");
    assert_eq!(answer["grant_types"], json!(["authorization_code", "refresh_token"]), "see the next test");
    assert_eq!(answer["response_types"], json!(["code"]));
    assert_eq!(answer["application_type"], "web");
    assert_eq!(answer["client_secret_expires_at"], 0);
    assert!(answer.text("client_secret").len() >= 43, "256 bits");
    assert!(answer.json().get("client_name").is_none() && answer.json().get("scope").is_none());
}

#[tokio::test(start_paused = true)]
async fn as_01_public_and_confidential_clients_are_registered_and_held_to_it() {
    let fixture = Fixture::new();
    for (method, has_secret) in [("none", false), ("client_secret_basic", true), ("client_secret_post", true)] {
        let mut client = fixture.client("").await;
        let wanted = with(&metadata(WEB), "token_endpoint_auth_method", &json!(method));
        let answer = client.register(&wanted).await.expect("a response");
        assert_eq!(answer["token_endpoint_auth_method"], method);
        assert_eq!(answer.json().get("client_secret").is_some(), has_secret);
        assert_eq!(answer.json().get("client_secret_expires_at").is_some(), has_secret);
        assert_eq!(Outcome::of(nothing(&client)).await, Outcome::Known, "{method}");
        let bare = fixture.client(client.client_id()).await;
        let expected = if has_secret { Outcome::Refused } else { Outcome::Known };
        assert_eq!(Outcome::of(nothing(&bare)).await, expected, "{method} without a secret");
    }
}

#[tokio::test(start_paused = true)]
async fn as_03_every_method_that_the_metadata_advertises_can_be_registered() {
    let fixture = Fixture::new();
    let advertised = fixture.client("").await.metadata()["token_endpoint_auth_methods_supported"].clone();
    let advertised = advertised.as_array().expect("methods");
    assert!(advertised.len() > 3);
    for method in advertised {
        let mut wanted = with(&metadata(WEB), "token_endpoint_auth_method", method);
        if method == "private_key_jwt" {
            wanted["jwks_uri"] = json!("https://app.example.test/jwks");
        }
        assert_eq!(&fixture.register(&wanted).await["token_endpoint_auth_method"], method);
    }
}

#[tokio::test(start_paused = true)]
async fn as_03_refresh_tokens_are_implied_by_authorization_codes() {
    let fixture = Fixture::new();
    for grant_types in
        [Value::Null, json!([]), json!(["authorization_code"]), json!(["authorization_code", "implicit"])]
    {
        let mut client = fixture.client("").await.with_redirect_uri(LOOPBACK);
        let metadata = with(&metadata(LOOPBACK), "grant_types", &grant_types);
        let answer = client.register(&metadata).await.expect("a response");
        assert_eq!(answer["grant_types"], json!(["authorization_code", "refresh_token"]), "{grant_types}");
        let tokens = client.log_in(&mut Browser::new(fixture.network.clone()), "alice").await.expect("a login");
        let refreshed = client.refresh(tokens.refresh_token()).await.expect("a response");
        assert_ne!(refreshed.access_token(), tokens.access_token(), "{grant_types}");
    }
}

#[tokio::test(start_paused = true)]
async fn as_01_a_client_that_names_no_method_is_public_until_it_uses_its_secret() {
    let fixture = Fixture::new();
    let mut confidential = fixture.client("").await.with_redirect_uri(LOOPBACK);
    let answer = confidential.register(&json!({"redirect_uris": [LOOPBACK]})).await.expect("a response");
    assert_eq!(answer["token_endpoint_auth_method"], "client_secret_basic");
    let public = fixture.client(confidential.client_id()).await.with_redirect_uri(LOOPBACK);

    // It never sends its secret.
    let tokens = public.log_in(&mut Browser::new(fixture.network.clone()), "alice").await.expect("a login");
    let tokens = public.refresh(tokens.refresh_token()).await.expect("a response");
    assert!(!tokens.refresh_token().is_empty());
    let other = public.log_in(&mut Browser::new(fixture.network.clone()), "bob").await.expect("a login");
    let revoked = public.revoke(other.refresh_token()).without("client_id").await.expect("a response");
    assert_eq!(revoked.status(), StatusCode::OK, "as a public client, it may revoke without naming itself");
    assert_eq!(public.refresh(other.refresh_token()).await.expect("a response").error(), Some("invalid_grant"));
    // A wrong secret is wrong, and changes nothing.
    let wrong = public.clone().with_secret("wrong");
    assert_eq!(Outcome::of(nothing(&wrong)).await, Outcome::Refused);
    assert_eq!(Outcome::of(nothing(&public)).await, Outcome::Known);
    // From the first use of the secret on, it is required, also in another process.
    assert_eq!(Outcome::of(nothing(&confidential)).await, Outcome::Known);
    assert_eq!(Outcome::of(nothing(&public)).await, Outcome::Refused);
    let stolen = public.refresh(tokens.refresh_token()).await.expect("a response");
    assert_eq!((stolen.status().as_u16(), stolen.error()), (401, Some("invalid_client")));
    let revoked = public.revoke(tokens.refresh_token()).without("client_id").await.expect("a response");
    assert_eq!((revoked.status().as_u16(), revoked.error()), (401, Some("invalid_client")));
    let fixture = fixture.restarted(|config| config);
    let public = fixture.client(public.client_id()).await;
    assert_eq!(Outcome::of(nothing(&public)).await, Outcome::Refused);
}

#[tokio::test(start_paused = true)]
async fn as_03_what_is_harmless_refuses_no_registration_and_the_response_says_what_was_kept() {
    let fixture = Fixture::new();
    let good = metadata(WEB);
    for (member, value, kept) in [
        ("client_uri", json!(""), Value::Null),
        ("client_uri", json!("javascript:alert(1)"), Value::Null),
        ("client_uri", json!(7), Value::Null),
        ("logo_uri", json!("data:image/png;base64,AA"), Value::Null),
        ("policy_uri", json!("java\nscript:alert(1)"), Value::Null),
        ("tos_uri", json!("https:\\\\evil.example.test"), Value::Null),
        ("client_name", json!(["App"]), Value::Null),
        ("client_name", json!("x".repeat(201)), json!("x".repeat(200))),
        ("client_name", Value::Null, Value::Null),
        ("jwks_uri", json!(""), Value::Null),
        ("scope", json!(["mcp:read", "openid"]), json!("mcp:read")),
        ("scope", json!(""), Value::Null),
        ("response_types", json!([]), json!(["code"])),
        ("redirect_uris", json!([WEB, "urn:ietf:wg:oauth:2.0:oob"]), json!([WEB])),
        ("redirect_uris", json!(["myapp:callback", WEB, Value::Null]), json!([WEB])),
        ("redirect_uris", json!([WEB, "http://192.168.1.20/cb", "http://0.0.0.0:1/cb"]), json!([WEB])),
        ("redirect_uris", json!([WEB, "javascript:alert(1)"]), json!([WEB])),
    ] {
        let mut metadata = good.clone();
        metadata[member] = value.clone();
        let answer = fixture.register(&metadata).await;
        assert_eq!(answer.status(), StatusCode::CREATED, "{member} {value}");
        assert_eq!(answer[member], kept, "{member} {value}");
        assert!(fixture.sends_codes_to(answer.text("client_id"), WEB).await, "{member} {value}");
    }
    // An app that says `web` and means itself.
    let cursor = json!(["cursor://anysphere.cursor-mcp/oauth/callback", WEB]);
    let web = with(&with(&good, "application_type", &json!("web")), "redirect_uris", &cursor);
    let answer = fixture.register(&web).await;
    assert_eq!((&answer["application_type"], &answer["redirect_uris"]), (&json!("native"), &cursor));
}

#[tokio::test(start_paused = true)]
async fn g_10_plain_http_in_the_operators_network_is_allowed_by_name() {
    const LAN: &str = "http://host.docker.internal:3080/api/mcp/callback";
    let fixture = Fixture::with(|config| config.with_http_redirect_hosts(["host.docker.internal"]));
    let mut client = fixture.client("").await.with_redirect_uri(LAN);
    assert_eq!(client.register(&metadata(LAN)).await.expect("a response")["redirect_uris"], json!([LAN]));
    assert!(fixture.sends_codes_to(client.client_id(), LAN).await);
    assert!(!fixture.sends_codes_to(client.client_id(), &LAN.replace("3080", "3081")).await, "the port is compared");
    let mut browser = Browser::new(fixture.network.clone()).with_stop_at(LAN);
    let tokens = client.log_in(&mut browser, "alice").await.expect("a login");
    assert!(!tokens.access_token().is_empty());

    // The host is removed from the configuration.
    let id = client.client_id().to_owned();
    let fixture = fixture.restarted(|config| config);
    assert!(!fixture.sends_codes_to(&id, LAN).await);
}

#[tokio::test(start_paused = true)]
async fn a_refused_registration_is_one_line_with_what_was_found_and_expected_and_the_key_to_set() {
    for (member, value, parts) in [
        (
            "redirect_uris",
            json!(["http://user:word@192.168.1.20/cb"]),
            &["redirect_uris", "192.168.1.20", "has a user name"][..],
        ),
        ("redirect_uris", json!(["http://192.168.1.20/cb"]), &["http://192.168.1.20/cb", "bridge.http_redirect_hosts"]),
        ("grant_types", json!(["client_credentials"]), &["client_credentials", "authorization_code", "bridge.clients"]),
        ("token_endpoint_auth_method", json!("tls_client_auth"), &["tls_client_auth", "private_key_jwt"]),
        ("scope", json!("mcp:\"read\""), &["scope", "mcp:", "malformed"]),
    ] {
        let fixture = Fixture::new();
        let log = LogCapture::of_this_thread();
        let answer = fixture.register(&with(&metadata(WEB), member, &value)).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{member}");
        let [line] = &log.lines("client request rejected")[..] else { panic!("one line: {}", log.text()) };
        assert!(line.trim_start().starts_with("INFO"), "{line}");
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(!line.contains("word"), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_cannot_be_read_is_one_line_of_the_log() {
    let fixture = Fixture::new();
    let policy = RegistrationPolicy::new().with_initial_access_token(&"hush".into());
    let closed = Fixture::with(|config| config.with_registration(policy));
    let json = "application/json";
    for (fixture, content_type, token, body, parts) in [
        (&fixture, "text/plain", "", "{}".to_owned(), &["invalid_request", "text/plain", "application/json"][..]),
        (&fixture, json, "", "[]".to_owned(), &["invalid_client_metadata", "unique members"]),
        (&fixture, json, "", format!("{{\"x\":\"{}\"}}", "y".repeat(20_000)), &["body too large"]),
        (
            &closed,
            json,
            "guess",
            "{}".to_owned(),
            &["invalid_token", "another token", "bridge.registration.initial_access_token"],
        ),
    ] {
        let log = LogCapture::of_this_thread();
        let request = Request::post(format!("{ISSUER}/register")).header("content-type", content_type);
        let request = request.header("authorization", format!("Bearer {token}")).body(body.into()).expect("a request");
        let answer = fixture.network.send(request).await.expect("a response");
        assert!(answer.status().is_client_error());
        let [line] = &log.lines("client request rejected")[..] else { panic!("one line: {}", log.text()) };
        for part in [&["step=\"register\""], parts].concat() {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(!line.contains("guess"), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_registered_client_is_one_line_of_the_log_with_its_name() {
    let fixture = Fixture::new();
    let log = LogCapture::of_this_thread();
    let answer = fixture.register(&json!({"redirect_uris": [WEB], "client_name": "App\nERROR"})).await;
    let [line] = &log.lines("client registered")[..] else { panic!("one line: {}", log.text()) };
    for part in ["INFO", answer.text("client_id"), "App\\nERROR", WEB] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!log.text().contains(answer.text("client_secret")));
}

#[tokio::test(start_paused = true)]
async fn what_a_registration_leaves_out_is_logged_once() {
    let fixture = Fixture::new();
    let log = LogCapture::of_this_thread();
    let wanted = with(&metadata(WEB), "redirect_uris", &json!([WEB, "http://192.168.1.20/cb", "myapp:callback"]));
    fixture.register(&with(&wanted, "logo_uri", &json!("data:,x"))).await;
    let lines = log.lines("of a registration ignored");
    let [uris, members] = &lines[..] else { panic!("two lines: {}", log.text()) };
    assert!(uris.contains("http://192.168.1.20/cb") && uris.contains("bridge.http_redirect_hosts"), "{uris}");
    assert!(members.contains("logo_uri"), "{members}");
}

#[tokio::test(start_paused = true)]
async fn as_11_codes_go_to_what_was_registered() {
    let fixture = Fixture::new();
    let answer = fixture.register(&json!({"redirect_uris": [WEB, LOOPBACK, "cursor://anysphere/cb"]})).await;
    let id = answer.text("client_id");
    for (redirect_uri, is_its) in [
        (WEB, true),
        ("http://127.0.0.1:1/callback", true),
        ("cursor://anysphere/cb", true),
        ("https://app.example.test/callback/", false),
        ("https://evil.example.test/callback", false),
        ("http://localhost:49152/callback", false),
        ("cursor://anysphere/other", false),
    ] {
        assert_eq!(fixture.sends_codes_to(id, redirect_uri).await, is_its, "{redirect_uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn as_11_an_app_gets_its_codes_by_its_own_scheme() {
    let fixture = Fixture::new();
    for redirect_uri in ["cursor://anysphere.cursor/callback", "com.example.app:/callback?x=1", "http://localhost:1/cb"]
    {
        let mut client = fixture.client("").await.with_redirect_uri(redirect_uri);
        client.register(&client.registration()).await.expect("a response");
        let tokens = client.log_in(&mut Browser::new(fixture.network.clone()), "alice").await.expect("a login");
        assert!(!tokens.access_token().is_empty(), "{redirect_uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn g_10_an_application_type_decides_where_codes_may_go() {
    let fixture = Fixture::new();
    for (application_type, redirect_uri, registered) in [
        (json!("web"), WEB, Some("web")),
        // What runs on the user's machine is native, whatever it says.
        (json!("web"), LOOPBACK, Some("native")),
        (json!("web"), "http://localhost/cb", Some("native")),
        (json!("web"), "com.example.app:/cb", Some("native")),
        (json!("web"), "http://app.example.test/cb", None),
        (json!("native"), WEB, Some("native")),
        (json!("native"), LOOPBACK, Some("native")),
        (json!("native"), "com.example.app:/cb", Some("native")),
        (json!("native"), "http://app.example.test/cb", None),
        // Most MCP clients run on the user's machine without an `application_type`.
        (Value::Null, LOOPBACK, Some("native")),
        (Value::Null, "http://localhost:3000/cb", Some("native")),
        (Value::Null, "cursor://anysphere/cb", Some("native")),
        (Value::Null, WEB, Some("web")),
    ] {
        let answer = fixture.register(&with(&metadata(redirect_uri), "application_type", &application_type)).await;
        match registered {
            Some(registered) => assert_eq!(answer["application_type"], registered, "{redirect_uri}"),
            None => assert_eq!(answer.error(), Some("invalid_redirect_uri"), "{application_type} {redirect_uri}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn as_12_what_cannot_be_registered_is_refused_and_told_by_its_name() {
    let fixture = Fixture::new();
    let good = metadata(WEB);
    for (member, value, error) in [
        ("redirect_uris", Value::Null, "invalid_redirect_uri"),
        ("redirect_uris", json!([]), "invalid_redirect_uri"),
        ("redirect_uris", json!(WEB), "invalid_redirect_uri"),
        ("redirect_uris", json!([WEB, 1]), "invalid_redirect_uri"),
        ("redirect_uris", json!(["javascript:alert(1)", "urn:x"]), "invalid_redirect_uri"),
        ("redirect_uris", json!(["http://app.example.test/"]), "invalid_redirect_uri"),
        ("redirect_uris", json!(["https://*.example.test/"]), "invalid_redirect_uri"),
        ("redirect_uris", json!(["https://app.example.test/#x"]), "invalid_redirect_uri"),
        ("grant_types", json!(["refresh_token"]), "invalid_client_metadata"),
        ("grant_types", json!(["client_credentials"]), "invalid_client_metadata"),
        ("grant_types", json!("authorization_code"), "invalid_client_metadata"),
        ("response_types", json!(["token"]), "invalid_client_metadata"),
        ("token_endpoint_auth_method", json!("tls_client_auth"), "invalid_client_metadata"),
        ("application_type", json!("desktop"), "invalid_client_metadata"),
        ("scope", json!("mcp:\"read\""), "invalid_client_metadata"),
    ] {
        let answer = fixture.register(&with(&good, member, &value)).await;
        assert_eq!((answer.status().as_u16(), answer.error()), (400, Some(error)), "{member} {value}");
        assert!(answer.text("error_description").starts_with(member), "{}", answer.text("error_description"));
        assert_eq!(answer.headers()["cache-control"], "no-store");
    }
    assert_eq!(fixture.stored().await, 0);
}

#[tokio::test(start_paused = true)]
async fn as_03_keys_are_registered_and_private_ones_are_not() {
    let fixture = Fixture::new();
    let signing = with(&metadata(WEB), "token_endpoint_auth_method", &json!("private_key_jwt"));
    let url = "https://app.example.test/jwks";
    let answer = fixture.register(&with(&signing, "jwks_uri", &json!(url))).await;
    assert_eq!((&answer["jwks_uri"], answer.json().get("client_secret")), (&json!(url), None));

    let public = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]});
    let answer = fixture.register(&with(&signing, "jwks", &public)).await;
    assert_eq!(answer["jwks"], public);

    let mut private = public.clone();
    private["keys"][0]["d"] = json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
    let both = with(&with(&signing, "jwks", &public), "jwks_uri", &json!(url));
    for wrong in [
        signing.clone(),
        with(&signing, "jwks", &private),
        with(&signing, "jwks", &json!({"keys": []})),
        with(&signing, "jwks", &json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]})),
        with(&signing, "jwks_uri", &json!("file:///etc/passwd")),
        both,
    ] {
        assert_eq!(fixture.register(&wrong).await.error(), Some("invalid_client_metadata"), "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn as_03_a_body_that_is_ambiguous_too_large_or_no_json_is_refused() {
    let fixture = Fixture::new();
    let post = async |content_type: &str, body: &str| {
        let request = Request::post(format!("{ISSUER}/register")).header("content-type", content_type);
        let request = request.body(body.to_owned().into()).expect("a request");
        fixture.network.send(request).await.expect("a response").status().as_u16()
    };
    let good = metadata(WEB).to_string();
    assert_eq!(post("application/json; charset=utf-8", &good).await, 201);
    assert_eq!(post("text/plain", &good).await, 400, "a form of another site could send that");
    for body in [
        "",
        "[]",
        "nonsense",
        &format!("{good}{good}"),
        r#"{"redirect_uris":["https://app.example.test/"],"redirect_uris":["https://evil.example.test/"]}"#,
    ] {
        assert_eq!(post("application/json", body).await, 400, "{body}");
    }
    let padded = |len: usize| format!("{good}{}", " ".repeat(len - good.len()));
    assert_eq!(post("application/json", &padded(16 * 1024)).await, 201);
    assert_eq!(post("application/json", &padded(16 * 1024 + 1)).await, 413);
    assert_eq!(fixture.stored().await, 2);
}

#[tokio::test(start_paused = true)]
async fn as_03_a_bridge_may_have_no_registration() {
    let fixture = Fixture::with(|config| config.with_registration(RegistrationPolicy::disabled()));
    let client = fixture.client("").await;
    assert!(client.metadata().get("registration_endpoint").is_none());
    let request = Request::post(format!("{ISSUER}/register")).header("content-type", "application/json");
    let request = request.body(metadata(WEB).to_string().into()).expect("a request");
    assert_eq!(fixture.network.send(request).await.expect("a response").status(), StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn as_03_registration_may_be_for_those_with_an_initial_access_token() {
    let policy = RegistrationPolicy::new().with_initial_access_token(&"initial access".into());
    let fixture = Fixture::with(|config| config.with_registration(policy));
    let register = async |authorization: Option<&str>| {
        let request = Request::post(format!("{ISSUER}/register")).header("content-type", "application/json");
        let request = authorization.into_iter().fold(request, |request, value| request.header("authorization", value));
        let request = request.body(metadata(WEB).to_string().into()).expect("a request");
        fixture.network.send(request).await.expect("a response")
    };
    for wrong in [None, Some("Bearer wrong"), Some("Bearer "), Some("Basic initial access"), Some("initial access")] {
        let answer = register(wrong).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{wrong:?}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
    }
    assert_eq!(fixture.stored().await, 0);
    assert_eq!(register(Some("bearer initial access")).await.status(), StatusCode::CREATED);
}

#[tokio::test(start_paused = true)]
async fn only_a_hash_of_a_client_secret_is_stored() {
    let fixture = Fixture::new();
    let mut client = fixture.client("").await;
    let answer = client.register(&json!({"redirect_uris": [WEB]})).await.expect("a response");
    let secret = answer.text("client_secret").to_owned();
    let wrong = OAuthClient::discover(&fixture.network, ISSUER).await.expect("metadata");
    let wrong = wrong.with_client_id(client.client_id()).with_secret(&format!("{secret}x"));
    let refusal = nothing(&wrong).await.expect("a response");
    assert!(!String::from_utf8_lossy(refusal.body()).contains(&secret));
    assert_eq!(Outcome::of(nothing(&client)).await, Outcome::Known);
}

#[tokio::test(start_paused = true)]
async fn a_list_of_thousands_of_scopes_is_rejected() {
    let fixture = Fixture::new();
    let scopes: Vec<_> = (0..3000).map(|number| number.to_string()).collect();
    let answer = fixture.register(&with(&metadata(WEB), "scope", &json!(scopes.join(" ")))).await;
    assert_eq!((answer.status().as_u16(), answer.error()), (400, Some("invalid_client_metadata")));
    assert_eq!(fixture.stored().await, 0);
}
