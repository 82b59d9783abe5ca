//! When an undocumented answer may end a login, and when not.

use super::*;
use crate::testing::ManualClock;

const SECOND: Duration = Duration::from_secs(1);
const FIRST: Generation = Generation::FIRST;

fn login(n: u8) -> RecordKey {
    RecordKey::from_bytes([n; 16])
}

struct World {
    clock: ManualClock,
    rejections: Rejections,
}

fn world(limit: u32) -> World {
    let clock = ManualClock::new();
    World { rejections: Rejections::new(limit, clock.clock()), clock }
}

impl World {
    /// Such an answer to login 1, `seconds` after the last one. True if it may end.
    fn refused(&self, seconds: u32) -> bool {
        self.clock.advance(SECOND * seconds);
        self.rejections.add(login(1), FIRST)
    }
}

#[test]
fn the_third_ends_it_after_30_s_where_another_login_was_refreshed() {
    let world = world(3);
    assert!(!world.refused(0) && !world.refused(10));
    world.rejections.refreshed(login(2));
    assert!(!world.refused(19), "29 s");
    assert!(world.refused(1), "30 s, and the fourth");
}

#[test]
fn two_are_too_few_however_long_they_lie_apart() {
    let world = world(3);
    world.refused(0);
    world.rejections.refreshed(login(2));
    assert!(!world.refused(600));
    assert!(world.refused(0));
}

/// Two outages of a minute, and all was well between them.
#[test]
fn a_long_gap_begins_a_new_row() {
    let world = world(3);
    for seconds in [0, 20, 20] {
        assert!(!world.refused(seconds));
    }
    world.rejections.refreshed(login(2));
    assert!(!world.refused(601));
    world.rejections.refreshed(login(2));
    assert!(!world.refused(20) && world.refused(20));
}

#[test]
fn where_nobody_is_refreshed_it_is_an_outage_for_24_h() {
    let world = world(3);
    for _ in 0..24 * 60 {
        assert!(!world.refused(60));
    }
    assert!(world.refused(60));
}

#[test]
fn a_refresh_before_the_first_one_proves_nothing() {
    let world = world(3);
    world.rejections.refreshed(login(2));
    for seconds in [0, 20, 20, 20] {
        assert!(!world.refused(seconds));
    }
}

#[test]
fn any_other_answer_and_any_new_token_begins_a_new_row() {
    let world = world(3);
    world.refused(0);
    world.refused(30);
    world.rejections.refreshed(login(2));
    world.rejections.forget(login(1));
    assert!(!world.refused(0) && !world.refused(30));

    assert!(!world.rejections.add(login(1), FIRST.next()), "the next token");
    world.rejections.refreshed(login(2));
    assert!(!world.rejections.add(login(1), FIRST.next()));
    assert!(!world.rejections.add(login(1), FIRST.next()), "0 s");
}

/// In the morning many tokens are dead, and no such answer ever passes.
#[test]
fn it_ends_however_many_others_meet_such_answers() {
    let world = world(3);
    for other in 10..200 {
        world.rejections.add(login(other), FIRST);
    }
    world.refused(0);
    world.rejections.refreshed(login(2));
    assert!(!world.refused(15) && world.refused(15));
}

/// One of two nodes is down: whoever it refuses is served by the other one a moment later.
#[test]
fn what_passes_for_others_may_pass_for_this_one() {
    let world = world(3);
    world.refused(0);
    for _ in 0..19 {
        world.rejections.refreshed(login(2));
    }
    world.rejections.add(login(3), FIRST);
    world.rejections.refreshed(login(3));
    assert!(!world.refused(15) && !world.refused(15), "nineteen went smoothly, and one did not");
    world.rejections.refreshed(login(2));
    assert!(world.refused(0), "twenty");
}

#[test]
fn how_well_it_went_before_says_nothing() {
    let world = world(3);
    for _ in 0..1000 {
        world.rejections.refreshed(login(2));
    }
    world.refused(0);
    world.rejections.add(login(3), FIRST);
    world.rejections.refreshed(login(3));
    for _ in 0..19 {
        world.rejections.refreshed(login(2));
    }
    assert!(!world.refused(15) && !world.refused(15));
}

#[test]
fn what_has_passed_before_the_first_one_counts_for_ten_minutes() {
    let world = world(3);
    for (ago, ends) in [(9, false), (21, true)] {
        world.rejections.add(login(3), FIRST);
        world.rejections.refreshed(login(3));
        world.clock.advance(SECOND * 60 * ago);
        world.rejections.forget(login(1));
        world.refused(0);
        world.rejections.refreshed(login(2));
        assert!(!world.refused(15));
        assert_eq!(world.refused(15), ends, "{ago} minutes");
    }
}

#[test]
fn with_0_no_login_ends() {
    let world = world(0);
    for _ in 0..100 {
        world.rejections.refreshed(login(2));
        assert!(!world.refused(24 * 3600));
    }
}

#[test]
fn the_memory_is_bounded() {
    let world = world(3);
    for n in 0..=REMEMBERED as u128 + 1 {
        world.rejections.add(RecordKey::from_bytes(n.to_be_bytes()), FIRST);
    }
    assert!(world.rejections.by_login.len() < 100);
}
