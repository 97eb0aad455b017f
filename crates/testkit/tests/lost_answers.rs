//! The outcome of a refresh whose response is late or lost, or whose caller went away.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use portcullis_egress::{Egress, EgressConfig, EgressErrorKind};
use portcullis_testkit::{Disconnected, Endpoint, Fault, IdentityProvider, IssuedGrant};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tower::ServiceExt;

const SECOND: Duration = Duration::from_secs(1);

fn request(provider: &IdentityProvider, grant: &IssuedGrant) -> Request<Bytes> {
    let form = format!("grant_type=refresh_token&refresh_token={}", grant.refresh_token);
    let credentials = "client_id=resource-server&client_secret=resource-server-secret";
    let request = Request::post(provider.url("/token")).header("content-type", "application/x-www-form-urlencoded");
    request.body(Bytes::from(format!("{form}&{credentials}"))).expect("request")
}

async fn refresh(provider: &IdentityProvider, grant: &IssuedGrant) -> Result<Response<Bytes>, Disconnected> {
    provider.clone().oneshot(request(provider, grant)).await
}

#[tokio::test]
async fn a_fault_before_processing_leaves_the_refresh_token_as_it_is_and_one_after_uses_it_up() {
    let provider = IdentityProvider::new();
    let grant = provider.issue_grant("alice", "openid");
    provider.set_fault(Endpoint::Token, Fault::disconnect());
    assert!(refresh(&provider, &grant).await.is_err());
    assert_eq!((provider.rotations(), provider.times_presented(&grant.refresh_token)), (0, 0));

    provider.set_fault(Endpoint::Token, Fault::disconnect().after_processing());
    assert!(refresh(&provider, &grant).await.is_err());
    assert_eq!((provider.rotations(), provider.times_presented(&grant.refresh_token)), (1, 1));
    assert!(!provider.is_refreshable(&grant.refresh_token));
}

#[tokio::test]
async fn a_fault_may_be_for_some_calls_only() {
    let provider = IdentityProvider::new();
    let grant = provider.issue_grant("alice", "openid");
    provider.set_fault(Endpoint::Token, Fault::status(503).with_retry_after("7").times(2));
    for _ in 0..2 {
        let response = refresh(&provider, &grant).await.expect("a response");
        assert_eq!((response.status().as_u16(), response.headers()["retry-after"].as_bytes()), (503, &b"7"[..]));
    }
    assert_eq!(refresh(&provider, &grant).await.expect("a response").status(), 200);
}

#[tokio::test(start_paused = true)]
async fn the_answer_may_take_its_time_after_the_rotation() {
    let provider = IdentityProvider::new();
    let grant = provider.issue_grant("alice", "openid");
    provider.set_latency(Endpoint::Token, SECOND * 3);
    provider.set_answer_latency(Endpoint::Token, SECOND * 5);
    let start = tokio::time::Instant::now();
    let (response, ()) = tokio::join!(refresh(&provider, &grant), async {
        tokio::time::sleep(SECOND * 2).await;
        assert_eq!(provider.rotations(), 0);
        tokio::time::sleep(SECOND * 2).await;
        assert_eq!(provider.rotations(), 1);
    });
    assert_eq!(response.expect("a response").status(), 200);
    assert_eq!(start.elapsed(), SECOND * 8);
}

#[tokio::test(start_paused = true)]
async fn to_hang_up_does_not_undo_what_was_sent() {
    let provider = IdentityProvider::new();
    let grant = provider.issue_grant("alice", "openid");
    provider.set_latency(Endpoint::Token, SECOND * 3);
    assert!(tokio::time::timeout(SECOND, refresh(&provider, &grant)).await.is_err());
    assert_eq!(provider.rotations(), 0);
    tokio::time::sleep(SECOND * 3).await;
    assert_eq!(provider.rotations(), 1);
}

#[tokio::test]
async fn on_a_socket_it_is_the_same() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let egress = Egress::new(EgressConfig::new().with_loopback_allowed()).expect("TLS");
    let grant = provider.issue_grant("alice", "openid");
    provider.set_fault(Endpoint::Token, Fault::disconnect().after_processing().times(1));
    let lost = egress.clone().oneshot(request(&provider, &grant)).await.expect_err("broken off");
    assert_eq!((lost.kind(), provider.rotations()), (EgressErrorKind::Transport, 1));
    let reused = egress.oneshot(request(&provider, &grant)).await.expect("a response");
    assert_eq!((reused.status().as_u16(), provider.families_killed()), (400, 1));

    let grant = provider.issue_grant("alice", "openid");
    provider.set_latency(Endpoint::Token, SECOND / 100);
    let body = request(&provider, &grant).into_body();
    let address = running.url().trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.expect("connected");
    let head = format!(
        "POST /token HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(&[head.as_bytes(), &body].concat()).await.expect("sent");
    while provider.calls(Endpoint::Token) < 3 {
        tokio::task::yield_now().await;
    }
    drop(socket);
    while provider.rotations() < 2 {
        tokio::task::yield_now().await;
    }
    assert!(!provider.is_refreshable(&grant.refresh_token));
}
