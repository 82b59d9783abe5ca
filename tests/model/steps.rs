//! What can happen next.

use std::time::Duration;

use proptest::prelude::*;
use tower_token_refresh::Logout;

use crate::{
    LIFE, Scene,
    browser::Browser,
    rest::rest,
    stepped::{Cut, Failure, Place, Refusals},
};

#[derive(Debug, Clone, Copy)]
pub enum Step {
    Open(usize),
    Ask(usize),
    AskForNewer(usize),
    LoseAnswer(usize, Failure),
    Modify(usize),
    Cycle(usize),
    Clear(usize),
    Flush(usize),
    LogIn(usize),
    LogOut(usize, bool),
    EndByProvider(usize),
    Finish(usize),
    Drop(usize),
    Release(usize),
    Expire,
    NearlyExpire,
    Tick,
    Slow,
    Wait,
    Fail(Failure),
    Jump(usize, bool),
    Refuse(Refusal),
    Accept,
    Outage(usize, bool),
    Orphan(usize, usize),
    EndElsewhere(usize),
    Crash(usize),
    Restart(usize),
    Resurrect(usize),
    FallBack(usize, usize),
    FailOver(usize, usize, usize),
    Freeze(usize),
    Thaw(bool),
    Sleep(usize, usize, bool),
    CutOff(usize, Place, Cut),
    Heal,
    Partition(usize, usize, Cut),
    LoseLease(usize),
    HangUp,
    Rest,
}

#[derive(Debug, Clone, Copy)]
pub enum Refusal {
    SessionWrites(usize),
    TokenWrites(usize),
    SessionAnswers,
    TokenAnswers,
    SessionsDown,
    TokensDown,
    LocksDown,
}

pub fn step() -> impl Strategy<Value = Step> {
    let pick = || 0..21_usize;
    prop_oneof![
        7 => pick().prop_map(Step::Open),
        9 => pick().prop_map(Step::Ask),
        3 => pick().prop_map(Step::AskForNewer),
        1 => (pick(), lost()).prop_map(|(pick, failure)| Step::LoseAnswer(pick, failure)),
        3 => pick().prop_map(Step::Modify),
        3 => pick().prop_map(Step::Cycle),
        1 => pick().prop_map(Step::Clear),
        1 => pick().prop_map(Step::Flush),
        1 => pick().prop_map(Step::LogIn),
        2 => (pick(), any::<bool>()).prop_map(|(pick, end)| Step::LogOut(pick, end)),
        1 => pick().prop_map(Step::EndByProvider),
        6 => pick().prop_map(Step::Finish),
        2 => pick().prop_map(Step::Drop),
        48 => pick().prop_map(Step::Release),
        4 => Just(Step::Expire),
        3 => Just(Step::NearlyExpire),
        3 => Just(Step::Tick),
        1 => Just(Step::Slow),
        1 => Just(Step::Wait),
        2 => failure().prop_map(Step::Fail),
        1 => (pick(), any::<bool>()).prop_map(|(pick, forward)| Step::Jump(pick, forward)),
        3 => refusal().prop_map(Step::Refuse),
        2 => Just(Step::Accept),
        2 => (pick(), any::<bool>()).prop_map(|(pick, ends)| Step::Outage(pick, ends)),
        2 => (pick(), 1..14_usize).prop_map(|(pick, turns)| Step::Orphan(pick, turns)),
        1 => pick().prop_map(Step::EndElsewhere),
        2 => pick().prop_map(Step::Crash),
        1 => pick().prop_map(Step::Restart),
        1 => pick().prop_map(Step::Resurrect),
        1 => (pick(), 1..4_usize).prop_map(|(pick, count)| Step::FallBack(pick, count)),
        1 => (pick(), 1..14_usize, 1..4_usize)
            .prop_map(|(pick, turns, count)| Step::FailOver(pick, turns, count)),
        1 => pick().prop_map(Step::Freeze),
        1 => any::<bool>().prop_map(Step::Thaw),
        2 => (pick(), 1..14_usize, any::<bool>())
            .prop_map(|(pick, turns, in_time)| Step::Sleep(pick, turns, in_time)),
        1 => (pick(), place(), cut()).prop_map(|(pick, place, cut)| Step::CutOff(pick, place, cut)),
        1 => Just(Step::Heal),
        1 => (pick(), 1..14_usize, cut())
            .prop_map(|(pick, turns, cut)| Step::Partition(pick, turns, cut)),
        1 => pick().prop_map(Step::LoseLease),
        1 => Just(Step::HangUp),
        6 => Just(Step::Rest),
    ]
}

fn failure() -> impl Strategy<Value = Failure> {
    prop_oneof![1 => Just(Failure::Overloaded), 2 => lost()]
}

fn lost() -> impl Strategy<Value = Failure> {
    prop_oneof![Just(Failure::RequestLost), Just(Failure::AnswerLost)]
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![Just(Place::TokenStore), Just(Place::Locks)]
}

fn cut() -> impl Strategy<Value = Cut> {
    prop_oneof![Just(Cut::Fails), Just(Cut::Hangs)]
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        2 => (1..4_usize).prop_map(Refusal::SessionWrites),
        4 => (1..4_usize).prop_map(Refusal::TokenWrites),
        1 => Just(Refusal::SessionAnswers),
        3 => Just(Refusal::TokenAnswers),
        1 => Just(Refusal::SessionsDown),
        1 => Just(Refusal::TokensDown),
        1 => Just(Refusal::LocksDown),
    ]
}

fn refuse(refusals: &mut Refusals, refusal: Refusal) {
    match refusal {
        Refusal::SessionWrites(count) => refusals.session_writes = count,
        Refusal::TokenWrites(count) => refusals.token_writes = count,
        Refusal::SessionAnswers => refusals.session_answers = 1,
        Refusal::TokenAnswers => refusals.token_answers = 1,
        Refusal::SessionsDown => refusals.sessions_down = true,
        Refusal::TokensDown => refusals.tokens_down = true,
        Refusal::LocksDown => refusals.locks_down = true,
    }
}

pub fn take(browser: &mut Browser, step: Step) {
    match step {
        Step::Open(pick) => open(browser, pick),
        Step::Ask(pick) => browser.ask(pick, false),
        Step::AskForNewer(pick) => browser.ask(pick, true),
        // A refresh without an answer, while the old access token is still good.
        Step::LoseAnswer(pick, failure) => {
            browser.stage.fail_next_request(failure);
            browser.ask(pick, true);
            rest(browser);
        }
        Step::Modify(pick) => browser.modify(pick),
        Step::Cycle(pick) => browser.cycle(pick),
        Step::Clear(pick) => browser.clear(pick),
        Step::Flush(pick) => browser.flush(pick),
        Step::LogIn(pick) => browser.log_in(pick),
        Step::LogOut(pick, true) => browser.log_out(pick, Logout::EndSession),
        Step::LogOut(pick, false) => browser.log_out(pick, Logout::KeepSession),
        Step::EndByProvider(pick) => browser.end_by_provider(pick),
        Step::Finish(pick) => browser.finish(pick),
        Step::Drop(pick) => browser.drop_request(pick),
        Step::Release(pick) => browser.stage.release(pick),
        Step::Expire => browser.pass(LIFE),
        // To where most tokens are refreshed behind the request; a tick later begins the leeway.
        Step::NearlyExpire => browser.pass(LIFE * 13 / 20),
        Step::Tick => browser.pass(LIFE / 10),
        // Longer than a call of a store may take.
        Step::Slow => browser.advance(Duration::from_millis(2_500)),
        // Longer than a request waits, and than the provider may take.
        Step::Wait => browser.advance(Duration::from_secs(5)),
        Step::Fail(failure) => browser.stage.fail_next_request(failure),
        Step::Jump(pick, forward) => browser.jump(pick, if forward { 3600 } else { -3600 }),
        Step::Refuse(refusal) => browser.stage.refuse(|all| refuse(all, refusal)),
        Step::Accept => browser.stage.accept_everything(),
        // The token store takes nothing while a refresh lands, and perhaps for longer.
        Step::Outage(pick, ends) => {
            open(browser, pick);
            rest(browser);
            browser.stage.refuse(|refusals| refusals.token_writes = usize::MAX);
            browser.pass(LIFE);
            browser.ask(pick, false);
            rest(browser);
            if ends {
                browser.stage.accept_everything();
            }
        }
        // One of the processes that want a new token dies on the way.
        Step::Orphan(pick, turns) => {
            all_ask_and_begin(browser, pick, turns);
            browser.crash(pick);
        }
        // A login ends in one process while the others have its token.
        Step::EndElsewhere(pick) => {
            all_ask(browser);
            rest(browser);
            browser.log_out(pick, Logout::EndSession);
            rest(browser);
            browser.pass(LIFE / 2);
            for index in 0..browser.requests() {
                browser.ask(index, false);
            }
            rest(browser);
        }
        Step::Crash(pick) => browser.crash(pick),
        Step::Restart(pick) => browser.restart(pick),
        Step::Resurrect(pick) => browser.stage.resurrect(pick),
        Step::FallBack(pick, count) => browser.stage.fall_back(pick, count),
        Step::Rest => rest(browser),
        _ if browser.stage.scene() != Scene::Swapping => {}
        // The store falls back while all want a new token.
        Step::FailOver(pick, turns, count) => {
            all_ask_and_begin(browser, pick, turns);
            browser.stage.fall_back(pick, count);
        }
        Step::Freeze(pick) => browser.freeze(pick),
        Step::Thaw(in_time) => browser.thaw(in_time),
        // One of the processes that want a new token stands still on the way, for longer than its
        // mark holds.
        Step::Sleep(pick, turns, in_time) => {
            all_ask_and_begin(browser, pick, turns);
            browser.freeze(pick);
            go_on_without(browser);
            browser.thaw(in_time);
        }
        Step::CutOff(pick, place, cut) => browser.cut_off(pick, place, cut),
        Step::Heal => browser.stage.heal(),
        Step::Partition(pick, turns, cut) => {
            all_ask_and_begin(browser, pick, turns);
            browser.cut_off(pick, Place::TokenStore, cut);
            go_on_without(browser);
            browser.stage.heal();
        }
        Step::LoseLease(pick) => browser.stage.lose_lease(pick),
        Step::HangUp => browser.stage.hang_up(),
    }
}

/// A request arrives at every process, and all need a new token.
fn all_ask(browser: &mut Browser) {
    for process in 0..browser.processes() {
        open(browser, process);
    }
    rest(browser);
    browser.pass(LIFE);
    for index in 0..browser.requests() {
        browser.ask(index, false);
    }
}

/// The same, and some of them get a bit of the way.
fn all_ask_and_begin(browser: &mut Browser, pick: usize, turns: usize) {
    all_ask(browser);
    for _ in 0..turns {
        browser.run_all_that_can_run();
        browser.stage.release(pick);
    }
    browser.run_all_that_can_run();
}

/// A mark grows old, and whoever waits for it sees that.
fn go_on_without(browser: &mut Browser) {
    for _ in 0..4 {
        rest(browser);
        browser.advance(Duration::from_secs(4));
        for index in 0..browser.requests() {
            browser.ask(index, false);
        }
    }
    rest(browser);
}

/// A request arrives; the oldest one goes away if there are many.
fn open(browser: &mut Browser, pick: usize) {
    if browser.requests() >= 8 {
        browser.drop_request(0);
    }
    browser.open(pick);
}
