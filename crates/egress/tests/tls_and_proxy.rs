//! A private CA, and an outbound proxy, with real sockets and TLS. The certificates in `fixtures` were made for these tests.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use portcullis_egress::{CaCertificates, Egress, EgressConfig, EgressError, EgressErrorKind, Proxy};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};
use tower::ServiceExt as _;

const CA: &[u8] = include_bytes!("fixtures/ca.pem");
const OTHER_CA: &[u8] = include_bytes!("fixtures/other_ca.pem");
/// For `localhost` and `idp.example.com`, by [`CA`].
const CERTIFICATE: &[u8] = include_bytes!("fixtures/server.pem");
const KEY: &[u8] = include_bytes!("fixtures/server.key");

const NO_CONTENT: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// Starts an HTTPS server on loopback and returns its port.
async fn https_server() -> u16 {
    let certificates = CertificateDer::pem_slice_iter(CERTIFICATE).collect::<Result<_, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_slice(KEY).expect("key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .expect("certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate ends the handshake.
                if let Ok(mut socket) = acceptor.accept(socket).await {
                    read_head(&mut socket).await;
                    socket.write_all(NO_CONTENT).await.expect("written");
                    socket.shutdown().await.expect("closed");
                }
            });
        }
    });
    port
}

/// Starts a proxy on loopback that connects every tunnel to `target`, and records what it is asked for.
async fn proxy(target: u16) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let requests = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let head = read_head(&mut client).await;
                seen.lock().expect("lock").push(head.lines().next().unwrap_or_default().to_owned());
                let mut server = TcpStream::connect(("127.0.0.1", target)).await.expect("the target");
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.expect("written");
                copy_bidirectional(&mut client, &mut server).await.ok();
            });
        }
    });
    (port, requests)
}

async fn read_head(socket: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap_or(b'\n'));
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn get(config: EgressConfig, url: &str) -> Result<Response<Bytes>, EgressError> {
    let request = Request::get(url).body(Bytes::new()).expect("request");
    Egress::new(config).expect("TLS").oneshot(request).await
}

fn trusting(ca: &[u8]) -> EgressConfig {
    EgressConfig::new().with_ca_certificates(CaCertificates::from_pem(ca).expect("certificates"))
}

#[tokio::test]
async fn a_private_ca_is_trusted_if_it_is_configured() {
    let url = format!("https://localhost:{}/", https_server().await);
    let config = || trusting(CA).with_loopback_allowed();
    assert_eq!(get(config(), &url).await.expect("trusted").status(), StatusCode::NO_CONTENT);
    for config in [EgressConfig::new().with_loopback_allowed(), trusting(OTHER_CA).with_loopback_allowed()] {
        let error = get(config, &url).await.expect_err("not trusted");
        assert_eq!(error.kind(), EgressErrorKind::Connect);
    }
    let by_address = url.replace("localhost", "127.0.0.1");
    assert!(get(config(), &by_address).await.is_err(), "the certificate is for another name");
    assert_eq!(get(trusting(CA), &url).await.expect_err("loopback").kind(), EgressErrorKind::Blocked);
}

#[tokio::test]
async fn ca_certificates_must_be_certificates() {
    for text in [b"".as_slice(), b"ca.pem", KEY] {
        assert!(CaCertificates::from_pem(text).is_err(), "{}", String::from_utf8_lossy(text));
    }
    assert!(CaCertificates::from_pem(&[CA, b"\n", OTHER_CA].concat()).is_ok(), "a bundle");
}

#[tokio::test]
async fn requests_go_through_the_proxy_which_resolves_the_names() {
    let (port, requests) = proxy(https_server().await).await;
    // The address of a configured proxy is not checked, by address or by name.
    for host in ["127.0.0.1", "localhost"] {
        let proxy = Proxy::new(&format!("http://{host}:{port}")).expect("proxy");
        let config = trusting(CA).with_proxy(proxy);
        let response = get(config, "https://idp.example.com/token").await.expect("through the proxy");
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(*requests.lock().expect("lock"), ["CONNECT idp.example.com:443 HTTP/1.1"; 2]);
}

#[tokio::test]
async fn addresses_and_loopback_names_are_blocked_before_the_proxy() {
    let (port, requests) = proxy(https_server().await).await;
    let config = || trusting(CA).with_proxy(Proxy::new(&format!("http://127.0.0.1:{port}")).expect("proxy"));
    for url in [
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://localhost/",
        "https://a.localhost/",
        "http://idp.example.com/",
    ] {
        assert_eq!(get(config(), url).await.expect_err(url).kind(), EgressErrorKind::Blocked, "{url}");
    }
    assert!(requests.lock().expect("lock").is_empty());
}

#[tokio::test]
async fn loopback_and_named_hosts_are_called_without_the_proxy() {
    let server = https_server().await;
    let (port, requests) = proxy(server).await;
    let proxy = || Proxy::new(&format!("http://127.0.0.1:{port}")).expect("proxy");
    let url = format!("https://localhost:{server}/");
    get(trusting(CA).with_loopback_allowed().with_proxy(proxy()), &url).await.expect("direct");
    let direct = trusting(CA).with_proxy(proxy().with_direct_hosts(["idp.example.com"]));
    // The name is resolved here, where it has no address.
    assert!(get(direct, "https://idp.example.com/").await.is_err());
    assert!(requests.lock().expect("lock").is_empty());
}

#[tokio::test]
async fn http_is_allowed_to_a_listed_address_in_an_allowed_network() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            read_head(&mut socket).await;
            socket.write_all(NO_CONTENT).await.expect("written");
        }
    });
    let config = || EgressConfig::new().with_allowed_networks(vec!["127.0.0.0/8".parse().expect("network")]);
    assert_eq!(get(config(), &url).await.expect_err("not listed").kind(), EgressErrorKind::Blocked);
    let unlisted_network = EgressConfig::new().with_http_hosts(["127.0.0.1"]);
    assert_eq!(get(unlisted_network, &url).await.expect_err("no network").kind(), EgressErrorKind::Blocked);
    assert_eq!(
        get(config().with_http_hosts(["127.0.0.1"]), &url).await.expect("allowed").status(),
        StatusCode::NO_CONTENT
    );
}

#[test]
fn a_proxy_is_a_bare_http_url() {
    for url in
        ["", "proxy:3128", "socks5://proxy:1080", "http://user:word@proxy:3128", "http://proxy:3128/path", "http://"]
    {
        assert!(Proxy::new(url).is_err(), "{url}");
    }
    assert!(Proxy::new("https://proxy.example:3128/").is_ok());
}
