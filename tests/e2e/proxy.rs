//! The server behind nginx, with the blocks of `docs/behind-a-proxy.md`; `just setup` installs Debian's nginx.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use portcullis_testkit::IdentityProvider;
use reqwest::{Client, StatusCode, header};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::{McpServer, Process, call, free_port, until_listening};

const PAGE: &str = include_str!("../../docs/behind-a-proxy.md");

/// A running nginx. Dropping the guard stops it.
struct Nginx {
    port: u16,
    folder: PathBuf,
    _process: Process,
}

impl Nginx {
    /// Starts nginx with block `number` of the page, without TLS, in front of the server at `upstream`.
    async fn start(number: usize, upstream: u16) -> Self {
        let port = free_port();
        let folder = env::temp_dir().join(format!("portcullis-nginx-{port}"));
        fs::create_dir_all(&folder).expect("a folder");
        let block = PAGE.split("```nginx\n").nth(number).and_then(|rest| rest.split("```").next()).expect("a block");
        let (tls, block): (Vec<_>, Vec<_>) = block.lines().partition(|line| line.trim().starts_with("ssl_"));
        assert_eq!(tls.len(), 2, "the certificate and its key");
        let block = block.join("\n").replace("listen 443 ssl;", &format!("listen 127.0.0.1:{port};"));
        let block = block.replace("127.0.0.1:8000", &format!("127.0.0.1:{upstream}"));
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {name};\n"))
            .concat();
        let text = format!(
            "daemon off;\npid nginx.pid;\nworker_processes 1;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{block}\n}}\n"
        );
        fs::write(folder.join("nginx.conf"), text).expect("a file");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&folder).args(["-c", "nginx.conf", "-e", "stderr"]);
        // Debian has it in a folder for administrators.
        command.env("PATH", format!("{}:/usr/sbin", env::var("PATH").unwrap_or_default()));
        let process = Process::start(&mut command);
        until_listening(port).await;
        Self { port, folder, _process: process }
    }

    /// Returns a client that resolves `name` to nginx.
    fn client(&self, name: &str) -> Client {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        Client::builder().resolve(name, address).build().expect("a client")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The worker ends when the master does not tell it to go on.
        if let Ok(pid) = fs::read_to_string(self.folder.join("nginx.pid")) {
            let _ = std::process::Command::new("kill").arg(pid.trim()).status();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

async fn server(issuer: &str, public_url: &str) -> McpServer {
    let keys = format!("public_url = \"{public_url}\"\nclient_address_header = \"x-forwarded-for\"");
    let server = McpServer::start_behind(issuer, &keys).await;
    server.until_ready(200).await;
    server
}

#[tokio::test]
async fn nginx_in_front_of_the_server_needs_no_more_than_the_page_says() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    for (number, public_url, metadata) in [
        (1, "https://mcp.example.com", "/.well-known/oauth-protected-resource/mcp"),
        (2, "https://example.com/tools", "/.well-known/oauth-protected-resource/tools/mcp"),
    ] {
        let server = server(running.url(), public_url).await;
        let nginx = Nginx::start(number, server.port).await;
        let (host, base) = public_url["https://".len()..].split_once('/').map_or_else(
            || (&public_url["https://".len()..], String::new()),
            |(host, path)| (host, format!("/{path}")),
        );
        let (client, origin) = (nginx.client(host), format!("http://{host}:{}", nginx.port));
        let send = async |token: Option<&str>| {
            let request = call(&format!("{origin}{base}/mcp"), "whoami", &json!({})).build().expect("a request");
            let mut request = request;
            if let Some(token) = token {
                request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().expect("ASCII"));
            }
            client.execute(request).await.expect("an answer")
        };
        let refused = send(None).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        let challenge = refused.headers()[header::WWW_AUTHENTICATE].to_str().expect("ASCII").to_owned();
        assert!(challenge.contains(&format!("\"https://{host}{metadata}\"")), "{challenge}");
        let document = client.get(format!("{origin}{metadata}")).send().await.expect("an answer");
        let document: Value = document.json().await.expect("JSON");
        let resource = format!("{public_url}/mcp");
        assert_eq!(document["resource"], resource);
        let token = provider.token("alice").with_audience(&resource).jwt();
        assert_eq!(send(Some(&token)).await.status(), StatusCode::OK);
        assert!(!server.process.lines().iter().any(|line| line.contains("client_address_header")));
    }
}
