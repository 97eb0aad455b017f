//! The limit of sessions per user and client.

use crate::fixture::Fixture;

#[tokio::test(start_paused = true)]
async fn the_oldest_sessions_of_a_user_end_beyond_the_limit() {
    let fixture = Fixture::with(|config| config.with_max_sessions(3)).await;
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(fixture.log_in().await);
    }
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(fixture.verify(answer.access_token()).await.is_ok(), number >= 2, "{number}");
    }
    // An ended session does not count.
    assert_eq!(fixture.app().await.revoke(answers[4].refresh_token()).await.expect("a response").status(), 200);
    let next = fixture.log_in().await;
    for answer in [&answers[2], &answers[3], &next] {
        assert!(fixture.verify(answer.access_token()).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_logins_respect_the_session_limit() {
    let fixture = std::sync::Arc::new(Fixture::with(|config| config.with_max_sessions(4)).await);
    let logins = (0..12).map(|_| {
        let fixture = std::sync::Arc::clone(&fixture);
        tokio::spawn(async move { fixture.log_in().await })
    });
    let mut answers = Vec::new();
    for login in logins.collect::<Vec<_>>() {
        answers.push(login.await.expect("a login"));
    }
    let mut alive = 0;
    for answer in &answers {
        alive += usize::from(fixture.verify(answer.access_token()).await.is_ok());
    }
    assert_eq!(alive, 4);
}

#[tokio::test(start_paused = true)]
async fn unrequested_logins_do_not_displace_sessions_in_use() {
    let fixture = Fixture::with(|config| config.with_max_sessions(3)).await;
    let used = [fixture.log_in().await, fixture.log_in().await];
    let client = fixture.app().await;
    for _ in 0..6 {
        // The code is not redeemed: another site has opened a window in which the login completes without interaction.
        drop(fixture.code(&client).await);
    }
    for answer in &used {
        assert!(fixture.verify(answer.access_token()).await.is_ok());
    }
    let (authorization, code) = fixture.code(&client).await;
    assert_eq!(client.redeem(&authorization, &code).await.expect("a response").status(), 200, "the newest stays");
}
