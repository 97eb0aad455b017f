//! A process dies between the provider's answer and the save: the new refresh token is gone, the old one is spent.

use std::time::Duration;

use portcullis_testkit::Endpoint;
use secrecy::ExposeSecret as _;

use crate::{
    child::Child,
    commands::{ALIVE, Asks, Kept, Report},
    fixture::World,
};

/// Long enough for a slow machine: the clocks of the processes are ahead, so no test waits for it.
const LIFE: u64 = 1_000;
/// In the last fifth of its life a token is renewed.
const EARLY: u64 = 900;
/// The lease of the process that died has run out, the token has not expired.
const LATER: u64 = 960;
/// The token has expired.
const TOO_LATE: u64 = 1_100;

const TAKEN_OVER: &str = "a previous refresh of this grant did not finish";
const WHY: &str = "refresh token rejected by the provider: the grant has ended";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_died_with_a_process_are_spared_while_the_old_one_works_and_then_the_grant_ends() {
    crash(Kept::InDatabase, Asks::Refresher).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g10_a_login_in_a_file_ends_only_if_its_tokens_died_with_a_process() {
    crash(Kept::InFile, Asks::Manager).await;
}

async fn crash(kept: Kept, asks: Asks) {
    let world = World::with(kept, asks, Duration::from_secs(LIFE), Duration::ZERO).await;
    let idp = &world.provider.idp;
    let grant = world.log_in(1, Duration::ZERO).await[0];
    let spent =
        world.stored(grant).await.expect("it is there").refresh_token().expect("one").expose_secret().to_owned();
    let mut commands = world.commands([grant]);

    (commands.ahead, commands.stops_before_saving) = (EARLY, true);
    let process = Child::start(&commands);
    process.says(1, |said| matches!(said, Report::Saving)).await;
    let said = process.kill().await;
    assert!(said.iter().all(|said| !matches!(said, Report::Handed { generation: 1.., .. })), "it was not durable");
    assert_eq!((idp.rotations(), idp.is_refreshable(&spent)), (1, false));

    // One after the other, as after a crash that comes back: none takes the risk while there is another way.
    (commands.ahead, commands.stops_before_saving) = (LATER, false);
    for _ in 0..2 {
        let process = Child::start(&commands);
        process.logs(TAKEN_OVER).await;
        let so_far = process.count(is_alive);
        process.says(so_far + 5, is_alive).await;
        let said = process.stop().await;
        assert!(said.iter().all(|said| !matches!(said, Report::Failed { .. } | Report::Ended { .. })), "{said:#?}");
        assert_eq!((idp.calls(Endpoint::Token), idp.times_presented(&spent)), (1, 1));
    }

    // It is the only hope left. It is not, and the log says why the user has to log in again.
    commands.ahead = TOO_LATE;
    let process = Child::start(&commands);
    process.logs(TAKEN_OVER).await;
    process.logs(WHY).await;
    let ended =
        |said: &Report| matches!(said, Report::Ended { reason, is_login_needed: true, .. } if reason == "grant_ended");
    process.says(commands.tasks_per_grant, ended).await;
    let said = process.stop().await;
    assert!(said.iter().all(|said| !matches!(said, Report::Handed { .. } | Report::Failed { .. })), "{said:#?}");
    assert_eq!((idp.calls(Endpoint::Token), idp.times_presented(&spent), idp.families_killed()), (2, 2, 1));
    assert!(world.stored(grant).await.is_none());
}

fn is_alive(said: &Report) -> bool {
    matches!(said, Report::Used { generation: 0, outcome, .. } if outcome == ALIVE)
}
