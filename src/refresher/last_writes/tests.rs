use std::time::SystemTime;

use super::*;
use crate::{
    testing::ManualClock,
    token_store::{Nonce, RecordState, codec::Codec},
    tokens::GrantTokens,
};

const STAYS: Duration = Duration::from_secs(90);

fn key(nth: u128) -> RecordKey {
    RecordKey::from_bytes(nth.to_be_bytes())
}

fn record(generation: u64) -> TokenRecord {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let tokens = GrantTokens::sample(generation, now, STAYS);
    let record =
        Codec::new(None).encode(key(1), &tokens, RecordState::Live, Nonce::random(), now + STAYS);
    record.expect("encoded")
}

#[test]
fn the_last_write_of_a_login_is_remembered_for_its_time_and_no_longer() {
    let clock = ManualClock::new();
    let writes = LastWrites::new(clock.clock(), STAYS);
    let (older, newer) = (record(1), record(2));
    writes.keep(key(1), &older);
    writes.keep(key(1), &newer);

    clock.advance(STAYS - Duration::from_secs(1));
    assert_eq!(writes.get(key(1)), Some(newer));
    assert_eq!(writes.get(key(2)), None);

    clock.advance(Duration::from_secs(1));
    assert_eq!(writes.get(key(1)), None);
}

#[test]
fn a_write_that_comes_late_does_not_take_the_place_of_a_newer_one() {
    let writes = LastWrites::new(ManualClock::new().clock(), STAYS);
    let newer = record(2);
    writes.keep(key(1), &newer);
    writes.keep(key(1), &record(1));
    assert_eq!(writes.get(key(1)), Some(newer));
}

#[test]
fn nothing_is_kept_of_a_login_that_has_ended() {
    let writes = LastWrites::new(ManualClock::new().clock(), STAYS);
    writes.keep(key(1), &record(1));
    writes.forget(key(1));
    assert_eq!(writes.get(key(1)), None);
    assert_eq!(writes.bytes(), 0);
}

#[test]
fn what_is_too_old_takes_no_memory_once_another_is_written() {
    let clock = ManualClock::new();
    let writes = LastWrites::new(clock.clock(), STAYS);
    for nth in 0..100 {
        writes.keep(key(nth), &record(1));
    }
    let full = writes.bytes();

    clock.advance(STAYS);
    writes.keep(key(100), &record(1));

    assert_eq!(writes.bytes(), full / 100);
}
