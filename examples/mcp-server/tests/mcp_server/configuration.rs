//! Invalid configuration: exit code 2, and one line that names the place and the problem.

use std::{
    io::{PipeWriter, pipe},
    path::PathBuf,
    process::Output,
};

use crate::process::{closed_file, command, file};

/// A valid configuration in resource-server mode.
const VALID: &str = r#"listen = "127.0.0.1:8000"
public_url = "https://mcp.example.com"
admin_listen = "127.0.0.1:9000"
mode = "resource-server"
required_scopes = ["mcp:read"]

[[resource_server.issuers]]
issuer = "https://idp.example.com"
verify = "jwt"
audience = "https://mcp.example.com/mcp"
client_id = ""
client_secret = ""

[cache]
ttl = "5m"
capacity = 100000
rejected_ttl = "10s"
stale_if_error = "0s"

[egress]
allow_loopback = false
timeout = "10s"
"#;

/// Returns a pipe whose reader is closed.
fn closed_pipe() -> PipeWriter {
    pipe().expect("a pipe").1
}

fn check(path: &PathBuf) -> Output {
    command().arg("--check").arg("--config").arg(path).output().expect("the binary runs")
}

/// Returns the single line on standard error.
fn error_line(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!((stderr.lines().count(), stderr.ends_with('\n')), (1, true), "{stderr:?}");
    assert!(output.stdout.is_empty());
    stderr.trim_end().to_owned()
}

#[test]
fn a_complete_configuration_is_valid() {
    let output = check(&file("valid.toml", VALID));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The text to replace in [`VALID`], its replacement, and the error after the name of the file.
const INVALID: &[(&str, &str, &str)] = &[
    ("listen = \"127.0.0.1:8000\"", "listen = ", ":1:10: "),
    ("[cache]", "[cache", ":14:7: "),
    ("ttl = \"5m\"", "tll = \"5m\"", ":15: `cache.tll` is an unknown key; the nearest known key is `ttl`"),
    (
        "audience =",
        "audiance =",
        ":10: `resource_server.issuers[0].audiance` is an unknown key; the nearest known key is `audience`",
    ),
    ("[egress]", "[ingress]", ":20: `ingress` is an unknown key; the nearest known key is `egress`"),
    ("\"resource-server\"", "\"proxy\"", ":4: `mode` must be one of resource-server, bridge, not \"proxy\""),
    ("\"127.0.0.1:8000\"", "\"localhost\"", ":1: `listen` must be an address and a port"),
    ("\"127.0.0.1:8000\"", "8000", ":1: `listen` must be a string, not integer"),
    ("127.0.0.1:9000", "127.0.0.1:8000", ":3: `admin_listen` must differ from `listen`"),
    ("\"https://mcp.example.com\"", "\"mcp.example.com\"", ":2: `public_url` is not an absolute URL"),
    ("\"https://mcp.example.com\"", "\"http://mcp.example.com\"", ":2: `public_url` must be https"),
    ("\"https://mcp.example.com\"", "\"https://mcp.example.com/?a\"", ":2: `public_url` must have no query"),
    ("\"https://mcp.example.com\"", "\"https://mcp.example.com/mcp\"", ":2: `public_url` must not end with /mcp"),
    (
        "public_url",
        "allowed_hosts = [\"service:8000\"]\npublic_url",
        ":2: `allowed_hosts[0]` must be a host name without a port, not \"service:8000\"",
    ),
    (
        "public_url",
        "allowed_origins = [\"https://a.example\", \"https://b.example/app\"]\npublic_url",
        ":2: `allowed_origins[1]` must be an origin such as \"https://app.example.com\", without a path, or \"null\"",
    ),
    ("\"mcp:read\"", "\"mcp read\"", ":5: `required_scopes` has \"mcp read\", which is not a scope name"),
    ("\"mcp:read\"", "1", ":5: `required_scopes[0]` must be a string, not integer"),
    (
        "\"https://idp.example.com\"",
        "\"idp.example.com\"",
        ":8: `resource_server.issuers[0].issuer` is not an absolute URL",
    ),
    ("https://idp", "http://idp", ":8: `resource_server.issuers[0].issuer` must be https; http is for loopback only"),
    (
        "https://idp.example.com",
        "http://127.0.0.1:9",
        ":8: `resource_server.issuers[0].issuer` is on this machine, which needs allow_loopback",
    ),
    ("issuer = \"https://idp.example.com\"", "", ":7: `resource_server.issuers[0].issuer` is missing"),
    (
        "\"jwt\"",
        "\"guess\"",
        ":9: `resource_server.issuers[0].verify` must be one of jwt, introspection, userinfo, not \"guess\"",
    ),
    ("\"jwt\"", "\"introspection\"", ":11: `resource_server.issuers[0].client_id` is missing: introspection needs it"),
    (
        "\"jwt\"",
        "\"userinfo\"",
        ":11: `resource_server.issuers[0].client_id` is missing: UserInfo does not state the audience",
    ),
    ("\"https://mcp.example.com/mcp\"", "\"\"", ":10: `resource_server.issuers[0].audience` must not be empty"),
    (
        "client_secret = \"\"",
        "client_secret_file = \"/nowhere/secret\"",
        ":12: `resource_server.issuers[0].client_secret_file` cannot be used: /nowhere/secret cannot be read: ",
    ),
    (
        "client_secret = \"\"",
        "client_secret = \"hush\"\nclient_secret_file = \"/x\"",
        ":13: `resource_server.issuers[0].client_secret_file` is given, and `client_secret` too",
    ),
    (
        "client_secret = \"\"",
        "jwks_uri = \"https://user:hush@idp.example.com/jwks\"",
        ":12: `resource_server.issuers[0].jwks_uri` must not have a user name",
    ),
    (
        "client_secret = \"\"",
        "userinfo_endpoint = \"http://127.0.0.1:9/userinfo\"",
        ":12: `resource_server.issuers[0].userinfo_endpoint` is on this machine, which needs allow_loopback",
    ),
    (
        "client_secret = \"\"",
        "jwks_uri = \"ftp://x\"",
        ":12: `resource_server.issuers[0].jwks_uri` is not an absolute URL",
    ),
    (
        "client_secret = \"\"",
        "algorithms = [\"HS256\"]",
        ":12: `resource_server.issuers[0].algorithms[0]` must be one of ",
    ),
    (
        "client_secret = \"\"",
        "[[resource_server.issuers]]\nissuer = \"https://idp.example.com\"",
        ":13: `resource_server.issuers[1].issuer` is configured twice",
    ),
    ("\"5m\"", "\"5 parsecs\"", ":15: `cache.ttl` must be a duration, such as \"5m\" or \"90s\", not \"5 parsecs\""),
    ("\"5m\"", "\"0s\"", ":15: `cache.ttl` must be longer than zero"),
    ("100000", "0", ":16: `cache.capacity` must be at least 1"),
    ("100000", "-1", ":16: `cache.capacity` must not be negative"),
    ("= false", "= \"no\"", ":21: `egress.allow_loopback` must be true or false, not string"),
    (
        "timeout = \"10s\"",
        "allowed_networks = [\"10.0.0.0/99\"]",
        ":22: `egress.allowed_networks[0]` must be a network",
    ),
];

/// A valid configuration in bridge mode.
const VALID_BRIDGE: &str = r#"mode = "bridge"
required_scopes = ["mcp:use"]
[bridge]
provider = "oidc"
issuer = "https://idp.example.com"
client_id = "mcp-server"
client_secret = "hush"
scopes = ["openid"]
access_token_ttl = "10m"
refresh_token_ttl = "30d"
rotation_grace = "2m"
[bridge.endpoints]
authorize = ""
token = ""
userinfo = ""
[[bridge.clients]]
client_id = "app"
redirect_uris = ["https://app.example.com/callback"]
[store]
url = "memory:"
encryption_keys_file = ""
"#;

const INVALID_BRIDGE: &[(&str, &str, &str)] = &[
    (
        "\"oidc\"",
        "\"octa\"",
        ":4: `bridge.provider` must be one of oidc, keycloak, google, github, atlassian, salesforce, oauth2, entra, okta,",
    ),
    ("issuer = \"https://idp.example.com\"", "", ":3: `bridge.issuer` is missing"),
    (
        "https://idp.example.com",
        "http://127.0.0.1:9",
        ":5: `bridge.issuer` is on this machine, which needs allow_loopback",
    ),
    ("\"oidc\"", "\"keycloak\"", ":3: `bridge.server_url` is missing: keycloak needs `server_url` and `realm`"),
    (
        "\"oidc\"",
        "\"keycloak\"\nserver_url = \"http://kc.example.com\"\nrealm = \"r\"",
        ":5: `bridge.server_url` must be https",
    ),
    ("\"oidc\"", "\"salesforce\"\nhost = \"a b\"", ":5: `bridge.host` "),
    ("client_id = \"mcp-server\"", "client_id = \"\"", ":6: `bridge.client_id` is missing: "),
    ("client_secret = \"hush\"", "", ":3: `bridge.client_secret` is missing, or `client_secret_file`: "),
    (
        "client_secret = \"hush\"",
        "client_secret_file = \"/nowhere/secret\"",
        ":7: `bridge.client_secret_file` cannot be used: /nowhere/secret cannot be read: ",
    ),
    (
        "\"oidc\"",
        "\"github\"\ntoken_endpoint_auth_method = \"client_secret_post\"",
        ":5: `bridge.token_endpoint_auth_method` is for oidc, oauth2, keycloak, entra and okta",
    ),
    ("\"openid\"", "\"open id\"", ":8: `bridge.scopes` has \"open id\", which is not a scope name"),
    (
        "scopes = [\"openid\"]",
        "dead_grant_errors = [\"BAD_REFRESH_TOKEN\", \"invalid_client\"]",
        ":8: `bridge.dead_grant_errors[1]` is about this server or an outage, and must not end a grant",
    ),
    ("scopes = [\"openid\"]", "outage_grace = \"long\"", ":8: `bridge.outage_grace` must be a duration"),
    ("\"10m\"", "\"0s\"", ":9: `bridge.access_token_ttl` must be at least 1s"),
    ("\"30d\"", "\"a month\"", ":10: `bridge.refresh_token_ttl` must be a duration"),
    (
        "rotation_grace",
        "rotation_grate",
        ":11: `bridge.rotation_grate` is an unknown key; the nearest known key is `rotation_grace`",
    ),
    ("token = \"\"", "token = \"ftp://x\"", ":14: `bridge.endpoints.token` is not an absolute URL"),
    ("userinfo = \"\"", "userinfo = \"http://[::1]/x\"", ":15: `bridge.endpoints.userinfo` is on this machine"),
    ("client_id = \"app\"", "client_id = \"\"", ":17: `bridge.clients[0].client_id` must not be empty"),
    (
        "redirect_uris = [\"https://app.example.com/callback\"]",
        "",
        ":16: `bridge.clients[0].redirect_uris` is empty: the authorization code grant needs a redirect URI",
    ),
    ("https://app.example.com/callback", "javascript:hush", ":18: `bridge.clients[0].redirect_uris[0]` "),
    (
        "[store]",
        "[[bridge.clients]]\nclient_id = \"app\"\nredirect_uris = [\"app:/\"]\n[store]",
        ":20: `bridge.clients[1].client_id` is configured twice",
    ),
    (
        "[store]",
        "scopes = [\"mcp:all\"]\n[store]",
        ":19: `bridge.clients[0].scopes` has \"mcp:all\", which is not among",
    ),
    (
        "[store]",
        "[[bridge.entitlements]]\nscope = \"x\"\n[store]",
        ":20: `bridge.entitlements[0].scope` is \"x\", which is not among",
    ),
    (
        "[store]",
        "[[bridge.entitlements]]\nscope = \"mcp:admin\"\nclaim = \"groups\"\n[store]",
        ":19: `bridge.entitlements[0].values` is missing",
    ),
    (
        "[store]",
        "[[bridge.entitlements]]\nscope = \"mcp:admin\"\nissuer = \"https://other.example.com\"\n[store]",
        ":21: `bridge.entitlements[0].issuer` is \"https://other.example.com\", which is neither the provider's \
         (\"https://idp.example.com\") nor among `bridge.trusted_issuers`",
    ),
    (
        "[store]",
        "[[bridge.entitlements]]\nscope = \"mcp:admin\"\nissuer = \"ada\"\n[store]",
        ":21: `bridge.entitlements[0].issuer` is not an absolute URL",
    ),
    (
        "[store]",
        "[bridge.documents]\nhost = []\n[store]",
        ":20: `bridge.documents.host` is an unknown key; the nearest known key is `hosts`",
    ),
    (
        "scopes = [\"openid\"]",
        "signing_key_files = [\"k\"]",
        ":8: `bridge.signing_key_files` is for access_tokens = \"jwt\"",
    ),
    (
        "scopes = [\"openid\"]",
        "access_tokens = \"jwt\"\nsigning_key_files = [\"/nowhere/key\"]",
        ":9: `bridge.signing_key_files[0]` cannot be used: /nowhere/key cannot be read: ",
    ),
    (
        "scopes = [\"openid\"]",
        "parameters = [\"prompt\"]",
        ":8: `bridge.parameters[0]` must be a name, an equals sign and a value",
    ),
    (
        "scopes = [\"openid\"]",
        "parameters = [\"hd=example.com\", \"state=hush\"]",
        ":8: `bridge.parameters[1]` is a parameter that the bridge sets itself",
    ),
    (
        "scopes = [\"openid\"]",
        "client_address_header = \"x y\"",
        ":8: `bridge.client_address_header` is not a header name",
    ),
    (
        "\"memory:\"",
        "\"sqlite://portcullis.db\"",
        ":21: `store.encryption_keys_file` is missing: a persistent store needs persistent keys",
    ),
    ("\"memory:\"", "\"sqlite:\"", ":20: `store.url` must name a file"),
    (
        "\"memory:\"",
        "\"postgres://user:hush@db/x\"",
        ":20: `store.url` = \"postgres:..\" is not available in this version",
    ),
    ("\"memory:\"", "\"redis://user:hush@db/x\"", ":20: `store.url` = \"redis:..\" is not available in this version"),
    ("\"memory:\"", "\"mysql:hush\"", ":20: `store.url` must begin with sqlite: or memory:"),
    (
        "\"memory:\"\nencryption_keys_file = \"\"",
        "\"sqlite:x.db\"\nencryption_keys_file = \"/nowhere/keys\"",
        ":21: `store.encryption_keys_file` cannot be used: the key file /nowhere/keys cannot be read: ",
    ),
];

#[test]
fn each_error_is_reported_in_one_line_with_its_place_and_problem() {
    for (valid, invalid) in [(VALID, INVALID), (VALID_BRIDGE, INVALID_BRIDGE)] {
        for (index, (from, to, expected)) in invalid.iter().enumerate() {
            assert!(valid.contains(from), "{from}");
            let path = file(&format!("invalid-{}-{index}.toml", invalid.len()), &valid.replacen(from, to, 1));
            let line = error_line(&check(&path));
            let expected = format!("mcp-server: {}{expected}", path.display());
            assert!(line.starts_with(&expected), "\n     got {line}\nexpected {expected}");
            assert!(!line.contains("hush"), "{line}");
        }
    }
}

#[test]
fn a_bridge_configuration_is_valid() {
    let output = check(&file("bridge.toml", VALID_BRIDGE));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_sections_of_the_other_mode_are_not_validated() {
    let both = VALID_BRIDGE.replace("\"memory:\"", "\"postgres://db\"")
        + "[[resource_server.issuers]]\nissuer = \"https://idp.example.com\"\n";
    for (text, code) in [(both.replace("\"bridge\"", "\"resource-server\""), 0), (both, 2)] {
        let output = check(&file(&format!("both-{code}.toml"), &text));
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_bridge_can_be_configured_by_environment_variables_only() {
    let keys = closed_file("ring", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
    let mut command = command();
    command.args(["--check", "--config"]).arg(file("nothing.toml", ""));
    for (name, value) in [
        ("MODE", "bridge"),
        ("BRIDGE__PROVIDER", "github"),
        ("BRIDGE__CLIENT_ID", "Iv1.app"),
        ("BRIDGE__CLIENT_SECRET", "hush"),
        ("BRIDGE__CLIENTS__0__CLIENT_ID", "app"),
        ("BRIDGE__CLIENTS__0__REDIRECT_URIS__0", "https://app.example.com/callback"),
        ("STORE__ENCRYPTION_KEYS_FILE", keys.to_str().expect("UTF-8")),
    ] {
        command.env(format!("PORTCULLIS__{name}"), value);
    }
    let output = command.output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_missing_file_is_an_error() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("absent.toml");
    assert!(error_line(&check(&path)).contains("absent.toml: cannot be read: "));
}

#[test]
fn an_empty_list_of_issuers_is_an_error() {
    assert!(error_line(&check(&file("empty.toml", ""))).contains("`resource_server.issuers` is empty"));
}

#[test]
fn an_invalid_configuration_is_rejected_at_startup_and_by_the_check() {
    let path = file("start.toml", "listne = 1");
    let output = command().arg("--config").arg(&path).output().expect("the binary runs");
    assert!(error_line(&output).contains("the nearest known key is `listen`"));
}

#[test]
fn a_secret_can_be_in_a_file_that_a_variable_names() {
    let secret = closed_file("secret", "hush\n");
    let path = file(
        "introspection.toml",
        &VALID.replace("\"jwt\"", "\"introspection\"").replace("client_id = \"\"", "client_id = \"gate\""),
    );
    let variable = "PORTCULLIS__RESOURCE_SERVER__ISSUERS__0__CLIENT_SECRET_FILE";
    let output = command().args(["--check", "--config"]).arg(&path).env(variable, &secret).output().expect("runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(error_line(&check(&path)).contains("client_secret` is missing"));
    let empty = closed_file("empty-secret", "\n");
    let output = command().args(["--check", "--config"]).arg(&path).env(variable, &empty).output().expect("runs");
    assert!(error_line(&output).contains(&format!("{variable}: ")));
}

#[test]
fn the_schema_describes_the_keys() {
    let output = command().arg("--print-schema").output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0));
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["cache"]["properties"]["ttl"]["default"], "5m");
    let issuer = &schema["properties"]["resource_server"]["properties"]["issuers"]["items"];
    assert_eq!(issuer["required"], serde_json::json!(["issuer"]));
    for key in ["issuer", "verify", "audience", "client_id", "client_secret", "client_secret_file"] {
        assert!(issuer["properties"][key]["description"].is_string(), "{key}");
    }
}

#[test]
fn only_one_issuer_can_have_opaque_tokens() {
    let issuer = |name: &str| {
        format!(
            "[[resource_server.issuers]]\nissuer = \"https://{name}.example\"\nverify = \"introspection\"\n\
             client_id = \"gate\"\nclient_secret = \"hush\"\n"
        )
    };
    let line = error_line(&check(&file("two-opaque.toml", &(issuer("a") + &issuer("b")))));
    assert!(
        line.contains(":8: `resource_server.issuers[1].verify` is not \"jwt\", nor is that of https://a.example"),
        "{line}"
    );
}

#[test]
fn a_closed_standard_output_is_not_an_error() {
    let output = command().arg("--print-schema").stdout(closed_pipe()).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
