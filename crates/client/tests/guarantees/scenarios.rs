//! Scenarios A to I: a hundred requests of one program, with exact numbers of token requests.

use std::time::Duration;

use portcullis_client::{AcquireError, TokenManager};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::{
    fixture::{Fixture, acquire, acquire_for, all, join, pass, pass_millis},
    server::{Act, Kind, Server},
};

/// Sends a request as an HTTP client does: with a token, and once more with another one if that is refused. Returns the number of requests
/// that the resource got.
async fn request(manager: TokenManager, server: Server, slowness: Duration) -> Result<usize, AcquireError> {
    let token = manager.acquire().await?;
    sleep(slowness).await;
    let Err(challenge) = server.serve(&token) else { return Ok(1) };
    let token = manager.rejected(&token, &challenge).await?;
    sleep(slowness).await;
    assert_eq!(server.serve(&token), Ok(()), "the second token is accepted");
    Ok(2)
}

fn requests(fixture: &Fixture, count: usize, slowness: u64) -> Vec<JoinHandle<Result<usize, AcquireError>>> {
    let slowness = Duration::from_millis(slowness);
    (0..count).map(|_| tokio::spawn(request(fixture.manager.clone(), fixture.server.clone(), slowness))).collect()
}

/// Returns how many requests succeeded.
async fn succeeded(requests: Vec<JoinHandle<Result<usize, AcquireError>>>) -> usize {
    let mut count = 0;
    for request in requests {
        count += usize::from(request.await.expect("no panic").is_ok());
    }
    count
}

#[tokio::test(start_paused = true)]
async fn scenario_a_an_expired_token() {
    let fixture = Fixture::expired(Kind::User).await;
    assert_eq!((succeeded(requests(&fixture, 100, 5)).await, fixture.server.exchanges()), (100, 1));
}

#[tokio::test(start_paused = true)]
async fn scenario_b_a_token_that_the_resource_refuses() {
    // B1: earlier tokens stay valid. B2: new tokens end earlier ones. B3: the same, and the resource is slower than the authorization server.
    for (revokes, latency, slowness) in [(false, 20, 5), (true, 20, 5), (true, 1, 40)] {
        let (fixture, token) = Fixture::logged_in(Kind::User).await;
        fixture.server.revoke(&token);
        {
            let mut state = fixture.server.state();
            (state.revokes_previous, state.latency) = (revokes, Duration::from_millis(latency));
        }
        let mut all = requests(&fixture, 50, slowness);
        pass_millis(slowness / 2).await;
        all.extend(requests(&fixture, 50, slowness));
        assert_eq!((succeeded(all).await, fixture.server.exchanges()), (100, 1), "{revokes} {latency} {slowness}");
    }
}

#[tokio::test(start_paused = true)]
async fn scenario_c_tokens_that_live_for_seconds() {
    for lifetime in [2, 20, 29, 31] {
        let fixture = Fixture::expired(Kind::User).await;
        fixture.server.state().lifetime = Some(Duration::from_secs(lifetime));
        for _ in 0..10 {
            assert_eq!(succeeded(requests(&fixture, 10, 5)).await, 10);
        }
        assert_eq!(fixture.server.exchanges(), 1, "{lifetime} s");
    }
}

#[tokio::test(start_paused = true)]
async fn scenario_d_an_outage_of_the_authorization_server() {
    let fixture = Fixture::expired(Kind::User).await;
    fixture.server.state().latency = Duration::from_millis(50);
    fixture.server.always(Act::Fail { retry_after: None });
    let start = Instant::now();
    assert_eq!((succeeded(requests(&fixture, 100, 5)).await, fixture.server.exchanges()), (0, 1));
    assert!(start.elapsed() < Duration::from_millis(70), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn scenario_d2_a_dead_refresh_token() {
    let fixture = Fixture::expired(Kind::User).await;
    fixture.server.always(Act::Refuse);
    for _ in 0..2 {
        assert_eq!((succeeded(requests(&fixture, 100, 5)).await, fixture.server.exchanges()), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn scenario_e_an_outage_while_the_token_is_valid() {
    let (fixture, _) = Fixture::logged_in(Kind::User).await;
    pass(280).await;
    fixture.server.always(Act::Fail { retry_after: None });
    assert_eq!((succeeded(requests(&fixture, 100, 5)).await, fixture.server.exchanges()), (100, 1));
}

#[tokio::test(start_paused = true)]
async fn scenario_f_callers_that_go_away_after_the_rotation() {
    let fixture = Fixture::expired(Kind::User).await;
    let caller = request(fixture.manager.clone(), fixture.server.clone(), Duration::ZERO);
    assert!(timeout(Duration::from_millis(15), caller).await.is_err());
    assert_eq!((succeeded(requests(&fixture, 10, 5)).await, fixture.server.exchanges()), (10, 1));
    assert_eq!((fixture.server.most_presented(), fixture.manager.shutdown().await), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn scenario_g_ten_clients_with_one_store() {
    let fixture = Fixture::expired(Kind::User).await;
    let clients: Vec<_> = (0..10).map(|_| fixture.another()).collect();
    let all = clients
        .iter()
        .map(|client| tokio::spawn(request(client.clone(), fixture.server.clone(), Duration::from_millis(5))));
    assert_eq!((succeeded(all.collect()).await, fixture.server.exchanges()), (10, 1));
}

#[tokio::test(start_paused = true)]
async fn scenario_h_a_request_with_a_valid_token_during_another_exchange() {
    let (fixture, _) = Fixture::logged_in(Kind::Client).await;
    fixture.server.state().latency = Duration::from_secs(2);
    // An exchange because the token expires soon, and one because another operation needs more scopes.
    for is_early in [true, false] {
        let mut slow = Vec::new();
        if is_early {
            pass(280).await;
        } else {
            slow = acquire_for(&fixture.manager, "write", 1);
            pass_millis(10).await;
        }
        let start = Instant::now();
        all(acquire(&fixture.manager, 100)).await;
        all(acquire(&fixture.manager, 100)).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(join(slow).await.iter().all(Result::is_ok));
        pass(3).await;
    }
    assert_eq!(fixture.server.exchanges(), 2);
}

#[tokio::test(start_paused = true)]
async fn scenario_i_a_clock_that_is_set_back_an_hour() {
    let (fixture, _) = Fixture::logged_in(Kind::User).await;
    fixture.clock.step_back(Duration::from_secs(3600));
    pass(300).await;
    assert_eq!((succeeded(requests(&fixture, 100, 5)).await, fixture.server.exchanges()), (100, 1));
}
