//! A user who logs in over and over.

use crate::world::World;

#[tokio::test(start_paused = true)]
async fn a_user_who_logs_in_over_and_over_keeps_the_newest_sessions_and_no_others() {
    let world = World::with(|config| config.with_max_sessions(3)).await;
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(world.log_in().await);
    }
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(world.verify(answer.access_token()).await.is_ok(), number >= 2, "{number}");
    }
    // One that has ended leaves its place to others.
    assert_eq!(world.app().await.revoke(answers[4].refresh_token()).await.expect("an answer").status(), 200);
    let next = world.log_in().await;
    for answer in [&answers[2], &answers[3], &next] {
        assert!(world.verify(answer.access_token()).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn of_many_who_log_in_at_once_none_is_forgotten_in_the_count() {
    let world = std::sync::Arc::new(World::with(|config| config.with_max_sessions(4)).await);
    let logins = (0..12).map(|_| {
        let world = std::sync::Arc::clone(&world);
        tokio::spawn(async move { world.log_in().await })
    });
    let mut answers = Vec::new();
    for login in logins.collect::<Vec<_>>() {
        answers.push(login.await.expect("a login"));
    }
    let mut alive = 0;
    for answer in &answers {
        alive += usize::from(world.verify(answer.access_token()).await.is_ok());
    }
    assert_eq!(alive, 4);
}

#[tokio::test(start_paused = true)]
async fn unrequested_logins_do_not_displace_sessions_in_use() {
    let world = World::with(|config| config.with_max_sessions(3)).await;
    let used = [world.log_in().await, world.log_in().await];
    let client = world.app().await;
    for _ in 0..6 {
        // The code is not redeemed: a page of somebody else has opened a window in which all goes by itself.
        drop(world.code(&client).await);
    }
    for answer in &used {
        assert!(world.verify(answer.access_token()).await.is_ok());
    }
    let (authorization, code) = world.code(&client).await;
    assert_eq!(client.redeem(&authorization, &code).await.expect("an answer").status(), 200, "the newest stays");
}
