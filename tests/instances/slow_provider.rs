//! The token endpoint takes its time: longer than usual, and longer than a request waits.

use std::time::Duration;

use support::providers::Refreshes;
use tokio::{join, time::sleep};
use tower_token_refresh::testing::Endpoint;

use crate::{
    fleet::{Fleet, LONG, Stopwatch, Store, reached, until_expired},
    on_each_server,
    wire::{Load, Storm},
};

const LOAD: Load = Load { requests: 40, connections: 40 };

/// The answer to the refresh takes this long. Gives how many requests gave up.
async fn the_provider_takes(store: Store, delay: Duration) -> usize {
    let fleet = Fleet::start(store, &[&[], &[]]).await;
    let visitor = fleet.log_in("alice", 1).await;
    let other = fleet.log_in("bob", LONG).await;
    until_expired(1).await;
    let gate = fleet.issuer().gate_after(Endpoint::Token);

    let watch = Stopwatch::start();
    let storm = Storm::begin(&fleet.processes.urls(), &visitor, LOAD);
    reached(&gate).await;
    let answered = async {
        sleep(delay).await;
        gate.open();
    };
    let others = async {
        for process in 0..2 {
            assert_eq!(fleet.ask(process, &other).await.status, 200, "nobody else waits");
        }
    };
    join!(answered, others);
    let mut answers = storm.answers().await;
    assert_eq!(answers.count(200) + answers.count(503), LOAD.requests, "{answers}");
    let gave_up = answers.count(503);

    let mut tokens = Vec::new();
    for process in 0..2 {
        let mut later = fleet.ask_until_decided(process, &visitor).await.0;
        let served = later.pop().expect("an answer");
        assert_eq!(served.status, 200, "process {process}: without a new log in");
        tokens.push(served.body);
        answers.0.extend(later);
    }
    let recovery = watch.seconds();
    assert_eq!(tokens[0], tokens[1]);
    fleet.assert_live(&tokens[0]);
    assert_eq!(fleet.posts(), Refreshes { granted: 1, refused: 0 });
    fleet.row(&format!("the provider takes {} s", delay.as_secs()), &answers, recovery);
    gave_up
}

on_each_server! {
    async fn three_seconds_are_waited_for(store: Store) {
        assert_eq!(the_provider_takes(store, Duration::from_secs(3)).await, 0);
    }

    async fn twelve_seconds_are_a_clear_503_and_no_log_out(store: Store) {
        let gave_up = the_provider_takes(store, Duration::from_secs(12)).await;
        assert!(gave_up > 0, "nobody waits for that long");
    }
}
