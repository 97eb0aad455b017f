//! Access tokens as issuers write them: the members are theirs, the values are ours. Times are added by the test.

use serde_json::{Value, json};

/// A token of an issuer, and what the server makes of it by the configuration of `docs/issuers.md`.
pub(super) struct Shape {
    /// The heading of the configuration.
    pub(super) issuer: &'static str,
    pub(super) name: &'static str,
    token: fn() -> Token,
    pub(super) expected: &'static str,
}

impl Shape {
    pub(super) fn token(&self) -> Token {
        (self.token)()
    }
}

pub(super) enum Token {
    /// The members of the header that differ from `{"alg": "ES256", "kid": "k1", "typ": "JWT"}` (null: absent), and the claims.
    Jwt(Value, Value),
    Opaque(&'static str),
    /// An opaque token and the introspection response about it.
    Introspected(&'static str, Value),
}

const fn shape(issuer: &'static str, name: &'static str, token: fn() -> Token, expected: &'static str) -> Shape {
    Shape { issuer, name, token, expected }
}

const ENTRA: &str = "Entra ID";
const TENANTS: &str = "Entra ID, several tenants";
const AUTH0: &str = "Auth0";
const OKTA: &str = "Okta";
const COGNITO: &str = "Amazon Cognito";
const KEYCLOAK: &str = "Keycloak";
const CLERK: &str = "Clerk";
const AUTHKIT: &str = "WorkOS AuthKit";
const WORKOS: &str = "WorkOS sessions";
const PING_ONE: &str = "PingOne";
const PING_FEDERATE: &str = "PingFederate";
const ZITADEL: &str = "Zitadel";
const AUTHENTIK: &str = "Authentik";
const SUPABASE: &str = "Supabase";
const FIREBASE: &str = "Firebase";
const HYDRA: &str = "Ory Hydra";
const GOOGLE: &str = "Google service accounts";
const KUBERNETES: &str = "Kubernetes";
const ACTIONS: &str = "GitHub Actions";
const DJANGO: &str = "django-oauth-toolkit";
const RFC_9068: &str = "Issuers that follow RFC 9068";

pub(super) static SHAPES: [Shape; 74] = [
    shape(
        ENTRA,
        "v2, user",
        || entra_v2(json!({"azp": "3f1d", "scp": "mcp.use", "sub": "pairwise", "oid": "o1"})),
        "user `pairwise`, client `3f1d`, scopes `mcp.use`",
    ),
    shape(
        ENTRA,
        "v1, user",
        || entra_v1(json!({"appid": "3f1d", "scp": "mcp.use", "sub": "pairwise", "upn": "alice@example.com"})),
        "user `pairwise`, client `3f1d`, scopes `mcp.use`",
    ),
    shape(
        ENTRA,
        "v2, app-only",
        || entra_v2(json!({"azp": "3f1d", "roles": ["mcp.use"], "sub": "o1", "oid": "o1", "idtyp": "app"})),
        "client `o1`, client `3f1d`, scopes `mcp.use`",
    ),
    shape(
        ENTRA,
        "v1, app-only",
        || entra_v1(json!({"appid": "3f1d", "roles": ["mcp.use"], "sub": "o1", "oid": "o1", "appidacr": "1"})),
        "client `o1`, client `3f1d`, scopes `mcp.use`",
    ),
    shape(
        ENTRA,
        "more than 200 groups",
        || entra_v2(json!({"azp": "3f1d", "scp": "mcp.use", "sub": "p", "_claim_names": {"groups": "src1"}})),
        "user `p`, client `3f1d`, scopes `mcp.use`",
    ),
    shape(
        ENTRA,
        "token for Microsoft Graph",
        || {
            entra_v1(
                json!({"aud": "00000003-0000-0000-c000-000000000000", "appid": "3f1d", "scp": "User.Read", "sub": "p"}),
            )
        },
        "`wrong_audience`",
    ),
    shape(ENTRA, "ID token", || entra_v2(json!({"aud": "3f1d", "nonce": "n", "sub": "p"})), "`wrong_audience`"),
    shape(
        ENTRA,
        "another tenant",
        || {
            entra_v2(
                json!({"iss": "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0", "sub": "p"}),
            )
        },
        "`unknown_issuer`",
    ),
    shape(
        TENANTS,
        "first tenant",
        || entra_v2(json!({"azp": "3f1d", "scp": "mcp.use", "sub": "p"})),
        "user `p`, client `3f1d`, scopes `mcp.use`",
    ),
    shape(
        TENANTS,
        "second tenant, v1",
        || {
            entra_v1(
                json!({"iss": "https://sts.windows.net/9188040d-6c67-4c5b-b112-36a304b66dad/", "appid": "3f1d", "scp": "mcp.use", "sub": "p"}),
            )
        },
        "user `p`, client `3f1d`, scopes `mcp.use`",
    ),
    shape(
        TENANTS,
        "tenant that is not listed",
        || {
            entra_v2(
                json!({"iss": "https://login.microsoftonline.com/00000000-aaaa-bbbb-cccc-000000000000/v2.0", "scp": "mcp.use", "sub": "p"}),
            )
        },
        "`unknown_issuer`",
    ),
    shape(
        AUTH0,
        "user",
        || auth0(json!({"sub": "auth0|1", "azp": "app", "scope": "openid profile", "permissions": ["mcp:use"]})),
        "user `auth0|1`, client `app`, scopes `openid profile mcp:use`",
    ),
    shape(
        AUTH0,
        "RFC 9068 profile",
        || {
            typed(
                "at+jwt",
                auth0(json!({"sub": "auth0|1", "client_id": "app", "scope": "openid", "permissions": ["mcp:use"]})),
            )
        },
        "user `auth0|1`, client `app`, scopes `openid mcp:use`",
    ),
    shape(
        AUTH0,
        "machine to machine",
        || {
            auth0(
                json!({"aud": "https://mcp.example.com/mcp", "sub": "app@clients", "azp": "app", "gty": "client-credentials", "permissions": ["mcp:use"]}),
            )
        },
        "client `app@clients`, client `app`, scopes `mcp:use`",
    ),
    shape(AUTH0, "ID token", || auth0(json!({"aud": "app", "sub": "auth0|1", "nonce": "n"})), "`wrong_audience`"),
    shape(
        AUTH0,
        "login without `audience`",
        || Token::Opaque("eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..iv.text.tag"),
        "`encrypted_token`",
    ),
    shape(
        OKTA,
        "user",
        || okta(json!({"sub": "alice@example.com", "uid": "u1", "cid": "0oa1", "scp": ["mcp.use", "openid"]})),
        "user `alice@example.com`, client `0oa1`, scopes `mcp.use openid`",
    ),
    shape(
        OKTA,
        "client credentials",
        || okta(json!({"sub": "0oa1", "cid": "0oa1", "scp": ["mcp.use"]})),
        "client `0oa1`, client `0oa1`, scopes `mcp.use`",
    ),
    shape(
        OKTA,
        "org authorization server",
        || {
            okta(
                json!({"iss": "https://example.okta.com", "aud": "https://example.okta.com", "sub": "a", "cid": "0oa1"}),
            )
        },
        "`unknown_issuer`",
    ),
    shape(OKTA, "ID token", || okta(json!({"aud": "0oa1", "sub": "a", "at_hash": "x"})), "`wrong_audience`"),
    shape(
        COGNITO,
        "user",
        || {
            cognito(
                json!({"sub": "c1", "client_id": "4ab2", "token_use": "access", "scope": "mcp/use", "username": "alice", "cognito:groups": ["admins"]}),
            )
        },
        "user `c1`, client `4ab2`, scopes `mcp/use mcp:admin`",
    ),
    shape(
        COGNITO,
        "bound to the resource",
        || {
            cognito(
                json!({"sub": "c1", "client_id": "4ab2", "token_use": "access", "aud": "https://mcp.example.com/mcp", "scope": "mcp/use"}),
            )
        },
        "user `c1`, client `4ab2`, scopes `mcp/use`",
    ),
    shape(
        COGNITO,
        "client credentials",
        || cognito(json!({"sub": "4ab2", "client_id": "4ab2", "token_use": "access", "scope": "mcp/use"})),
        "client `4ab2`, client `4ab2`, scopes `mcp/use`",
    ),
    shape(
        COGNITO,
        "another client",
        || cognito(json!({"sub": "c1", "client_id": "9zz9", "token_use": "access"})),
        "`wrong_audience`",
    ),
    shape(
        COGNITO,
        "bound to another resource",
        || {
            cognito(
                json!({"sub": "c1", "client_id": "4ab2", "token_use": "access", "aud": "https://other.example.com"}),
            )
        },
        "`wrong_audience`",
    ),
    shape(COGNITO, "ID token", || cognito(json!({"sub": "c1", "aud": "4ab2", "token_use": "id"})), "`wrong_audience`"),
    shape(
        KEYCLOAK,
        "user",
        || {
            keycloak(
                json!({"sub": "u1", "azp": "cli", "scope": "openid", "realm_access": {"roles": ["mcp-admin"]}, "sid": "s"}),
            )
        },
        "user `u1`, client `cli`, scopes `openid mcp:admin`",
    ),
    shape(
        KEYCLOAK,
        "service account",
        || {
            keycloak(
                json!({"sub": "u2", "azp": "job", "client_id": "job", "preferred_username": "service-account-job", "scope": "profile"}),
            )
        },
        "client `u2`, client `job`, scopes `profile`",
    ),
    shape(KEYCLOAK, "without the client scope `basic`", || keycloak(json!({"azp": "cli", "sid": "s"})), "`no_subject`"),
    shape(
        KEYCLOAK,
        "without the audience mapper",
        || keycloak(json!({"aud": "account", "sub": "u1", "azp": "cli"})),
        "`wrong_audience`",
    ),
    shape(KEYCLOAK, "ID token", || keycloak(json!({"sub": "u1", "typ": "ID", "azp": "cli"})), "`wrong_type`"),
    shape(
        KEYCLOAK,
        "refresh token",
        || with_algorithm("HS512", keycloak(json!({"sub": "u1", "typ": "Refresh"}))),
        "`algorithm_refused`",
    ),
    shape(
        CLERK,
        "session token",
        || clerk(json!({"sub": "user_1", "azp": "https://app.example.com", "sid": "sess_1", "fva": [1, -1]})),
        "user `user_1`, client `https://app.example.com`",
    ),
    shape(
        CLERK,
        "OAuth access token",
        || typed("at+jwt", clerk(json!({"sub": "user_1", "client_id": "c1", "scope": "profile email"}))),
        "user `user_1`, client `c1`, scopes `profile email`",
    ),
    shape(
        CLERK,
        "another application",
        || clerk(json!({"sub": "user_1", "azp": "https://other.example.com"})),
        "`wrong_audience`",
    ),
    shape(CLERK, "opaque access token", || Token::Opaque("oat_0123456789"), "`malformed_token`"),
    shape(
        AUTHKIT,
        "user",
        || {
            jwt(
                "https://example.authkit.app",
                json!({"aud": "https://mcp.example.com/mcp", "sub": "user_1", "sid": "s", "org_id": "org_1"}),
            )
        },
        "user `user_1`",
    ),
    shape(
        AUTHKIT,
        "another resource",
        || jwt("https://example.authkit.app", json!({"aud": "client_01H", "sub": "user_1"})),
        "`wrong_audience`",
    ),
    shape(
        WORKOS,
        "session",
        || {
            workos(
                json!({"sub": "user_1", "sid": "s", "org_id": "org_1", "role": "member", "permissions": ["mcp:use"]}),
            )
        },
        "user `user_1`, scopes `mcp:use`",
    ),
    shape(
        WORKOS,
        "another application",
        || workos(json!({"iss": "https://api.workos.com/user_management/client_02Z", "sub": "user_1"})),
        "`unknown_issuer`",
    ),
    shape(
        PING_ONE,
        "user",
        || ping(json!({"sub": "u1", "client_id": "c1", "scope": "mcp:use", "env": "e1"})),
        "user `u1`, client `c1`, scopes `mcp:use`",
    ),
    shape(
        PING_ONE,
        "client credentials",
        || ping(json!({"sub": "c1", "client_id": "c1", "scope": "mcp:use"})),
        "client `c1`, client `c1`, scopes `mcp:use`",
    ),
    shape(
        PING_ONE,
        "token for the PingOne API",
        || ping(json!({"aud": "https://api.pingone.eu", "sub": "u1", "client_id": "c1"})),
        "`wrong_audience`",
    ),
    shape(
        PING_FEDERATE,
        "user",
        || federate(json!({"username": "alice", "client_id": "c1", "scope": "mcp:use"})),
        "user `alice`, client `c1`, scopes `mcp:use`",
    ),
    shape(
        PING_FEDERATE,
        "without the attribute",
        || federate(json!({"client_id": "c1", "scope": "mcp:use"})),
        "`no_subject`",
    ),
    shape(
        ZITADEL,
        "user",
        || {
            zitadel(
                json!({"sub": "17", "client_id": "c1", "urn:zitadel:iam:org:project:roles": {"mcp:admin": {"1": "a.example"}}}),
            )
        },
        "user `17`, client `c1`, scopes `mcp:admin`",
    ),
    shape(
        ZITADEL,
        "another project",
        || zitadel(json!({"aud": ["999"], "sub": "17", "client_id": "c1"})),
        "`wrong_audience`",
    ),
    shape(
        AUTHENTIK,
        "user",
        || authentik(json!({"sub": "hash", "aud": "mcp-client", "azp": "mcp-client", "scope": "openid mcp:use"})),
        "user `hash`, client `mcp-client`, scopes `openid mcp:use`",
    ),
    shape(
        AUTHENTIK,
        "another application",
        || authentik(json!({"iss": "https://authentik.example.com/application/o/wiki/", "aud": "wiki", "sub": "hash"})),
        "`unknown_issuer`",
    ),
    shape(
        AUTHENTIK,
        "ID token",
        || authentik(json!({"sub": "hash", "aud": "mcp-client", "nonce": "n", "at_hash": "x"})),
        "`wrong_type`",
    ),
    shape(
        SUPABASE,
        "user",
        || supabase(json!({"sub": "u1", "role": "authenticated", "session_id": "s", "aal": "aal1"})),
        "user `u1`",
    ),
    shape(
        SUPABASE,
        "legacy HS256",
        || with_algorithm("HS256", supabase(json!({"sub": "u1", "role": "authenticated"}))),
        "`algorithm_refused`",
    ),
    shape(
        SUPABASE,
        "anonymous key",
        || supabase(json!({"iss": "supabase", "aud": null, "role": "anon"})),
        "`unknown_issuer`",
    ),
    shape(
        FIREBASE,
        "user",
        || {
            firebase(
                json!({"sub": "u1", "user_id": "u1", "auth_time": 1, "firebase": {"sign_in_provider": "google.com"}}),
            )
        },
        "user `u1`",
    ),
    shape(
        FIREBASE,
        "another project",
        || firebase(json!({"iss": "https://securetoken.google.com/other", "aud": "other", "sub": "u1"})),
        "`unknown_issuer`",
    ),
    shape(
        HYDRA,
        "user",
        || hydra(json!({"aud": [], "sub": "u1", "client_id": "c1", "scp": ["mcp:use"], "ext": {}})),
        "user `u1`, client `c1`, scopes `mcp:use`",
    ),
    shape(
        HYDRA,
        "another client",
        || hydra(json!({"aud": [], "sub": "u1", "client_id": "c2", "scp": ["mcp:use"]})),
        "`wrong_audience`",
    ),
    shape(HYDRA, "opaque token", || Token::Opaque("ory_at_0123456789"), "`malformed_token`"),
    shape(
        GOOGLE,
        "identity token",
        || {
            google(
                json!({"sub": "1017", "azp": "1017", "email": "job@p.iam.gserviceaccount.com", "email_verified": true}),
            )
        },
        "client `1017`, client `1017`",
    ),
    shape(
        GOOGLE,
        "identity token of another service account",
        || google(json!({"sub": "2099", "azp": "2099", "email": "job@other.iam.gserviceaccount.com"})),
        "`wrong_audience`",
    ),
    shape(
        GOOGLE,
        "ID token of a user",
        || {
            google(
                json!({"aud": "c.apps.googleusercontent.com", "azp": "c.apps.googleusercontent.com", "sub": "11", "at_hash": "x"}),
            )
        },
        "`wrong_audience`",
    ),
    shape(GOOGLE, "access token of a user", || Token::Opaque("ya29.a0AfB_planted"), "`malformed_token`"),
    shape(
        KUBERNETES,
        "projected service account token",
        || kubernetes(json!({"sub": "system:serviceaccount:agents:runner", "kubernetes.io": {"namespace": "agents"}})),
        "user `system:serviceaccount:agents:runner`",
    ),
    shape(
        KUBERNETES,
        "default audience",
        || {
            kubernetes(
                json!({"aud": ["https://kubernetes.default.svc.cluster.local"], "sub": "system:serviceaccount:agents:runner"}),
            )
        },
        "`wrong_audience`",
    ),
    shape(
        KUBERNETES,
        "legacy token of a secret",
        || {
            kubernetes(
                json!({"iss": "kubernetes/serviceaccount", "aud": null, "sub": "system:serviceaccount:agents:runner"}),
            )
        },
        "`unknown_issuer`",
    ),
    shape(
        ACTIONS,
        "workflow",
        || {
            actions(
                json!({"sub": "repo:o/r:ref:refs/heads/main", "repository": "o/r", "repository_owner_id": "583231", "actor": "alice"}),
            )
        },
        "user `repo:o/r:ref:refs/heads/main`, scopes `mcp:use`",
    ),
    shape(
        ACTIONS,
        "workflow of another owner",
        || actions(json!({"sub": "repo:x/r:ref:refs/heads/main", "repository": "x/r", "repository_owner_id": "1"})),
        "`insufficient_scope`",
    ),
    shape(
        ACTIONS,
        "default audience",
        || actions(json!({"aud": "https://github.com/o", "sub": "repo:o/r:ref:refs/heads/main"})),
        "`wrong_audience`",
    ),
    shape(
        DJANGO,
        "user",
        || {
            Token::Introspected(
                "dot-user",
                json!({"active": true, "scope": "mcp:use", "exp": 9_999_999_999_u64, "client_id": "c1", "username": "alice"}),
            )
        },
        "user `alice`, client `c1`, scopes `mcp:use`",
    ),
    shape(
        DJANGO,
        "another client",
        || {
            Token::Introspected(
                "dot-other",
                json!({"active": true, "scope": "mcp:use", "exp": 9_999_999_999_u64, "client_id": "c2", "username": "alice"}),
            )
        },
        "`wrong_audience`",
    ),
    shape(DJANGO, "revoked", || Token::Introspected("dot-dead", json!({"active": false})), "`inactive`"),
    shape(
        RFC_9068,
        "user",
        || {
            typed(
                "at+jwt",
                jwt(
                    "https://idp.example.com",
                    json!({"aud": "https://mcp.example.com/mcp", "sub": "u1", "client_id": "c1", "scope": "mcp:use"}),
                ),
            )
        },
        "user `u1`, client `c1`, scopes `mcp:use`",
    ),
    shape(
        RFC_9068,
        "`typ` is `JWT`",
        || {
            jwt(
                "https://idp.example.com",
                json!({"aud": "https://mcp.example.com/mcp", "sub": "u1", "client_id": "c1"}),
            )
        },
        "`wrong_type`",
    ),
    shape(
        RFC_9068,
        "without `aud`",
        || typed("at+jwt", jwt("https://idp.example.com", json!({"sub": "u1", "client_id": "c1"}))),
        "`missing_claim`",
    ),
];

fn jwt(issuer: &str, claims: Value) -> Token {
    with(json!({"iss": issuer}), claims)
}

/// Returns a JWT with the claims of `defaults` that `claims` do not replace.
fn with(mut defaults: Value, claims: Value) -> Token {
    let members = defaults.as_object_mut().expect("claims");
    let Value::Object(claims) = claims else { panic!("no claims: {claims}") };
    members.extend(claims);
    Token::Jwt(json!({}), defaults)
}

fn typed(typ: &str, token: Token) -> Token {
    with_header("typ", json!(typ), token)
}

fn with_algorithm(algorithm: &str, token: Token) -> Token {
    with_header("alg", json!(algorithm), token)
}

fn with_header(name: &str, value: Value, token: Token) -> Token {
    let Token::Jwt(mut header, claims) = token else { panic!("a JWT") };
    header[name] = value;
    Token::Jwt(header, claims)
}

fn entra_v2(claims: Value) -> Token {
    let issuer = "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0";
    let tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    with(json!({"iss": issuer, "aud": "1c7e0b0a-5d54-4f4e-9d6b-0f5c6f0d2b11", "tid": tenant, "ver": "2.0"}), claims)
}

fn entra_v1(claims: Value) -> Token {
    let issuer = "https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/";
    let tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    let audience = "api://1c7e0b0a-5d54-4f4e-9d6b-0f5c6f0d2b11";
    with(json!({"iss": issuer, "aud": audience, "tid": tenant, "ver": "1.0"}), claims)
}

fn auth0(claims: Value) -> Token {
    let audience = ["https://mcp.example.com/mcp", "https://example.eu.auth0.com/userinfo"];
    with(json!({"iss": "https://example.eu.auth0.com/", "aud": audience}), claims)
}

fn okta(claims: Value) -> Token {
    let issuer = "https://example.okta.com/oauth2/default";
    typed_as_absent(with(json!({"iss": issuer, "aud": "api://mcp", "ver": 1}), claims))
}

fn cognito(claims: Value) -> Token {
    typed_as_absent(jwt("https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf", claims))
}

fn typed_as_absent(token: Token) -> Token {
    with_header("typ", Value::Null, token)
}

fn keycloak(claims: Value) -> Token {
    with(
        json!({"iss": "https://login.example.com/realms/staff", "aud": ["mcp-server", "account"], "typ": "Bearer"}),
        claims,
    )
}

fn clerk(claims: Value) -> Token {
    jwt("https://clerk.example.com", claims)
}

fn workos(claims: Value) -> Token {
    typed_as_absent(jwt("https://api.workos.com/user_management/client_01H", claims))
}

fn ping(claims: Value) -> Token {
    typed_as_absent(with(
        json!({"iss": "https://auth.pingone.eu/e1/as", "aud": ["https://mcp.example.com/mcp"]}),
        claims,
    ))
}

fn federate(claims: Value) -> Token {
    typed_as_absent(with(json!({"iss": "https://sso.example.com", "aud": "mcp"}), claims))
}

fn zitadel(claims: Value) -> Token {
    with(json!({"iss": "https://example.zitadel.cloud", "aud": ["240", "241"]}), claims)
}

fn authentik(claims: Value) -> Token {
    jwt("https://authentik.example.com/application/o/mcp/", claims)
}

fn supabase(claims: Value) -> Token {
    with(json!({"iss": "https://abcdef.supabase.co/auth/v1", "aud": "authenticated"}), claims)
}

fn firebase(claims: Value) -> Token {
    with(json!({"iss": "https://securetoken.google.com/my-project", "aud": "my-project"}), claims)
}

fn hydra(claims: Value) -> Token {
    jwt("https://hydra.example.com", claims)
}

fn google(claims: Value) -> Token {
    with(json!({"iss": "https://accounts.google.com", "aud": "https://mcp.example.com/mcp"}), claims)
}

fn kubernetes(claims: Value) -> Token {
    let issuer = "https://kubernetes.default.svc.cluster.local";
    typed_as_absent(with(json!({"iss": issuer, "aud": ["https://mcp.example.com/mcp"]}), claims))
}

fn actions(claims: Value) -> Token {
    with(json!({"iss": "https://token.actions.githubusercontent.com", "aud": "https://mcp.example.com/mcp"}), claims)
}
