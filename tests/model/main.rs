//! Random interleavings of everything that can happen to one browser's sessions, with the promises checked after every step.
//!
//! Every call of the session store and every request to the provider stops before and after it takes effect; the schedule decides
//! what goes on next. The provider fails, answers get lost, the clock jumps, the process is restarted. `MODEL_CASES` sets the number of cases, `PROPTEST_RNG_SEED` where to begin.

mod browser;
mod stepped;

use std::time::Duration;

use browser::{Browser, LIFE, Settings};
use proptest::prelude::*;
use stepped::Failure;
use tower_token_refresh::LogOut;

#[derive(Debug, Clone, Copy)]
enum Step {
    Open,
    Ask(usize),
    AskForNewer(usize),
    LoseAnswer(usize, Failure),
    Modify(usize),
    Cycle(usize),
    Clear(usize),
    LogIn(usize),
    Logout(usize, bool),
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
    Outage(usize, bool),
    Restart,
    Wipe,
    Rest,
}

fn step() -> impl Strategy<Value = Step> {
    let pick = || 0..6_usize;
    prop_oneof![
        6 => Just(Step::Open),
        8 => pick().prop_map(Step::Ask),
        2 => pick().prop_map(Step::AskForNewer),
        1 => (pick(), lost()).prop_map(|(pick, failure)| Step::LoseAnswer(pick, failure)),
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
        1 => (0..4_usize).prop_map(Step::RefuseWrites),
        2 => (pick(), prop::bool::weighted(0.7)).prop_map(|(pick, over)| Step::Outage(pick, over)),
        1 => Just(Step::Restart),
        1 => Just(Step::Wipe),
        6 => Just(Step::Rest),
    ]
}

fn failure() -> impl Strategy<Value = Failure> {
    prop_oneof![1 => Just(Failure::Overloaded), 2 => lost()]
}

fn lost() -> impl Strategy<Value = Failure> {
    prop_oneof![Just(Failure::RequestLost), Just(Failure::AnswerLost)]
}

fn settings() -> impl Strategy<Value = Settings> {
    (any::<bool>(), prop::bool::weighted(0.7))
        .prop_map(|(serve_expired, replay)| Settings { serve_expired, replay })
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
    fn the_promises_hold_in_every_interleaving(
        settings in settings(),
        steps in prop::collection::vec(step(), 10..120),
    ) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
            .block_on(play(settings, &steps));
    }
}

async fn play(settings: Settings, steps: &[Step]) {
    let mut browser = Browser::new(settings);
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
            Step::Open => open(&mut browser),
            Step::Ask(pick) => browser.ask(pick, false),
            Step::AskForNewer(pick) => browser.ask(pick, true),
            // A refresh without an answer, while the old access token is still good.
            Step::LoseAnswer(pick, failure) => {
                browser.stage.fail_next_request(failure);
                browser.ask(pick, true);
                rest(&browser).await;
            }
            Step::Modify(pick) => browser.modify(pick),
            Step::Cycle(pick) => browser.cycle(pick),
            Step::Clear(pick) => browser.clear(pick),
            Step::LogIn(pick) => browser.log_in(pick),
            Step::LogOut(pick, true) => browser.log_out(pick, Logout::EndSession),
            Step::LogOut(pick, false) => browser.log_out(pick, Logout::KeepSession),
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
            Step::Fail(failure) => browser.stage.fail_next_request(failure),
            Step::Jump(forward) => browser.jump(if forward { 3600 } else { -3600 }),
            // Longer than a request waits.
            Step::Wait => {
                browser.stage.note_slow();
                tokio::time::advance(Duration::from_secs(11)).await;
            }
            Step::Restart => browser.restart().await,
            Step::RefuseWrites(count) => browser.stage.refuse_writes(count),
            // The store takes nothing while a refresh lands, and perhaps for longer.
            Step::Outage(pick, over) if expiries < 20 => {
                expiries += 1;
                open(&mut browser);
                rest(&browser).await;
                browser.stage.refuse_writes(usize::MAX);
                browser.pass(LIFE);
                browser.ask(pick, false);
                rest(&browser).await;
                if over {
                    browser.stage.refuse_writes(0);
                }
            }
            Step::Expire | Step::NearlyExpire | Step::Outage(..) => {}
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
    // What was refused, a tombstone or a set, is tried again after a pause of a minute at the most.
    for _ in 0..5 {
        tokio::time::advance(Duration::from_secs(15)).await;
        rest(&browser).await;
    }
    browser.assert_at_rest();

    // Whoever is still logged in stays so.
    for _ in 0..2 {
        browser.pass(LIFE * 3);
        browser.open();
        rest(&browser).await;
        browser.ask(usize::MAX, false);
        rest(&browser).await;
        browser.assert_at_rest();
    }
}

/// A request arrives; the oldest one goes away if there are many.
fn open(browser: &mut Browser) {
    if browser.requests() >= 8 {
        browser.drop_request(0);
    }
    browser.open();
}

/// Lets everything go on until nothing is under way.
async fn rest(browser: &Browser) {
    for _ in 0..2_000 {
        run_all_that_can_run().await;
        if browser.stage.parked() > 0 {
            browser.stage.release(0);
        } else if browser.is_busy() {
            // A flight pauses before it asks a failing store again, for a second at the most.
            tokio::time::advance(Duration::from_millis(if browser.stage.is_refusing() {
                1_000
            } else {
                200
            }))
            .await;
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
