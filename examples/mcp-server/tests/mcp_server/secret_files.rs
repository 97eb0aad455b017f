//! Secret files that other users of the machine can read are rejected, for each key that names such a file.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Output,
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::process::{closed_file, command, file};

const RING: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

/// Generates a signing key, as PEM.
fn signing_key() -> String {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
    let text = BASE64_STANDARD.encode(key.to_pkcs8v1().expect("PKCS#8"));
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

/// Returns a configuration with a bridge; `first` are further keys of the section, `last` its further tables.
fn bridge(first: &str, last: &str) -> String {
    format!(
        "public_url = \"https://mcp.example.com\"\nmode = \"bridge\"\n[bridge]\nissuer = \"https://idp.example.com\"\n\
         client_id = \"app\"\n{first}\n{last}\n[store]\n"
    )
}

fn issuer(verify: &str) -> String {
    format!(
        "public_url = \"https://mcp.example.com\"\n[[resource_server.issuers]]\nissuer = \"https://idp.example.com\"\n\
         verify = \"{verify}\"\nclient_id = \"app\"\nclient_secret_file = \"FILE\"\n"
    )
}

/// Returns each key that names a secret file, the content of the file, and a configuration in which `FILE` is its path.
fn keys() -> Vec<(&'static str, String, String)> {
    let hush = || "hush\n".to_owned();
    let secret = "client_secret = \"hush\"";
    let memory = "url = \"memory:\"\n";
    vec![
        ("resource_server.issuers[0].client_secret_file", hush(), issuer("introspection")),
        ("resource_server.issuers[0].client_secret_file", hush(), issuer("userinfo")),
        ("bridge.client_secret_file", hush(), bridge("client_secret_file = \"FILE\"", "") + memory),
        (
            "bridge.signing_key_files[0]",
            signing_key(),
            bridge(&format!("{secret}\naccess_tokens = \"jwt\"\nsigning_key_files = [\"FILE\"]"), "") + memory,
        ),
        (
            "bridge.registration.initial_access_token_file",
            hush(),
            bridge(secret, "[bridge.registration]\ninitial_access_token_file = \"FILE\"") + memory,
        ),
        (
            "bridge.clients[0].client_secret_file",
            hush(),
            bridge(
                secret,
                "[[bridge.clients]]\nclient_id = \"web\"\nredirect_uris = [\"https://app.example.com/callback\"]\n\
                 client_secret_file = \"FILE\"",
            ) + memory,
        ),
        (
            "bridge.resource_servers[0].client_secret_file",
            hush(),
            bridge(secret, "[[bridge.resource_servers]]\nclient_id = \"rs\"\nclient_secret_file = \"FILE\"") + memory,
        ),
        (
            "store.encryption_keys_file",
            RING.to_owned(),
            bridge(secret, "") + "url = \"sqlite://unused.db\"\nencryption_keys_file = \"FILE\"\n",
        ),
    ]
}

fn check(name: &str, config: &str, secret: &Path) -> Output {
    let config = config.replace("FILE", secret.to_str().expect("UTF-8"));
    command().arg("--check").arg("--config").arg(file(name, &config)).output().expect("the binary runs")
}

#[test]
fn a_secret_file_that_other_users_can_read_is_rejected_for_each_key() {
    for (index, (key, text, config)) in keys().into_iter().enumerate() {
        let secret = closed_file(&format!("secret-{index}"), &text);
        for (mode, is_accepted) in
            [(0o600, true), (0o400, true), (0o440, true), (0o640, true), (0o644, false), (0o604, false), (0o660, false)]
        {
            fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).expect("a mode");
            let output = check(&format!("secret-file-{index}.toml"), &config, &secret);
            let stderr = String::from_utf8(output.stderr).expect("UTF-8");
            assert_eq!(output.status.code(), Some(if is_accepted { 0 } else { 2 }), "{key} {mode:o}: {stderr}");
            if !is_accepted {
                let path = secret.display();
                for part in [
                    format!("`{key}` cannot be used: "),
                    format!("{path} is open to others (mode {mode:03o}, expected 600"),
                    format!("chmod 600 {path}"),
                ] {
                    assert!(stderr.contains(&part), "{part}: {stderr}");
                }
                assert_eq!(stderr.lines().count(), 1, "{stderr}");
                assert!(!stderr.contains("hush") && !stderr.contains("PRIVATE"), "{stderr}");
            }
        }
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("a mode");
    }
}

#[test]
fn the_mode_of_a_linked_file_counts_as_kubernetes_mounts_secrets_by_links() {
    let (_, text, config) = keys().swap_remove(0);
    let secret = closed_file("mounted-secret", &text);
    let link = secret.with_file_name("link-to-secret");
    drop(fs::remove_file(&link));
    symlink(&secret, &link).expect("a link");
    for (mode, code) in [(0o440, 0), (0o644, 2)] {
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).expect("a mode");
        assert_eq!(check("linked.toml", &config, &link).status.code(), Some(code), "{mode:o}");
    }
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("a mode");
}
