//! Processes that live share one file.

use std::time::Duration;

use portcullis_testkit::Endpoint;
use secrecy::ExposeSecret as _;
use tokio::time::{Instant, sleep};

use crate::{
    commands::{ALIVE, Asks, Kept, Report},
    fixture::World,
};

const PROCESSES: usize = 4;
const GRANTS: usize = 8;
/// How often each grant is renewed, on average.
const GENERATIONS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_spend_every_refresh_token_once() {
    share(Kept::InDatabase, Asks::Refresher).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g10_four_processes_with_one_file_spend_every_refresh_token_once() {
    share(Kept::InFile, Asks::Manager).await;
}

async fn share(kept: Kept, asks: Asks) {
    let world = World::with(kept, asks, Duration::from_secs(1), Duration::from_millis(20)).await;
    let idp = &world.provider.idp;
    let grants = world.log_in(GRANTS, Duration::ZERO).await;
    let mut commands = world.commands(grants.clone());
    (commands.tasks_per_grant, commands.pause_ms) = (4, 250);
    let processes: Vec<_> = (0..PROCESSES).map(|_| crate::child::Child::start(&commands)).collect();

    let give_up = Instant::now() + Duration::from_secs(120);
    while idp.rotations() < GRANTS * GENERATIONS {
        assert!(Instant::now() < give_up, "{} rotations", idp.rotations());
        sleep(Duration::from_millis(20)).await;
    }

    let mut handed = 0;
    for process in processes {
        let said = process.stop().await;
        assert!(matches!(said.last(), Some(Report::Done { lost: 0 })), "{:?}", said.last());
        for said in &said {
            match said {
                // It was not known to be dead when it was asked for.
                Report::Handed { asked_at, expires_at, .. } => {
                    assert!(asked_at < expires_at, "{said:?}");
                    handed += 1;
                }
                Report::Used { outcome, .. } => assert_eq!(outcome, ALIVE, "{said:?}"),
                Report::Failed { .. } | Report::Ended { .. } | Report::Saving => panic!("{said:?}"),
                Report::Ready | Report::Done { .. } => {}
            }
        }
        for grant in &grants {
            let seen = |said: &Report| matches!(said, Report::Handed { grant: of, generation, .. } if *of == grant.to_string() && *generation > 1);
            assert!(said.iter().any(seen), "every process has what the others got");
        }
    }

    let mut generations = 0;
    for grant in grants {
        let tokens = world.stored(grant).await.expect("it is there");
        assert_eq!(world.provider.history(grant).rotations, tokens.generation().number());
        assert!(idp.is_refreshable(tokens.refresh_token().expect("one").expose_secret()));
        generations += usize::try_from(tokens.generation().number()).expect("few");
    }
    assert_eq!((idp.rotations(), idp.calls(Endpoint::Token)), (generations, generations));
    assert_eq!((idp.most_times_presented(), idp.families_killed(), idp.dead_calls()), (1, 0, 0));
    println!(
        "{PROCESSES} processes: {generations} exchanges for {generations} generations, {handed} tokens handed out"
    );
}
