//! Two processes that are one bridge, and are killed at any point, again and again, while users log in, refresh and revoke.

use std::{collections::HashSet, time::Duration};

use futures_util::{StreamExt as _, stream};
use tokio::{sync::watch, time::sleep};

use super::{
    client_history::ClientHistory,
    fixture::World,
    invariants::{InvariantChecker, Verdict, session_of},
    user::User,
};

const LOGINS: usize = 200;
/// The number of users at the same time.
const LANES: usize = 16;
/// The most connections that a process sees before it is killed.
const LONGEST_REIGN: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_no_token_that_was_handed_out_and_let_none_be_used_twice() {
    let world = World::new(Duration::from_secs(1), Duration::from_millis(20)).await;
    let (done, is_done) = watch::channel(false);
    let users = async {
        let users: Vec<_> = stream::iter(0..LOGINS).map(|n| live(&world, n)).buffer_unordered(LANES).collect().await;
        done.send_replace(true);
        users
    };
    let (users, one, other) = tokio::join!(users, kill_until(&world, is_done.clone()), kill_until(&world, is_done));
    let kills = one + other;

    let (lost, anew) = users.iter().fold((0, 0), |(lost, anew), user| (lost + user.lost, anew + user.begun_anew));
    let histories: Vec<_> = users.into_iter().map(|user| user.history).collect();
    let pairs = histories.iter().map(|history| history.pairs.len()).sum::<usize>();
    let left = world.refresh_tokens().await;
    let checker = InvariantChecker::new(&world).await;
    let verdicts: Vec<_> =
        stream::iter(&histories).map(|history| checker.check(history)).buffer_unordered(8).collect().await;
    let count = |wanted: Verdict| verdicts.iter().filter(|verdict| **verdict == wanted).count();
    checker.has_nothing_left().await;
    for (id, refresh_token) in &left {
        assert!(!world.idp.is_refreshable(refresh_token), "{id}: the provider was not told of its end");
    }
    let sessions: HashSet<_> = histories.iter().map(|history| session_of(history.newest())).collect();
    let orphans = left.keys().filter(|id| !sessions.contains(id)).count();
    // Those of earlier processes were swept by later ones: they sweep when they start.
    let is_untold = |history: &&ClientHistory| history.is_revoked && left.contains_key(&session_of(history.newest()));
    let untold = histories.iter().filter(is_untold).count();

    assert!(lost > 0, "some answers were lost");
    assert!(histories.iter().any(|history| history.generation > 0), "some tokens of the provider were renewed");
    let (ended, revoked) = (count(Verdict::Unanswered) + count(Verdict::Ended), count(Verdict::Revoked));
    let killed = world.idp.families_killed();
    assert!((ended..=ended + revoked).contains(&killed), "{killed}: each that has ended was consumed unanswered");
    let tokens: HashSet<_> =
        histories.iter().flat_map(|history| &history.pairs).map(|pair| pair.access_token().to_owned()).collect();
    assert_eq!(tokens.len(), pairs, "no token was handed out twice");
    println!(
        "{kills} kills, {LOGINS} logins, {pairs} pairs of tokens: {lost} answers lost, {anew} logins begun anew; {} alive, {revoked} revoked \
         (of {untold} the provider had not been told when the last process died), {ended} consumed unanswered at the provider; \
         {orphans} grants of killed logins swept",
        count(Verdict::Alive),
    );
}

/// What one user does.
async fn live(world: &World, n: usize) -> User<'_> {
    let mut user = User::new(world, &format!("user-{n}")).await;
    user.register().await;
    user.log_in().await;
    let mut goes_on = user.call(0).await;
    for _ in 0..3 {
        sleep(Duration::from_millis(rand::random_range(0..600))).await;
        user.use_upstream().await;
        goes_on = goes_on && user.call(rand::random_range(0..user.history.pairs.len())).await;
        goes_on = goes_on && user.refresh().await;
        goes_on = goes_on && user.call(user.history.pairs.len() - 1).await;
    }
    if goes_on && n.is_multiple_of(8) {
        user.revoke().await;
    }
    user
}

/// Kills one process after the other. How many.
async fn kill_until(world: &World, mut is_done: watch::Receiver<bool>) -> usize {
    let mut kills = 0;
    while !*is_done.borrow() {
        let process = world.start().await;
        tokio::select! {
            () = world.proxy.carries(rand::random_range(1..=LONGEST_REIGN)) => {}
            _ = is_done.wait_for(|is_done| *is_done) => {}
        }
        sleep(Duration::from_micros(rand::random_range(0..30_000))).await;
        world.kill(process).await;
        kills += 1;
    }
    kills
}
