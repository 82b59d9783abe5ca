//! A page fires many requests just after its token has expired, and they reach all processes: the
//! provider sees one refresh.

use support::providers::Refreshes;
use tokio::sync::Mutex;

use crate::{
    fleet::{Fleet, Settings, Stopwatch, Store, until_expired},
    on_each_server,
    wire::Load,
};

/// As many as one browser or a busy page can have open.
const TWO_HUNDRED: Load = Load { requests: 200, connections: 200 };
/// Twenty on each connection: 500 are in the processes at once, and the rest is in their sockets.
const TEN_THOUSAND: Load = Load { requests: 10_000, connections: 500 };
/// One such storm at a time: it takes all that the machine has, and no store answers late because
/// of another test.
static MACHINE: Mutex<()> = Mutex::const_new(());

async fn one_refresh_for_all(store: Store, processes: usize, load: Load) {
    let defaults: Vec<Settings<'_>> = vec![&[]; processes];
    let fleet = Fleet::start(store, &defaults).await;
    let visitor = fleet.log_in("alice", 1).await;
    until_expired(1).await;

    let watch = Stopwatch::start();
    let answers = fleet.storm(&fleet.processes.urls(), &visitor, load).await;
    let took = watch.seconds();

    assert_eq!(answers.0.len(), load.requests);
    let token = answers.assert_all_served();
    fleet.assert_live(token);
    assert_eq!(fleet.posts(), Refreshes { granted: 1, refused: 0 });
    for process in 0..processes {
        let later = fleet.ask(process, &visitor).await;
        assert_eq!((later.status, &*later.body), (200, token), "process {process}");
    }
    assert_eq!(fleet.issuer().max_presented(), 1);
    fleet.assert_nothing_logged();
    let scene = format!("{} requests at {processes} processes", load.requests);
    fleet.row(&scene, &answers, took);
}

on_each_server! {
    async fn two_hundred_requests_at_two_processes(store: Store) {
        one_refresh_for_all(store, 2, TWO_HUNDRED).await;
    }

    async fn two_hundred_requests_at_four_processes(store: Store) {
        one_refresh_for_all(store, 4, TWO_HUNDRED).await;
    }

    async fn ten_thousand_requests_at_two_processes(store: Store) {
        let _machine = MACHINE.lock().await;
        one_refresh_for_all(store, 2, TEN_THOUSAND).await;
    }

    async fn ten_thousand_requests_at_four_processes(store: Store) {
        let _machine = MACHINE.lock().await;
        one_refresh_for_all(store, 4, TEN_THOUSAND).await;
    }
}
