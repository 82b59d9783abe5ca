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
    LeaveMeanwhile(usize, usize, usize),
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

/// What a step is made of.
#[derive(Debug, Clone, Copy)]
struct Draw {
    pick: usize,
    turns: usize,
    count: usize,
    yes: bool,
    other: bool,
}

impl Draw {
    fn place(self) -> Place {
        if self.yes { Place::TokenStore } else { Place::Locks }
    }

    fn cut(self) -> Cut {
        if self.other { Cut::Fails } else { Cut::Hangs }
    }

    fn lost(self) -> Failure {
        if self.yes { Failure::RequestLost } else { Failure::AnswerLost }
    }

    fn failure(self) -> Failure {
        if self.count == 1 { Failure::Overloaded } else { self.lost() }
    }

    fn refusal(self) -> Refusal {
        match self.turns {
            1 | 2 => Refusal::SessionWrites(self.count),
            3..=6 => Refusal::TokenWrites(self.count),
            7 => Refusal::SessionAnswers,
            8..=10 => Refusal::TokenAnswers,
            11 => Refusal::SessionsDown,
            12 => Refusal::TokensDown,
            _ => Refusal::LocksDown,
        }
    }
}

/// How often a step is taken, and how it is made.
type Kind = (usize, fn(Draw) -> Step);

/// How often each step is taken, beside the others. The first ones are what a failure shrinks to.
const KINDS: &[Kind] = &[
    (48, |draw| Step::Release(draw.pick)),
    (6, |_| Step::Rest),
    (3, |_| Step::Tick),
    (7, |draw| Step::Open(draw.pick)),
    (9, |draw| Step::Ask(draw.pick)),
    (3, |draw| Step::AskForNewer(draw.pick)),
    (1, |draw| Step::LoseAnswer(draw.pick, draw.lost())),
    (3, |draw| Step::Modify(draw.pick)),
    (3, |draw| Step::Cycle(draw.pick)),
    (1, |draw| Step::Clear(draw.pick)),
    (1, |draw| Step::Flush(draw.pick)),
    (1, |draw| Step::LogIn(draw.pick)),
    (2, |draw| Step::LogOut(draw.pick, draw.yes)),
    (1, |draw| Step::EndByProvider(draw.pick)),
    (6, |draw| Step::Finish(draw.pick)),
    (2, |draw| Step::Drop(draw.pick)),
    (4, |_| Step::Expire),
    (3, |_| Step::NearlyExpire),
    (1, |_| Step::Slow),
    (1, |_| Step::Wait),
    (2, |draw| Step::Fail(draw.failure())),
    (1, |draw| Step::Jump(draw.pick, draw.yes)),
    (3, |draw| Step::Refuse(draw.refusal())),
    (2, |_| Step::Accept),
    (2, |draw| Step::Outage(draw.pick, draw.yes)),
    (2, |draw| Step::Orphan(draw.pick, draw.turns)),
    (1, |draw| Step::EndElsewhere(draw.pick)),
    (2, |draw| Step::LeaveMeanwhile(draw.pick, draw.turns, draw.count)),
    (2, |draw| Step::Crash(draw.pick)),
    (1, |draw| Step::Restart(draw.pick)),
    (1, |draw| Step::Resurrect(draw.pick)),
    (1, |draw| Step::FallBack(draw.pick, draw.count)),
    (1, |draw| Step::FailOver(draw.pick, draw.turns, draw.count)),
    (1, |draw| Step::Freeze(draw.pick)),
    (1, |draw| Step::Thaw(draw.yes)),
    (1, |draw| Step::Sleep(draw.pick, draw.turns, draw.yes)),
    (1, |draw| Step::CutOff(draw.pick, draw.place(), draw.cut())),
    (1, |_| Step::Heal),
    (1, |draw| Step::Partition(draw.pick, draw.turns, draw.cut())),
    (1, |draw| Step::LoseLease(draw.pick)),
    (1, |_| Step::HangUp),
];

/// One draw for everything: proptest forks its generator for each option of a choice, and for as
/// many options that takes longer than to play the case.
pub fn step() -> impl Strategy<Value = Step> {
    let all = KINDS.iter().map(|(weight, _)| weight).sum::<usize>();
    let draw = (0..21_usize, 1..14_usize, 1..4_usize, any::<bool>(), any::<bool>());
    (0..all, draw).prop_map(|(mut place, (pick, turns, count, yes, other))| {
        let kind = KINDS.iter().find(|(weight, _)| {
            let found = place < *weight;
            place = place.saturating_sub(*weight);
            found
        });
        let (_, make) = kind.expect("the place is below the sum of the weights");
        make(Draw { pick, turns, count, yes, other })
    })
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
        // A login ends while processes refresh it; what was under way goes on in another order.
        Step::LeaveMeanwhile(pick, turns, count) => {
            open(browser, pick);
            rest(browser);
            let leaving = browser.requests() - 1;
            browser.pass(LIFE);
            for index in 0..leaving {
                browser.ask(index, false);
            }
            go_some_of_the_way(browser, pick, turns);
            browser.log_out(leaving, Logout::EndSession);
            go_some_of_the_way(browser, pick + count, turns + count);
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
    go_some_of_the_way(browser, pick, turns);
}

fn go_some_of_the_way(browser: &mut Browser, pick: usize, turns: usize) {
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
