//! The process that refreshes dies, or is frozen for longer than its mark is respected, at each
//! step of a refresh. Another process takes over.
//!
//! | it stops | what the provider has seen | the login |
//! |---|---|---|
//! | before its request has arrived | nothing | lives: the other process's request is the first |
//! | with its request on the wire | the refresh token | one replay, which is punished: 401 |
//! | before it has stored the answer | the refresh token | the same |
//!
//! Nobody else is affected, and nobody is left with an error for ever.

use std::time::Duration;

use support::providers::Refreshes;
use tokio::{join, time::sleep};
use tower_token_refresh::testing::{Endpoint, Gate};

use crate::{
    fleet::{Fleet, LONG, SHORT, Stopwatch, Store, reached, until_expired},
    on_each_server,
    report::Answers,
    visitor::Visitor,
    wire::{Load, Storm},
};

/// The process that stops, and the one that takes over.
const VICTIM: usize = 0;
const OTHER: usize = 1;
const ONE: Load = Load { requests: 1, connections: 1 };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    BeforeItsRequest,
    OnTheWire,
    BeforeItsWrite,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Killed,
    Frozen,
}

struct Scene {
    fleet: Fleet,
    alice: Visitor,
    bob: Visitor,
    /// Holds the request of the process that has stopped, or the answer to it.
    gate: Gate,
}

impl Scene {
    /// Alice's refresh has come to this step when its process stops.
    async fn stopped(store: Store, step: Step, fate: Fate) -> Self {
        let mut fleet = Fleet::start(store, &[SHORT; 2]).await;
        let alice = fleet.log_in("alice", 1).await;
        let bob = fleet.log_in("bob", 1).await;
        until_expired(1).await;
        let gate = match step {
            Step::BeforeItsRequest => fleet.issuer().gate_before(Endpoint::Token),
            _ => fleet.issuer().gate_after(Endpoint::Token),
        };
        let waiting = Storm::begin(&[fleet.url(VICTIM)], &alice, ONE);
        reached(&gate).await;
        if step == Step::BeforeItsWrite {
            fleet.processes.ways[VICTIM].refuse();
            gate.open();
            let served = waiting.answers().await;
            fleet.assert_live(served.assert_all_served());
        }
        match fate {
            Fate::Killed => fleet.processes.running[VICTIM].kill().await,
            Fate::Frozen => fleet.processes.running[VICTIM].freeze().await,
        }
        Self { fleet, alice, bob, gate }
    }

    /// What Alice gets at the other process until that knows what has become of her login. Bob is
    /// served there all the while.
    async fn taken_over(&self) -> Answers {
        let alice = self.fleet.ask_until_decided(OTHER, &self.alice);
        let bob = async {
            for _ in 0..20 {
                assert_eq!(self.fleet.ask(OTHER, &self.bob).await.status, 200, "another user");
                sleep(Duration::from_millis(250)).await;
            }
        };
        join!(alice, bob).0
    }

    /// How often the other process has presented a token that may have been presented before.
    fn replays(&self) -> usize {
        self.fleet.processes.running[OTHER].log().matches("presented again").count()
    }

    /// What Alice gets at the process that was frozen, once it has come to itself.
    async fn thawed(&self, enough: u16) -> Answers {
        self.fleet.processes.running[VICTIM].thaw().await;
        self.fleet.processes.ways[VICTIM].restore();
        self.gate.open();
        self.fleet.ask_until(VICTIM, &self.alice, |answer| answer.status == enough).await
    }
}

/// The provider has never seen the request: the login lives, and nobody logs in again.
async fn the_login_lives(store: Store, fate: Fate) {
    let scene = Scene::stopped(store, Step::BeforeItsRequest, fate).await;
    let watch = Stopwatch::start();
    let mut answers = scene.taken_over().await;
    let recovery = watch.seconds();

    let served = answers.0.last().expect("an answer").clone();
    assert_eq!(served.status, 200, "{answers}");
    scene.fleet.assert_live(&served.body);
    assert_eq!(scene.replays(), 1, "it cannot know that the first request never arrived");
    if fate == Fate::Frozen {
        // Its request is past its time limit when it comes to itself. Until then the gate is shut.
        scene.fleet.processes.running[VICTIM].thaw().await;
        let thawed = scene.fleet.ask_until_decided(VICTIM, &scene.alice).await;
        let last = thawed.0.last().expect("an answer");
        assert_eq!((last.status, &last.body), (200, &served.body), "{thawed}");
        answers.0.extend(thawed.0);
    }
    let again = scene.fleet.ask(OTHER, &scene.alice).await;
    assert_eq!((again.status, again.body), (200, served.body));
    let posts = Refreshes { granted: 2, refused: 0 };
    assert_eq!(scene.fleet.posts(), posts, "hers and Bob's");
    assert_eq!(scene.fleet.issuer().max_presented(), 1);
    scene.fleet.assert_nothing_logged();
    scene.fleet.row(&format!("{fate:?} before its request arrives"), &answers, recovery);
}

/// The provider has granted a refresh that nobody has: one replay, which this provider punishes.
async fn that_login_ends(store: Store, step: Step, fate: Fate) {
    let scene = Scene::stopped(store, step, fate).await;
    let watch = Stopwatch::start();
    let mut answers = scene.taken_over().await;
    let recovery = watch.seconds();

    assert_eq!(answers.0.last().expect("an answer").status, 401, "{answers}");
    assert_eq!(answers.count(401) + answers.count(503), answers.0.len(), "{answers}");
    assert_eq!(scene.replays(), 1);
    if fate == Fate::Frozen {
        let thawed = scene.thawed(401).await;
        assert_eq!(scene.fleet.ask(VICTIM, &scene.alice).await.status, 401, "for good");
        answers.0.extend(thawed.0);
    }
    assert_eq!(scene.fleet.ask(OTHER, &scene.alice).await.status, 401, "for good");
    let posts = Refreshes { granted: 2, refused: 1 };
    assert_eq!(scene.fleet.posts(), posts, "hers, Bob's, and the replay");
    assert_eq!(scene.fleet.ask(OTHER, &scene.bob).await.status, 200, "another user");
    scene.fleet.assert_nothing_logged();

    let again = scene.fleet.log_in_by(scene.fleet.url(OTHER), "alice", LONG).await;
    assert_eq!(scene.fleet.ask(OTHER, &again).await.status, 200, "she logs in again");
    scene.fleet.row(&format!("{fate:?} {step:?}"), &answers, recovery);
}

/// It is cut off from the store with the answer in its hands, for less than its mark is respected.
async fn what_it_could_not_write_is_written_later(store: Store) {
    let fleet = Fleet::start(store, &[SHORT; 2]).await;
    let alice = fleet.log_in("alice", 1).await;
    until_expired(1).await;
    let gate = fleet.issuer().gate_after(Endpoint::Token);
    let waiting = Storm::begin(&[fleet.url(VICTIM)], &alice, ONE);
    reached(&gate).await;
    fleet.processes.ways[VICTIM].refuse();
    gate.open();
    let served = waiting.answers().await;
    let token = served.assert_all_served();
    fleet.assert_live(token);

    let watch = Stopwatch::start();
    fleet.processes.ways[VICTIM].restore();
    let answers = fleet.ask_until_decided(OTHER, &alice).await;
    let recovery = watch.seconds();
    let last = answers.0.last().expect("an answer");
    assert_eq!((last.status, &*last.body), (200, token), "{answers}");
    assert_eq!(fleet.posts(), Refreshes { granted: 1, refused: 0 });
    fleet.row("cut off from the store before its write, for a moment", &answers, recovery);
}

on_each_server! {
    async fn killed_before_its_request_arrives(store: Store) {
        the_login_lives(store, Fate::Killed).await;
    }

    async fn frozen_before_its_request_arrives(store: Store) {
        the_login_lives(store, Fate::Frozen).await;
    }

    async fn killed_with_its_request_on_the_wire(store: Store) {
        that_login_ends(store, Step::OnTheWire, Fate::Killed).await;
    }

    async fn frozen_with_its_request_on_the_wire(store: Store) {
        that_login_ends(store, Step::OnTheWire, Fate::Frozen).await;
    }

    async fn killed_before_it_has_stored_the_answer(store: Store) {
        that_login_ends(store, Step::BeforeItsWrite, Fate::Killed).await;
    }

    async fn frozen_before_it_has_stored_the_answer(store: Store) {
        that_login_ends(store, Step::BeforeItsWrite, Fate::Frozen).await;
    }

    async fn cut_off_before_it_has_stored_the_answer(store: Store) {
        what_it_could_not_write_is_written_later(store).await;
    }
}
