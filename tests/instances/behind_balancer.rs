//! Four processes behind a balancer that knows nothing of sessions.

use support::{bff::Running, providers::Refreshes};

use crate::{
    balancer::Balancer,
    fleet::{Fleet, Stopwatch, until_expired},
    on_each_server,
    report::Answers,
    wire::Load,
};

const EXPIRIES: usize = 4;
const LOAD: Load = Load { requests: 500, connections: 500 };
/// What tokens say of their life: long enough that no storm is still under way when half of it is
/// over, where processes begin to refresh ahead of time.
const SECONDS: u64 = 16;

on_each_server! {
    async fn each_of_four_expiries_is_one_refresh(store: Store) {
        let balancer = Balancer::bind().await;
        let (url, base) = (balancer.url.clone(), [("BASE_URL", &*balancer.url)]);
        let fleet = Fleet::start(store, &[&base[..]; 4]).await;
        let running = fleet.processes.running.iter();
        balancer.serve(running.map(|process: &Running| process.url.clone()).collect());
        let visitor = fleet.log_in_by(&url, "alice", 1).await;
        until_expired(1).await;

        let (mut all, mut slowest) = (Answers::default(), 0_f64);
        for expiry in 1..=EXPIRIES {
            fleet.issuer().expires_in_next(SECONDS);
            let watch = Stopwatch::start();
            let answers = fleet.storm(&[&url], &visitor, LOAD).await;
            slowest = slowest.max(watch.seconds());
            let token = answers.assert_all_served();
            fleet.assert_live(token);
            assert_eq!(fleet.posts(), Refreshes { granted: expiry, refused: 0 });
            all.0.extend(answers.0);
            if expiry < EXPIRIES {
                until_expired(SECONDS).await;
            }
        }
        assert_eq!(fleet.issuer().max_presented(), 1);
        fleet.assert_nothing_logged();
        fleet.row("500 requests at a balancer before 4 processes, 4 times", &all, slowest);
    }
}
