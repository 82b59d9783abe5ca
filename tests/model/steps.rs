//! What can happen next.

use std::time::Duration;

use proptest::prelude::*;
use tower_token_refresh::Logout;

use crate::{
    LIFE,
    browser::Browser,
    rest::{rest, run_all_that_can_run},
    stepped::{Failure, Refusals},
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
    FallBack(usize),
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
        1 => pick().prop_map(Step::FallBack),
        6 => Just(Step::Rest),
    ]
}

fn failure() -> impl Strategy<Value = Failure> {
    prop_oneof![1 => Just(Failure::Overloaded), 2 => lost()]
}

fn lost() -> impl Strategy<Value = Failure> {
    prop_oneof![Just(Failure::RequestLost), Just(Failure::AnswerLost)]
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        2 => (1..4_usize).prop_map(Refusal::SessionWrites),
        4 => (1..4_usize).prop_map(Refusal::TokenWrites),
        1 => Just(Refusal::SessionAnswers),
        3 => Just(Refusal::TokenAnswers),
        1 => Just(Refusal::SessionsDown),
        1 => Just(Refusal::TokensDown),
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
    }
}

pub async fn take(browser: &mut Browser, step: Step) {
    match step {
        Step::Open(pick) => open(browser, pick),
        Step::Ask(pick) => browser.ask(pick, false),
        Step::AskForNewer(pick) => browser.ask(pick, true),
        // A refresh without an answer, while the old access token is still good.
        Step::LoseAnswer(pick, failure) => {
            browser.stage.fail_next_request(failure);
            browser.ask(pick, true);
            rest(browser).await;
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
        Step::Slow => browser.advance(Duration::from_millis(2_500)).await,
        // Longer than a request waits, and than the provider may take.
        Step::Wait => browser.advance(Duration::from_secs(5)).await,
        Step::Fail(failure) => browser.stage.fail_next_request(failure),
        Step::Jump(pick, forward) => browser.jump(pick, if forward { 3600 } else { -3600 }),
        Step::Refuse(refusal) => browser.stage.refuse(|all| refuse(all, refusal)),
        Step::Accept => browser.stage.accept_everything(),
        // The token store takes nothing while a refresh lands, and perhaps for longer.
        Step::Outage(pick, ends) => {
            open(browser, pick);
            rest(browser).await;
            browser.stage.refuse(|refusals| refusals.token_writes = usize::MAX);
            browser.pass(LIFE);
            browser.ask(pick, false);
            rest(browser).await;
            if ends {
                browser.stage.accept_everything();
            }
        }
        // One of the processes that want a new token dies on the way.
        Step::Orphan(pick, turns) => {
            all_ask(browser).await;
            for _ in 0..turns {
                run_all_that_can_run().await;
                browser.stage.release(pick);
            }
            run_all_that_can_run().await;
            browser.crash(pick);
        }
        // A login ends in one process while the others have its token.
        Step::EndElsewhere(pick) => {
            all_ask(browser).await;
            rest(browser).await;
            browser.log_out(pick, Logout::EndSession);
            rest(browser).await;
            browser.pass(LIFE / 2);
            for index in 0..browser.requests() {
                browser.ask(index, false);
            }
            rest(browser).await;
        }
        Step::Crash(pick) => browser.crash(pick),
        Step::Restart(pick) => browser.restart(pick).await,
        Step::Resurrect(pick) => browser.stage.resurrect(pick),
        Step::FallBack(pick) => browser.stage.fall_back(pick),
        Step::Rest => rest(browser).await,
    }
}

/// A request arrives at every process, and all need a new token.
async fn all_ask(browser: &mut Browser) {
    for process in 0..browser.processes() {
        open(browser, process);
    }
    rest(browser).await;
    browser.pass(LIFE);
    for index in 0..browser.requests() {
        browser.ask(index, false);
    }
}

/// A request arrives; the oldest one goes away if there are many.
fn open(browser: &mut Browser, pick: usize) {
    if browser.requests() >= 8 {
        browser.drop_request(0);
    }
    browser.open(pick);
}
