use std::time::SystemTime;

use super::*;
use crate::{
    testing::ManualClock,
    token_store::{EndingReason, Nonce},
};

const MINUTE: Duration = Duration::from_secs(60);

fn key(nth: u128) -> RecordKey {
    RecordKey::from_bytes(nth.to_be_bytes())
}

fn ending(reason: EndingReason, with_session: bool) -> Ending {
    let (keep_until, nonce) = (SystemTime::UNIX_EPOCH, Nonce::sample(1));
    Ending { reason, revoke: false, with_session, keep_until, nonce }
}

fn by_logout() -> Ending {
    ending(EndingReason::Logout, true)
}

/// Another login ends: marks that have stood for long enough are then swept out.
fn sweep(ended: &EndedHere) {
    ended.mark(key(u128::MAX), ending(EndingReason::Expired, false), true);
}

#[test]
fn a_mark_stays_for_ten_minutes() {
    let clock = ManualClock::new();
    let ended = EndedHere::new(clock.clock(), Duration::ZERO, Arc::default());
    ended.mark(key(1), by_logout(), true);

    clock.advance(10 * MINUTE - Duration::from_secs(1));
    sweep(&ended);
    assert_eq!(ended.get(key(1)), Some(by_logout()));

    clock.advance(SWEEP_EVERY);
    sweep(&ended);
    assert_eq!(ended.get(key(1)), None);
}

#[test]
fn a_mark_stays_for_as_long_as_a_flight_may_run() {
    let clock = ManualClock::new();
    let ended = EndedHere::new(clock.clock(), 60 * MINUTE, Arc::default());
    ended.mark(key(1), by_logout(), true);

    clock.advance(59 * MINUTE);
    sweep(&ended);
    assert_eq!(ended.get(key(1)), Some(by_logout()));

    clock.advance(MINUTE);
    sweep(&ended);
    assert_eq!(ended.get(key(1)), None);
}

#[test]
fn a_mark_stays_until_the_store_has_taken_the_ending_and_ten_minutes_more() {
    for taken in [(|ended: &EndedHere| ended.note_stored(key(1))) as fn(&EndedHere), |ended| {
        ended.mark(key(1), by_logout(), true);
    }] {
        let clock = ManualClock::new();
        let ended = EndedHere::new(clock.clock(), Duration::ZERO, Arc::default());
        ended.mark(key(1), by_logout(), false);

        clock.advance(24 * 60 * MINUTE);
        sweep(&ended);
        assert!(ended.get(key(1)).is_some(), "the store has refused it for a day");

        taken(&ended);
        clock.advance(9 * MINUTE);
        sweep(&ended);
        assert!(ended.get(key(1)).is_some(), "what was read before may still be on its way");

        clock.advance(MINUTE);
        sweep(&ended);
        assert!(ended.get(key(1)).is_none());
    }
}

#[test]
fn to_hear_of_an_ending_again_does_not_prolong_its_mark() {
    let clock = ManualClock::new();
    let ended = EndedHere::new(clock.clock(), Duration::ZERO, Arc::default());
    ended.mark(key(1), by_logout(), true);
    for _ in 0..10 {
        clock.advance(MINUTE);
        ended.note_stored(key(1));
    }
    sweep(&ended);
    assert_eq!(ended.get(key(1)), None);
}

#[test]
fn the_first_ending_stays() {
    let ended = EndedHere::new(ManualClock::new().clock(), Duration::ZERO, Arc::default());
    let first = ending(EndingReason::Replaced, false);
    ended.mark(key(1), first, true);
    ended.mark(key(1), by_logout(), false);
    assert_eq!(ended.get(key(1)), Some(first));
    assert!(!Arc::new(ended).any());
}

#[test]
fn a_session_ends_where_the_store_has_an_ending_that_says_so() {
    let ended = EndedHere::new(ManualClock::new().clock(), Duration::ZERO, Arc::default());
    ended.mark(key(1), ending(EndingReason::Replaced, false), false);
    ended.mark(key(1), by_logout(), true);
    let known = ended.get(key(1)).expect("marked");
    assert_eq!((known.reason, known.with_session), (EndingReason::Replaced, true));
    assert!(Arc::new(ended).any());
}

#[test]
fn nobody_has_to_look_for_ended_sessions_where_none_has_ended() {
    let clock = ManualClock::new();
    let ended = Arc::new(EndedHere::new(clock.clock(), Duration::ZERO, Arc::default()));
    ended.mark(key(1), ending(EndingReason::Expired, false), true);
    assert!(!ended.any());

    ended.mark(key(2), by_logout(), true);
    ended.mark(key(3), by_logout(), true);
    assert!(ended.any());

    clock.advance(10 * MINUTE);
    sweep(&ended);
    assert!(!ended.any());
}
