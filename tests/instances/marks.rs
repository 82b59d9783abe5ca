//! The mark in the token record decides who presents the refresh token. Here a process's mark is
//! stopped on its way to the store or back, so that every race around it is certain.

use support::{
    providers::Refreshes,
    way::{Place, Stopped, Way},
};
use tokio::join;

use crate::{
    fleet::{Fleet, SHORT, Settings, Stopwatch, Store, until_expired},
    on_each_server,
    report::Answers,
    visitor::Visitor,
    wire::{Load, Storm},
};

/// How a mark is told from everything else that goes to a store.
const MARK: &str = "presenting";
/// What follows a mark in PostgreSQL.
const COMMIT: &str = "COMMIT";
/// The process that freezes, and the other one.
const VICTIM: usize = 0;
const OTHER: usize = 1;

/// All processes have read the record before any of them has marked it.
async fn all_mark_at_once(store: Store, processes: usize) {
    let defaults: Vec<Settings<'_>> = vec![&[]; processes];
    let fleet = Fleet::start(store, &defaults).await;
    let visitor = fleet.log_in("alice", 1).await;
    until_expired(1).await;

    let ways = fleet.processes.ways.iter();
    let marks: Vec<_> = ways.map(|way| way.stop(MARK, Place::BeforeTheServer)).collect();
    let load = Load { requests: 20 * processes, connections: 20 * processes };
    let watch = Stopwatch::start();
    let storm = Storm::begin(&fleet.processes.urls(), &visitor, load);
    for mark in &marks {
        mark.reached().await;
    }
    drop(marks);

    // A slow machine may take longer to bring all marks here than a store may take to set one. Then
    // that is a 503, and never a second request to the provider.
    let mut answers = storm.answers().await;
    assert_eq!(answers.count(200) + answers.count(503), load.requests, "{answers}");
    for process in 0..processes {
        answers.0.extend(served(&fleet, process, &visitor).await.0);
    }
    let took = watch.seconds();
    let mut tokens = answers.0.iter().filter(|answer| answer.status == 200);
    let first = tokens.next().expect("there are some");
    assert!(tokens.all(|answer| answer.body == first.body), "all have the same token");
    assert_eq!(fleet.posts(), Refreshes { granted: 1, refused: 0 });
    assert_eq!(fleet.issuer().max_presented(), 1);
    fleet.row(&format!("{processes} processes mark at once"), &answers, took);
}

/// Where a process freezes.
#[derive(Clone, Copy, Debug)]
enum Moment {
    BeforeItsMark,
    /// PostgreSQL has the mark, in a transaction that nobody commits.
    AmidItsMark,
    /// Nobody has told it that its mark is set.
    BeforeItsRequest,
}

impl Moment {
    /// Returns when the process has come to it, and will not go on.
    async fn reached(self, store: Store, way: &Way) -> Stopped {
        let place = match self {
            Self::BeforeItsMark => Place::BeforeTheServer,
            Self::AmidItsMark | Self::BeforeItsRequest => Place::OnTheWayBack,
        };
        if let (Self::BeforeItsRequest, Store::Postgres) = (self, store) {
            let mark = way.stop(MARK, Place::BeforeTheServer);
            mark.reached().await;
            let commit = way.stop(COMMIT, place);
            drop(mark);
            commit.reached().await;
            return commit;
        }
        let mark = way.stop(MARK, place);
        mark.reached().await;
        mark
    }
}

/// The process comes to itself when the other one has refreshed the login.
async fn frozen(store: Store, moment: Moment) {
    let fleet = Fleet::start(store, &[SHORT; 2]).await;
    let visitor = fleet.log_in("alice", 1).await;
    until_expired(1).await;
    let (process, way) = (&fleet.processes.running[VICTIM], &fleet.processes.ways[VICTIM]);
    let one = Load { requests: 1, connections: 1 };
    let waiting = async { Storm::begin(&[fleet.url(VICTIM)], &visitor, one) };
    let (stopped, waiting) = join!(moment.reached(store, way), waiting);
    process.freeze().await;

    let watch = Stopwatch::start();
    let mut answers = served(&fleet, OTHER, &visitor).await;
    let recovery = watch.seconds();
    let token = answers.0.last().expect("an answer").body.clone();

    process.thaw().await;
    drop(stopped);
    let waited = waiting.answers().await;
    assert_eq!(waited.count(200) + waited.count(503), 1, "{waited}");
    let thawed = served(&fleet, VICTIM, &visitor).await;
    assert_eq!(thawed.0.last().expect("an answer").body, token);
    assert_eq!(fleet.ask(OTHER, &visitor).await.body, token);
    assert_eq!(fleet.posts(), Refreshes { granted: 1, refused: 0 });
    assert_eq!(fleet.issuer().max_presented(), 1);
    answers.0.extend([waited.0, thawed.0].concat());
    fleet.row(&format!("Frozen {moment:?}"), &answers, recovery);
}

/// What the visitor gets at this process until it is served; nothing but 503 before.
async fn served(fleet: &Fleet, process: usize, visitor: &Visitor) -> Answers {
    let answers = fleet.ask_until_decided(process, visitor).await;
    assert_eq!(answers.count(200), 1, "{answers}");
    fleet.assert_live(&answers.0.last().expect("an answer").body);
    answers
}

on_each_server! {
    async fn two_processes_mark_at_once(store: Store) {
        all_mark_at_once(store, 2).await;
    }

    async fn four_processes_mark_at_once(store: Store) {
        all_mark_at_once(store, 4).await;
    }

    /// Nobody waits for it: there is no mark.
    async fn frozen_before_its_mark_is_set(store: Store) {
        frozen(store, Moment::BeforeItsMark).await;
    }

    /// The other one waits until the mark is too old. Whoever comes to itself then must not send
    /// what it was about to send.
    async fn frozen_between_its_mark_and_its_request(store: Store) {
        frozen(store, Moment::BeforeItsRequest).await;
    }
}

/// Nobody waits for its transaction as long as it stands still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: see tests/services/run"]
async fn frozen_in_the_transaction_of_its_mark() {
    frozen(Store::Postgres, Moment::AmidItsMark).await;
}
