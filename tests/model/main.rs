//! Random interleavings of everything that can happen to one browser's sessions, with the promises
//! checked after every step.
//!
//! Every call of the stores and every request to the provider stops before and after it takes
//! effect; the schedule decides what goes on next. The stores and the provider fail, answers get
//! lost, clocks jump, processes crash and begin again. `MODEL_CASES` sets the number of cases in
//! all scenes together, `PROPTEST_RNG_SEED` where to begin.
//!
//! | scene | holds |
//! |---|---|
//! | one process, tokens in the session store | everything |
//! | three processes on a store that compares and swaps | everything |
//! | two processes on one plain store | that nothing worse happens than the README admits; and that it does happen |

mod browser;
mod rest;
mod stepped;
mod steps;

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use proptest::{prelude::*, test_runner::TestRunner};

use self::{
    browser::Browser,
    rest::rest,
    stepped::Breach,
    steps::{Step, step},
};

const LIFE: Duration = Duration::from_secs(20);
/// A token that is good for less is refreshed before it is given out.
const LEEWAY: Duration = Duration::from_secs(5);
/// How long an expired token is served, where it is.
const SERVED_FOR: Duration = LIFE;
/// Whoever has ended a login remembers it for longer than this.
const ENDED_HERE: Duration = Duration::from_secs(9 * 60);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
const WAIT: Duration = Duration::from_secs(3);
const CONFIRM_AFTER: Duration = Duration::from_secs(8);
/// A request, a call of the token store, and what clocks may differ by.
const MARK_HOLDS: Duration = Duration::from_secs(4 + 2 + 5);
/// A process that takes longer to set its mark sets another one.
const LONGEST_MARKING: Duration = Duration::from_secs(2);
/// Whoever takes a mark over has seen it for at least this long.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);
/// For how long a set is written again that the store has lost.
const WRITE_BACK: Duration = Duration::from_secs(90);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    OneProcess,
    Swapping,
    Plain,
}

/// Whether the token store tells what other processes do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Push {
    None,
    Told,
    /// It loses every other thing that it should tell.
    Lossy,
}

/// What differs from case to case.
#[derive(Debug, Clone, Copy)]
struct Settings {
    scene: Scene,
    serve_expired: bool,
    replay: bool,
    cache_bytes: usize,
    on_inactivity: bool,
    /// In a plain store, each call for a token record stops by itself.
    raw: bool,
    /// Flights of several processes queue at a lock.
    lock: bool,
    push: Push,
}

impl Scene {
    fn processes(self) -> usize {
        match self {
            Self::OneProcess => 1,
            Self::Swapping => 3,
            Self::Plain => 2,
        }
    }
}

fn settings(scene: Scene) -> impl Strategy<Value = Settings> {
    // Nothing fits into the first cache, and one token into the second.
    let cache_bytes = prop_oneof![Just(1), Just(700), Just(1 << 20), Just(1 << 20)];
    let raw = prop::bool::weighted(if scene == Scene::Plain { 0.9 } else { 0.4 });
    let push = prop_oneof![2 => Just(Push::None), 1 => Just(Push::Told), 1 => Just(Push::Lossy)];
    let others = (any::<bool>(), prop::bool::weighted(0.7), any::<bool>());
    (others, cache_bytes, raw, any::<bool>(), push).prop_map(
        move |((serve_expired, replay, on_inactivity), cache_bytes, raw, lock, push)| {
            let swaps = scene == Scene::Swapping;
            let (raw, lock) = (raw && !swaps, lock && swaps);
            Settings { scene, serve_expired, replay, cache_bytes, on_inactivity, raw, lock, push }
        },
    )
}

/// The plain scene is not the one to be sure of; but it must have cases enough to fail.
fn cases(scene: Scene) -> u32 {
    let cases = std::env::var("MODEL_CASES").ok().and_then(|cases| cases.parse().ok());
    let fifth = cases.unwrap_or(1_000_u32) / 5;
    if scene == Scene::Plain { fifth.max(200) } else { fifth * 2 }
}

#[test]
fn the_promises_hold_in_one_process() {
    run(Scene::OneProcess);
}

#[test]
fn the_promises_hold_in_three_processes_on_a_store_that_compares_and_swaps() {
    run(Scene::Swapping);
}

#[test]
fn two_processes_on_a_plain_store_break_no_more_than_is_admitted() {
    let admitted = run(Scene::Plain);
    assert!(admitted.contains(&Breach::DoublePost), "this scene cannot fail: {admitted:?}");
}

/// Gives what the scene had to admit.
fn run(scene: Scene) -> BTreeSet<Breach> {
    let config = ProptestConfig {
        cases: cases(scene),
        max_shrink_iters: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let admitted = Mutex::new(BTreeSet::new());
    let case = (settings(scene), prop::collection::vec(step(), 10..120));
    let ended = TestRunner::new(config).run(&case, |(settings, steps)| {
        let found = play(settings, &steps);
        admitted.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
        Ok(())
    });
    ended.unwrap_or_else(|failed| panic!("{failed}"));
    admitted.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn play(settings: Settings, steps: &[Step]) -> Vec<Breach> {
    let mut browser = Browser::new(settings);
    // Each case begins with a user who is logged in.
    browser.open(0);
    rest(&browser);
    browser.log_in(0);
    rest(&browser);
    browser.finish(0);
    rest(&browser);
    for step in steps {
        steps::take(&mut browser, *step);
        browser.run_all_that_can_run();
        browser.assert_promises();
    }
    rest::come_to_rest(&mut browser);
    browser.assert_at_rest();
    browser.ask_sessions_of_ended_logins();
    rest(&browser);

    // Whoever is still logged in stays so.
    for turn in 0..2 {
        browser.pass(LIFE * 3);
        browser.open(turn);
        rest(&browser);
        browser.ask(usize::MAX, false);
        rest(&browser);
        browser.assert_at_rest();
    }
    browser.stage.admitted()
}
