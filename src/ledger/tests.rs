//! How long things stay, and what is kept when memory is short.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use serde_json::json;

use super::{
    retention::{PENDING_STAYS, SWEEP_EVERY},
    *,
};
use crate::{clock::TimeSource, token::TokenSet};

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
struct Hand(Arc<Mutex<Duration>>);

impl Hand {
    fn advance(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

impl TimeSource for Hand {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ledger(limit: usize) -> (Arc<Ledger>, Hand) {
    let hand = Hand::default();
    (Arc::new(Ledger::new(Clock::new(hand.clone()), limit)), hand)
}

fn first_set() -> Arc<HeldSet> {
    let response = json!({
        "access_token": "a", "refresh_token": "r", "token_type": "Bearer", "expires_in": 60, "refresh_expires_in": 7200,
    });
    let set = TokenSet::from_response(response).expect("a token response");
    Arc::new(HeldSet::first(set, "https://id.example", SystemTime::UNIX_EPOCH, MINUTE))
}

fn next_set(set: &HeldSet) -> Arc<HeldSet> {
    let response = json!({ "access_token": "b", "refresh_token": "s", "token_type": "Bearer", "expires_in": 60 });
    let answer = TokenSet::from_response(response).expect("a token response");
    Arc::new(set.next(answer, SystemTime::UNIX_EPOCH, MINUTE))
}

/// Sweeping happens when the map may grow.
fn sweep(ledger: &Ledger) {
    ledger.home_or(GrantId::random(), Id::default());
}

fn knows_set(ledger: &Ledger, grant: GrantId) -> bool {
    ledger.grants.get(&grant).is_some_and(|known| known.newest.is_some())
}

#[test]
fn a_set_that_a_record_holds_goes_after_a_minute_and_the_home_after_ten() {
    let (ledger, hand) = ledger(usize::MAX);
    let (set, home) = (first_set(), Id::default());
    ledger.moved(set.grant, home);
    ledger.learn(set.clone(), Custody::Record);

    hand.advance(MINUTE - Duration::from_millis(1));
    sweep(&ledger);
    assert!(knows_set(&ledger, set.grant));
    hand.advance(Duration::from_secs(10));
    sweep(&ledger);
    assert!(!knows_set(&ledger, set.grant));
    assert_eq!(ledger.usage().1, 0);

    hand.advance(8 * MINUTE);
    sweep(&ledger);
    assert_eq!(ledger.home(set.grant), Some(home));
    hand.advance(2 * MINUTE);
    sweep(&ledger);
    assert_eq!(ledger.home(set.grant), None);
}

#[test]
fn a_set_in_use_stays() {
    let (ledger, hand) = ledger(usize::MAX);
    let set = first_set();
    ledger.learn(set.clone(), Custody::Record);
    for _ in 0..5 {
        hand.advance(MINUTE / 2);
        sweep(&ledger);
        assert!(matches!(ledger.look_up(set.grant, set.generation), Lookup::Same(..)));
    }
}

#[test]
fn a_set_between_two_records_stays_ten_minutes() {
    let (ledger, hand) = ledger(usize::MAX);
    let set = first_set();
    ledger.learn(set.clone(), Custody::Uncarried);
    hand.advance(10 * MINUTE - Duration::from_millis(1));
    sweep(&ledger);
    assert!(knows_set(&ledger, set.grant));
    hand.advance(MINUTE);
    sweep(&ledger);
    assert!(!knows_set(&ledger, set.grant));
}

#[test]
fn a_set_that_the_store_refuses_stays_for_its_refresh_tokens_life() {
    let (ledger, hand) = ledger(0);
    let set = first_set();
    ledger.publish(&set).expect("not ended");
    ledger.entrust(set.grant, set.generation, Custody::Pending);
    hand.advance(Duration::from_secs(7199));
    sweep(&ledger);
    assert!(knows_set(&ledger, set.grant));
    hand.advance(MINUTE);
    sweep(&ledger);
    assert!(!knows_set(&ledger, set.grant));
}

#[test]
fn an_ended_mark_and_a_left_id_stay_ten_minutes() {
    let (ledger, hand) = ledger(usize::MAX);
    let (set, left) = (first_set(), Id::default());
    ledger.leave(set.grant, left);
    ledger.end(set.grant, Ending::Final);
    hand.advance(10 * MINUTE - Duration::from_millis(1));
    sweep(&ledger);
    assert_eq!(ledger.gone_from(left), Some(set.grant));
    hand.advance(MINUTE);
    sweep(&ledger);
    assert_eq!((ledger.gone_from(left), ledger.ending(set.grant)), (None, None));
}

#[test]
fn nothing_of_a_grant_with_a_flight_under_way_goes() {
    let (ledger, hand) = ledger(usize::MAX);
    let set = first_set();
    ledger.learn(set.clone(), Custody::Record);
    let pin = ledger.pin(set.grant);
    hand.advance(60 * MINUTE);
    sweep(&ledger);
    assert!(knows_set(&ledger, set.grant));
    drop(pin);
    hand.advance(MINUTE);
    sweep(&ledger);
    assert!(!knows_set(&ledger, set.grant));
}

#[test]
fn beyond_the_limit_only_sets_that_no_record_holds_are_kept() {
    let (ledger, hand) = ledger(0);
    let recorded = first_set();
    ledger.learn(recorded.clone(), Custody::Record);
    assert!(!knows_set(&ledger, recorded.grant), "read from the session each time");

    let flown = first_set();
    let pin = ledger.pin(flown.grant);
    ledger.publish(&flown).expect("not ended");
    assert!(knows_set(&ledger, flown.grant), "the store does not have it yet");
    ledger.entrust(flown.grant, flown.generation, Custody::Record);
    drop(pin);
    assert_eq!(ledger.usage().1, 0, "now it does");

    let pending = first_set();
    ledger.learn(pending.clone(), Custody::Pending);
    hand.advance(MINUTE);
    sweep(&ledger);
    assert!(knows_set(&ledger, pending.grant));
}

#[test]
fn a_late_caller_is_served_for_thirty_seconds_after_a_flight() {
    let (ledger, hand) = ledger(usize::MAX);
    let old = first_set();
    let new = next_set(&old);
    ledger.publish(&new).expect("not ended");
    assert!(
        matches!(ledger.look_up(old.grant, old.generation), Lookup::Unknown),
        "the store comes first"
    );
    ledger.entrust(new.grant, new.generation, Custody::Record);
    hand.advance(LATE);
    assert!(matches!(ledger.look_up(old.grant, old.generation), Lookup::Newer(..)));
    hand.advance(Duration::from_millis(1));
    assert!(matches!(ledger.look_up(old.grant, old.generation), Lookup::Unknown));
}

#[test]
fn an_older_set_is_not_taken_nor_any_of_an_ended_grant() {
    let (ledger, _hand) = ledger(usize::MAX);
    let old = first_set();
    let new = next_set(&old);
    ledger.learn(new.clone(), Custody::Record);
    assert_eq!(ledger.learn(old.clone(), Custody::Record).generation, new.generation);

    assert!(
        ledger.end(old.grant, Ending::Replaced).is_some_and(|set| set.generation == new.generation)
    );
    assert_eq!(ledger.publish(&new), Err(Ending::Replaced));
    ledger.learn(new.clone(), Custody::Record);
    assert!(!knows_set(&ledger, new.grant));
    assert_eq!(ledger.usage().1, 0);
}

#[test]
fn a_set_that_the_store_refuses_stays_for_a_day_where_the_provider_does_not_tell_its_end() {
    let (ledger, hand) = ledger(usize::MAX);
    let set = next_set(&first_set());
    assert!(set.refresh_expires_at.is_none());
    ledger.publish(&set).expect("not ended");
    ledger.entrust(set.grant, set.generation, Custody::Pending);
    hand.advance(PENDING_STAYS - SWEEP_EVERY);
    sweep(&ledger);
    assert!(knows_set(&ledger, set.grant));
    hand.advance(SWEEP_EVERY);
    sweep(&ledger);
    assert!(!knows_set(&ledger, set.grant));
}

#[test]
fn what_failed_together_is_not_tried_again_together() {
    let second = Duration::from_secs(1);
    let pauses: HashSet<_> =
        (0..100).map(|_| pause(GrantId::random(), Generation::FIRST, 1)).collect();
    assert!(pauses.len() > 90, "{}", pauses.len());
    assert!(pauses.iter().all(|pause| (second / 2..=second).contains(pause)), "{pauses:?}");
}

#[test]
fn the_writer_that_finds_nothing_to_write_is_none_any_more() {
    let (ledger, _hand) = ledger(usize::MAX);
    let first = first_set();
    let grant = first.grant;
    assert!(!ledger.appoint_writer(grant), "nothing is pending");
    ledger.learn(first.clone(), Custody::Pending);
    assert!(ledger.appoint_writer(grant));
    assert!(!ledger.appoint_writer(grant), "one is enough");
    let next = ledger.writer_goes_on(grant, |_| true).expect("still pending");
    assert_eq!(next.generation, first.generation);
    assert!(!ledger.appoint_writer(grant), "it goes on");

    ledger.entrust(grant, first.generation, Custody::Record);
    assert!(ledger.writer_goes_on(grant, |_| true).is_none());
    ledger.learn(next_set(&first), Custody::Pending);
    assert!(ledger.appoint_writer(grant), "nobody writes the set that a flight leaves now");

    assert!(ledger.writer_goes_on(grant, |_| false).is_none(), "it gives up");
    assert!(ledger.appoint_writer(grant), "the next flight may have more luck");
}

#[test]
fn the_gravest_ending_stands() {
    let (ledger, _hand) = ledger(usize::MAX);
    let grant = first_set().grant;
    for (ending, stands) in [
        (Ending::Replaced, Ending::Replaced),
        (Ending::Final, Ending::Final),
        (Ending::Replaced, Ending::Final),
        (Ending::WithSession, Ending::WithSession),
        (Ending::Final, Ending::WithSession),
    ] {
        ledger.end(grant, ending);
        assert_eq!(ledger.ending(grant), Some(stands));
    }
}

/// A request with an old set may start a flight that does not get as far as to read the newest.
#[test]
fn a_doubt_about_the_newest_set_outlives_the_failure_of_a_flight_for_an_older_one() {
    let (ledger, _hand) = ledger(usize::MAX);
    let old = first_set();
    let new = next_set(&old);
    ledger.presenting(new.grant, new.generation);
    ledger.put_off(old.grant, old.generation);
    assert!(ledger.setback(new.grant, new.generation).is_some_and(|setback| setback.ambiguous));
}
