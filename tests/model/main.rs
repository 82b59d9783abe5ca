//! Random interleavings of everything that can happen to one browser's sessions, with the promises checked after every step.
//!
//! Every call of the session store and every request to the provider stops before and after it takes effect; the schedule decides
//! what goes on next. The provider fails, answers get lost, the clock jumps, the process is restarted. `MODEL_CASES` sets the number of cases, `PROPTEST_RNG_SEED` where to begin.

mod browser;
mod stepped;

use std::time::Duration;

use browser::{Browser, LIFE};
use proptest::prelude::*;
use stepped::Failure;
use tower_token_refresh::LogOut;

#[derive(Debug, Clone, Copy)]
enum Step {
    Open,
    Ask(usize),
    Modify(usize),
    Cycle(usize),
    Clear(usize),
    LogIn(usize),
    LogOut(usize, bool),
    EndByProvider(usize),
    Finish(usize),
    Drop(usize),
    Release(usize),
    Expire,
    NearlyExpire,
    Tick,
    Fail(Failure),
    Jump(bool),
    Wait,
    RefuseWrites(usize),
    Restart,
    Wipe,
    Rest,
}

fn step() -> impl Strategy<Value = Step> {
    let pick = || 0..6_usize;
    prop_oneof![
        6 => Just(Step::Open),
        8 => pick().prop_map(Step::Ask),
        3 => pick().prop_map(Step::Modify),
        4 => pick().prop_map(Step::Cycle),
        1 => pick().prop_map(Step::Clear),
        1 => pick().prop_map(Step::LogIn),
        2 => (pick(), any::<bool>()).prop_map(|(pick, end)| Step::LogOut(pick, end)),
        1 => pick().prop_map(Step::EndByProvider),
        7 => pick().prop_map(Step::Finish),
        2 => pick().prop_map(Step::Drop),
        40 => pick().prop_map(Step::Release),
        4 => Just(Step::Expire),
        3 => Just(Step::NearlyExpire),
        3 => Just(Step::Tick),
        2 => failure().prop_map(Step::Fail),
        1 => any::<bool>().prop_map(Step::Jump),
        1 => Just(Step::Wait),
        1 => (1..4_usize).prop_map(Step::RefuseWrites),
        1 => Just(Step::Restart),
        1 => Just(Step::Wipe),
        6 => Just(Step::Rest),
    ]
}

fn failure() -> impl Strategy<Value = Failure> {
    prop_oneof![Just(Failure::Overloaded), Just(Failure::RequestLost), Just(Failure::AnswerLost)]
}

fn cases() -> u32 {
    std::env::var("MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_000)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        max_shrink_iters: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_promises_hold_in_every_interleaving(steps in prop::collection::vec(step(), 10..120)) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
            .block_on(play(&steps));
    }
}

async fn play(steps: &[Step]) {
    let mut browser = Browser::new();
    // Each case begins with a user who is logged in.
    browser.open();
    rest(&browser).await;
    browser.log_in(0);
    rest(&browser).await;
    browser.finish(0);
    rest(&browser).await;
    browser.begin();
    let mut expiries = 0;
    for step in steps {
        match *step {
            Step::Open if browser.requests() < 8 => browser.open(),
            Step::Open => browser.drop_request(0),
            Step::Ask(pick) => browser.ask(pick),
            Step::Modify(pick) => browser.modify(pick),
            Step::Cycle(pick) => browser.cycle(pick),
            Step::Clear(pick) => browser.clear(pick),
            Step::LogIn(pick) => browser.log_in(pick),
            Step::LogOut(pick, true) => browser.log_out(pick, LogOut::EndSession),
            Step::LogOut(pick, false) => browser.log_out(pick, LogOut::KeepSession),
            Step::EndByProvider(pick) => browser.end_by_provider(pick),
            Step::Finish(pick) => browser.finish(pick),
            Step::Drop(pick) => browser.drop_request(pick),
            Step::Release(pick) => browser.stage.release(pick),
            // What the ledger keeps it keeps for ten minutes.
            Step::Expire if expiries < 20 => {
                expiries += 1;
                browser.pass(LIFE);
            }
            // To where most tokens are refreshed behind the request; a tick later begins the leeway.
            Step::NearlyExpire if expiries < 20 => {
                expiries += 1;
                browser.pass(LIFE * 13 / 20);
            }
            Step::Tick => browser.pass(LIFE / 10),
            Step::Expire | Step::NearlyExpire => {}
            Step::Fail(failure) => browser.stage.fail_next_request(failure),
            Step::Jump(forward) => browser.jump(if forward { 3600 } else { -3600 }),
            // Longer than a request waits.
            Step::Wait => {
                browser.stage.note_slow();
                tokio::time::advance(Duration::from_secs(11)).await;
            }
            Step::Restart => {
                rest(&browser).await;
                browser.restart().await;
            }
            Step::RefuseWrites(count) => browser.stage.refuse_writes(count),
            Step::Wipe => browser.wipe(),
            Step::Rest => rest(&browser).await,
        }
        run_all_that_can_run().await;
        browser.assert_promises();
    }
    browser.stage.refuse_writes(0);
    rest(&browser).await;
    browser.finish_everything();
    rest(&browser).await;
    // A tombstone that was refused is tried again after a pause.
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(15)).await;
        rest(&browser).await;
    }
    browser.assert_at_rest();

    // Whoever is still logged in stays so.
    for _ in 0..2 {
        browser.pass(LIFE * 3);
        browser.open();
        rest(&browser).await;
        browser.ask(usize::MAX);
        rest(&browser).await;
        browser.assert_at_rest();
    }
}

/// Lets everything go on until nothing is under way.
async fn rest(browser: &Browser) {
    for _ in 0..2_000 {
        run_all_that_can_run().await;
        if browser.stage.parked() > 0 {
            browser.stage.release(0);
        } else if browser.is_busy() {
            // A flight pauses before it asks a failing store again.
            tokio::time::advance(Duration::from_millis(200)).await;
        } else {
            return browser.assert_promises();
        }
    }
    panic!("no rest: {:?}", browser.stage);
}

/// One thread: after this many turns every task has got as far as it can.
async fn run_all_that_can_run() {
    for _ in 0..48 {
        tokio::task::yield_now().await;
    }
}
