//! Environment variables, defaults and validation of the configuration.

use std::{ffi::OsString, time::Duration};

use portcullis::oauth::providers::{ErrorMeaning, Pkce, ProfileSource, Provider, Rotation, SubjectMember, TokenFormat};
use secrecy::ExposeSecret;

use super::{Config, IssuerSettings, KnownProvider, ModeSettings, Verification};

const MINIMAL: &str = "[[resource_server.issuers]]\nissuer = \"https://idp.example.com\"\n";

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::parse("file.toml", text, variables).map_err(|error| error.to_string())
}

fn issuers(config: &Config) -> &[IssuerSettings] {
    let ModeSettings::ResourceServer(issuers) = &config.mode else { panic!("a resource server") };
    issuers
}

#[test]
fn an_issuer_is_the_only_required_key() {
    let config = load(MINIMAL, &[]).expect("valid");
    assert_eq!(config.resource.as_str(), "http://127.0.0.1:8000/mcp");
    assert_eq!(config.cache.ttl, Duration::from_secs(300));
    assert!(!config.egress.allow_loopback);
    assert!(matches!(issuers(&config)[0].verification, Verification::Jwt { .. }));
}

#[test]
fn environment_variables_override_the_file() {
    let config = load(
        MINIMAL,
        &[
            ("PORTCULLIS__LISTEN", "127.0.0.1:8123"),
            ("PORTCULLIS__CACHE__TTL", "7s"),
            ("PORTCULLIS__CACHE__CAPACITY", "12"),
            ("PORTCULLIS__EGRESS__ALLOW_LOOPBACK", "true"),
            ("PORTCULLIS__REQUIRED_SCOPES__1", "b"),
            ("PORTCULLIS__REQUIRED_SCOPES__0", "a"),
            ("PORTCULLIS__RESOURCE_SERVER__ISSUERS__0__ISSUER", "https://other.example.com"),
            ("PORTCULLIS__RESOURCE_SERVER__ISSUERS__1__ISSUER", "https://second.example.com"),
            ("PORTCULLIS__RESOURCE_SERVER__ISSUERS__1__VERIFY", "introspection"),
            ("PORTCULLIS__RESOURCE_SERVER__ISSUERS__1__CLIENT_ID", "gate"),
            ("PORTCULLIS__RESOURCE_SERVER__ISSUERS__1__CLIENT_SECRET", "123"),
            ("UNRELATED", "x"),
        ],
    )
    .expect("valid");
    assert_eq!(config.resource.as_str(), "http://127.0.0.1:8123/mcp");
    assert_eq!((config.cache.ttl, config.cache.capacity), (Duration::from_secs(7), 12));
    assert!(config.egress.allow_loopback);
    assert_eq!(config.required_scopes.to_string(), "a b");
    assert_eq!(issuers(&config)[0].issuer.as_str(), "https://other.example.com");
    let Verification::Introspection(credentials) = &issuers(&config)[1].verification else { panic!("introspection") };
    assert_eq!(credentials.client_secret.expose_secret(), "123", "a secret of digits is still a string");
}

#[test]
fn a_variable_can_contain_a_list_in_toml_syntax() {
    let config = load(MINIMAL, &[("PORTCULLIS__REQUIRED_SCOPES", r#"["a", "b"]"#)]).expect("valid");
    assert_eq!(config.required_scopes.len(), 2);
}

#[test]
fn an_error_in_a_variable_names_the_variable() {
    for (name, value, expected) in [
        (
            "PORTCULLIS__LISTNE",
            "x",
            "PORTCULLIS__LISTNE: `listne` is an unknown key; the nearest known key is `listen`",
        ),
        (
            "PORTCULLIS__CACHE__CAPACITY",
            "many",
            "PORTCULLIS__CACHE__CAPACITY: `cache.capacity` must be an integer, not string",
        ),
        ("PORTCULLIS__CACHE__TTL__X", "1", "PORTCULLIS__CACHE__TTL__X: `cache.ttl` has no members"),
        (
            "PORTCULLIS__RESOURCE_SERVER__ISSUERS__7__ISSUER",
            "https://x.example",
            "PORTCULLIS__RESOURCE_SERVER__ISSUERS__7__ISSUER: `resource_server.issuers` has 1 elements, so 7 leaves a gap",
        ),
        (
            "PORTCULLIS__RESOURCE_SERVER__ISSUERS__FIRST",
            "x",
            "PORTCULLIS__RESOURCE_SERVER__ISSUERS__FIRST: `resource_server.issuers` is an array: its elements are numbers",
        ),
        (
            "PORTCULLIS__RESOURCE_SERVER__ISSUERS__1__VERIFY",
            "jwt",
            "PORTCULLIS__RESOURCE_SERVER__ISSUERS__1__VERIFY: `resource_server.issuers[1].issuer` is missing",
        ),
    ] {
        assert_eq!(load(MINIMAL, &[(name, value)]).expect_err(name), expected);
    }
}

#[test]
fn without_a_fixed_loopback_address_the_public_url_is_required() {
    for listen in ["0.0.0.0:8000", "127.0.0.1:0"] {
        let error = load(MINIMAL, &[("PORTCULLIS__LISTEN", listen)]).expect_err(listen);
        assert!(error.contains("`public_url` is missing"), "{error}");
        let public = ("PORTCULLIS__PUBLIC_URL", "https://mcp.example.com/");
        let config = load(MINIMAL, &[("PORTCULLIS__LISTEN", listen), public]).expect("valid");
        assert_eq!(config.resource.as_str(), "https://mcp.example.com/mcp");
    }
}

#[test]
fn a_configuration_does_not_print_its_secrets() {
    let text = format!("{MINIMAL}verify = \"introspection\"\nclient_id = \"gate\"\nclient_secret = \"hush-hush\"\n");
    assert!(!format!("{:?}", load(&text, &[]).expect("valid")).contains("hush"));
    for wrong in ["client_secret = 4711", "client_secret = [\"4711\"]", "client_secret = { a = \"4711\" }"] {
        let error = load(&format!("{MINIMAL}{wrong}"), &[]).expect_err(wrong);
        assert!(
            error.starts_with("file.toml:3: `resource_server.issuers[0].client_secret` must be a string"),
            "{error}"
        );
        assert!(!error.contains("4711"), "{error}");
    }
}

#[test]
fn the_subject_claim_must_be_unique_for_each_user() {
    let config = load(&format!("{MINIMAL}subject_claim = \"username\"\n"), &[]).expect("valid");
    assert_eq!(issuers(&config)[0].subject_claim.as_deref(), Some("username"));
    assert!(!issuers(&config)[0].allow_client_without_subject);
    for (keys, expected) in [
        ("subject_claim = \"\"", "`resource_server.issuers[0].subject_claim` must not be empty"),
        (
            "subject_claim = \"client_id\"",
            "`resource_server.issuers[0].subject_claim` must be the claim that names the user",
        ),
        ("subject_claim = \"aud\"", "set allow_client_without_subject = true"),
        (
            "verify = \"userinfo\"\nclient_id = \"x\"\nclient_secret = \"x\"\nallow_client_without_subject = true",
            "`resource_server.issuers[0].allow_client_without_subject` does not go with verify = \"userinfo\"",
        ),
        (
            "subject_claim = \"login\"\ncheck_token_endpoint = \"https://api.example/check\"",
            "`resource_server.issuers[0].subject_claim` does not go with `check_token_endpoint`",
        ),
    ] {
        let error = load(&format!("{MINIMAL}{keys}\n"), &[]).expect_err(keys);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_audience_and_the_scopes_of_an_issuer_may_be_in_other_claims() {
    let text = format!(
        "{MINIMAL}audience = \"a\"\naudiences = [\"b\"]\naudience_claim = \"client_id\"\nallowed_clients = [\"c\"]\n\
         scope_claims = [{{ claim = \"roles\" }}, {{ claim = \"groups\", values = [\"g\"], scope = \"mcp:admin\" }}]\n"
    );
    let config = load(&text, &[]).expect("valid");
    let issuer = &issuers(&config)[0];
    assert_eq!((issuer.audiences.join(" "), issuer.allowed_clients.join(" ")), ("a b".to_owned(), "c".to_owned()));
    assert_eq!((issuer.audience_claim.as_deref(), issuer.scope_claims.len()), (Some("client_id"), 2));
    for (keys, expected) in [
        ("audience_claim = \"client_id\"", "`resource_server.issuers[0].audience_claim` needs `audience`"),
        ("audience = \"x\"\naudience_claim = \"sub\"", "must be the claim that names this server or its client"),
        ("audiences = [\"\"]", "`resource_server.issuers[0].audiences[0]` must not be empty"),
        ("allowed_clients = [\"a\", \"\"]", "`resource_server.issuers[0].allowed_clients[1]` must not be empty"),
        ("scope_claims = [{ claim = \"r\", scope = \"s\" }]", "scope_claims[0].values` is missing"),
        ("scope_claims = [{ claim = \"r\", values = [\"v\"] }]", "scope_claims[0].scope` is missing"),
        ("scope_claims = [{ claim = \"r\", values = [\"v\"], scope = \"a b\" }]", "is not a scope name"),
        ("scope_claims = [{ claim = \"\" }]", "scope_claims[0].claim` must not be empty"),
    ] {
        let error = load(&format!("{MINIMAL}{keys}\n"), &[]).expect_err(keys);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_scopes_to_request_may_have_other_names_than_those_of_tokens() {
    let scopes = [("PORTCULLIS__CHALLENGE_SCOPES__0", "api://app/mcp.use")];
    let config = load(MINIMAL, &scopes).expect("valid");
    assert_eq!(config.challenge_scopes.map(|scopes| scopes.to_string()).as_deref(), Some("api://app/mcp.use"));
    let error = load("mode = \"bridge\"\n", &scopes).expect_err("a bridge");
    assert!(error.contains("`challenge_scopes` is for mode = \"resource-server\""), "{error}");
}

#[test]
fn a_template_of_entra_id_stands_for_the_listed_tenants() {
    let (first, second) = ("72f988bf-86f1-41af-91ab-2d7cd011db47", "9188040d-6c67-4c5b-b112-36a304b66dad");
    let entra = "[[resource_server.issuers]]\nissuer = \"https://login.microsoftonline.com/{tenantid}/v2.0\"\n";
    let config = load(&format!("{entra}tenants = [\"{first}\", \"{second}\"]\n"), &[]).expect("valid");
    let names: Vec<_> = issuers(&config).iter().map(|settings| settings.issuer.as_str()).collect();
    assert_eq!(names, [first, second].map(|id| format!("https://login.microsoftonline.com/{id}/v2.0")));
    for settings in issuers(&config) {
        let Verification::Jwt { jwks_uri: Some(uri), .. } = &settings.verification else { panic!("keys") };
        assert_eq!(uri, "https://login.microsoftonline.com/common/discovery/v2.0/keys");
    }
    for (text, expected) in [
        (entra.to_owned(), "file.toml:1: `resource_server.issuers[0].tenants` is missing"),
        (
            format!("{entra}tenants = [\"contoso.com\"]\n"),
            "file.toml:3: `resource_server.issuers[0].tenants[0]` is not the ID",
        ),
        (
            format!("{entra}tenants = [\"{first}\", \"{first}\"]\n"),
            "`resource_server.issuers[0].issuer` is configured twice",
        ),
        (format!("{MINIMAL}tenants = [\"{first}\"]\n"), "`resource_server.issuers[0].tenants` needs an `issuer`"),
    ] {
        let error = load(&text, &[]).expect_err(&text);
        assert!(error.starts_with(expected) || error.contains(expected), "{error}");
    }
}

#[test]
fn http_needs_a_named_host_in_an_allowed_network() {
    let text = "[[resource_server.issuers]]\nissuer = \"http://keycloak:8080/realms/x\"\njwks_uri = \"http://Keycloak/keys\"\n";
    let egress = "[egress]\nallowed_networks = [\"10.0.0.0/8\"]\nhttp_hosts = [\"keycloak\"]\n";
    let config = load(&format!("{text}{egress}"), &[]).expect("valid");
    assert_eq!(issuers(&config)[0].issuer.as_str(), "http://keycloak:8080/realms/x");
    for (text, expected) in [
        (text.to_owned(), "`resource_server.issuers[0].issuer` must be https"),
        (
            format!("{}{egress}", text.replace("keycloak:", "other:")),
            "`resource_server.issuers[0].issuer` must be https",
        ),
        (
            format!("{}{egress}", text.replace("keycloak:", "keycloak@other:")),
            "`resource_server.issuers[0].issuer` must be",
        ),
        (
            format!("{MINIMAL}[egress]\nhttp_hosts = [\"keycloak\"]\n"),
            "`egress.http_hosts` needs `egress.allowed_networks`",
        ),
        (format!("{MINIMAL}[egress]\nhttp_hosts = [\"http://keycloak\"]\n"), "`egress.http_hosts[0]` must be the name"),
    ] {
        let error = load(&text, &[]).expect_err(&text);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_proxy_and_a_private_ca_are_checked_at_the_start() {
    load(
        &format!("{MINIMAL}[egress]\nproxy = \"http://proxy:3128\"\nno_proxy = [\"idp.example\", \"10.0.0.0/8\"]\n"),
        &[],
    )
    .expect("valid");
    for (keys, expected) in [
        ("proxy = \"http://user:hush@proxy:3128\"", "`egress.proxy` must be an http or https URL"),
        ("no_proxy = [\"a\"]", "`egress.no_proxy` needs `egress.proxy`"),
        ("ca_file = \"/nonexistent/ca.pem\"", "`egress.ca_file` cannot be used: /nonexistent/ca.pem"),
        ("ca_file = \"Cargo.toml\"", "`egress.ca_file` cannot be used: Cargo.toml: no CA certificate"),
    ] {
        let error = load(&format!("{MINIMAL}[egress]\n{keys}\n"), &[]).expect_err(keys);
        assert!(error.contains(expected) && !error.contains("hush"), "{error}");
    }
}

/// A provider of which the configuration says everything: tokens of Slack's shape, requests in JSON.
const OAUTH2: &str = r#"
mode = "bridge"

[bridge]
provider = "oauth2"
client_id = "app"
client_secret = "hush"
scopes = ["read"]

[bridge.endpoints]
authorize = "https://login.example.com/authorize"
token = "https://api.example.com/token"
userinfo = "https://api.example.com/me"

[store]
url = "memory:"

[bridge.oauth2]
subject = "user.id"
"#;

fn provider(text: &str) -> Result<Provider, String> {
    let config = load(text, &[])?;
    let ModeSettings::Bridge(settings, _) = config.mode else { panic!("a bridge") };
    let KnownProvider::All(provider) = settings.provider.known else { panic!("known without metadata") };
    Ok(provider.with_vendor(|vendor| settings.provider.changes.apply(vendor)))
}

#[test]
fn a_provider_of_the_kind_oauth2_is_what_the_configuration_says() {
    let least = provider(OAUTH2).expect("valid");
    assert_eq!((least.name(), least.issuer().as_str()), ("oauth2", "https://login.example.com"));
    assert_eq!(least.token_endpoint().to_string(), "https://api.example.com/token");
    assert!(!least.issues_id_tokens() && least.has_profile_endpoint());
    let all = OAUTH2.replace(
        "subject = \"user.id\"",
        r#"subject = "user.id"
name = "user.real_name"
username = "user.handle"
email = "user.mail"
profile = "token_response"
scope_parameter = "user_scope"
scope_separator = ","
token_request = "json"
pkce = false
token_parameters = ["audience=api"]
headers = ["Api-Version=2"]
token_path = "user.access_token"
token_types = ["user"]
default_lifetime = "1h"
rotation = "10m"
[bridge.oauth2.errors]
login = ["dead"]
transient = ["later"]
ours = ["who_are_you"]
dead_token = ["gone"]"#,
    );
    let all = provider(&all).expect("valid");
    let vendor = all.vendor();
    assert_eq!(vendor.subject, SubjectMember::Any("user.id".into()));
    assert_eq!(vendor.renamed_members.len(), 3);
    assert_eq!((vendor.profile, all.has_profile_endpoint()), (ProfileSource::TokenResponse, false));
    assert_eq!((&*vendor.scope_parameter, vendor.scope_separator), ("user_scope", ','));
    assert_eq!((vendor.token_format, vendor.pkce), (TokenFormat::Json, Pkce::Off));
    assert_eq!(vendor.token_parameters, [("audience".into(), "api".into())]);
    assert_eq!(vendor.headers["api-version"], "2");
    assert_eq!(vendor.token_path.as_deref(), Some("user.access_token"));
    assert_eq!(all.default_lifetime(), Some(Duration::from_hours(1)));
    assert_eq!(all.rotation(), Rotation::Leeway(Duration::from_mins(10)));
    let meanings: Vec<_> = vendor.errors.iter().map(|rule| (&*rule.code, rule.meaning)).collect();
    let expected =
        [("who_are_you", ErrorMeaning::Credentials), ("later", ErrorMeaning::Transient), ("dead", ErrorMeaning::Grant)];
    assert_eq!(meanings, expected);
    assert_eq!(vendor.dead_token_errors, ["gone"]);
}

#[test]
fn an_error_about_a_provider_names_the_key() {
    let subject = "subject = \"user.id\"";
    for (find, replace, expected) in [
        (subject, "", "`bridge.oauth2.subject` is missing"),
        (subject, "subject = \"user..id\"", "`bridge.oauth2.subject` must be names of members"),
        ("authorize = \"https://login.example.com/authorize\"", "", "`bridge.endpoints.authorize` is missing"),
        ("token = \"https://api.example.com/token\"", "", "`bridge.endpoints.token` is missing"),
        ("userinfo = \"https://api.example.com/me\"", "", "`bridge.endpoints.userinfo` is missing"),
        (subject, "subject = \"sub\"\nprofile = \"id_token\"", "`bridge.scopes` must contain \"openid\""),
        (subject, "subject = \"id\"\nprofile = \"jwt\"", "`bridge.oauth2.profile` must be one of userinfo, id_token"),
        (subject, "subject = \"id\"\nprofile_body = \"{\"", "`bridge.oauth2.profile_body` must be a JSON text"),
        (subject, "subject = \"id\"\nscope_separator = \", \"", "`bridge.oauth2.scope_separator` must be one of"),
        (subject, "subject = \"id\"\nrotation = \"never\"", "`bridge.oauth2.rotation` must be \"reusable\""),
        (subject, "subject = \"id\"\ndefault_lifetime = \"0s\"", "`bridge.oauth2.default_lifetime` must be longer"),
        (subject, "subject = \"id\"\nheaders = [\"Authorization=x\"]", "`bridge.oauth2.headers[0]` is a header that"),
        (subject, "subject = \"id\"\nheaders = [\"x\"]", "`bridge.oauth2.headers[0]` must be a name, an equals sign"),
        (
            subject,
            "subject = \"id\"\ntoken_parameters = [\"code=x\"]",
            "`bridge.oauth2.token_parameters[0]` is a param",
        ),
        (
            subject,
            "subject = \"id\"\nerrors.login = [\"invalid_client\"]",
            "`bridge.oauth2.errors.login[0]` is about this server or an outage",
        ),
        ("provider = \"oauth2\"", "provider = \"entra\"", "`bridge.tenant` is missing"),
        (
            "provider = \"oauth2\"",
            "provider = \"entra\"\ntenant = \"common\"",
            "`bridge.tenant` must be the identifier",
        ),
        ("provider = \"oauth2\"", "provider = \"okta\"", "`bridge.host` is missing"),
        ("provider = \"oauth2\"", "provider = \"gitlab\"\nhost = \"a b\"", "`bridge.host` must be a host name"),
    ] {
        assert!(OAUTH2.contains(find), "{find}");
        let error = provider(&OAUTH2.replace(find, replace)).expect_err(expected);
        assert!(error.contains(expected), "{error}, not {expected}");
    }
}

#[test]
fn a_ready_made_provider_can_be_changed_by_single_keys() {
    let entra = OAUTH2
        .replace("provider = \"oauth2\"", "provider = \"entra\"\ntenant = \"72f988bf-86f1-41af-91ab-2d7cd011db47\"")
        .replace("[\"read\"]", "[\"openid\"]")
        .replace("user.id", "oid");
    let entra = provider(&entra).expect("valid");
    assert!(entra.issues_id_tokens() && !entra.has_profile_endpoint());
    assert_eq!(entra.issuer().as_str(), "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0");
    assert_eq!(entra.vendor().subject, SubjectMember::Any("oid".into()));
    let zoom = OAUTH2.replace("https://login.example.com/authorize", "https://zoom.us/oauth/authorize");
    assert!(!provider(&zoom).expect("valid").vendor().has_shared_subject());
    let shared = zoom.replace("user.id", "account_id");
    assert!(provider(&shared).expect("valid").vendor().has_shared_subject(), "the account of many users");
}

#[test]
fn the_profile_in_an_id_token_needs_openid_also_at_a_provider_with_metadata() {
    let text = |scopes: &str| {
        format!(
            r#"mode = "bridge"
            store.url = "memory:"
            bridge.issuer = "https://idp.example.com"
            bridge.client_id = "app"
            bridge.client_secret = "hush"
            bridge.scopes = {scopes}
            bridge.oauth2.profile = "id_token""#
        )
    };
    let error = load(&text("[\"read\"]"), &[]).expect_err("no ID token");
    assert!(error.contains("`bridge.scopes` must contain \"openid\""), "{error}");
    load(&text("[\"openid\"]"), &[]).expect("valid");
}
