use std::time::SystemTime;

use support::scrape::Scrape;

use super::*;
use crate::{
    metrics::Meter,
    testing::ManualClock,
    token_store::{RecordState, codec::Codec},
    tokens::GrantTokens,
};

const SECOND: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(30);
const LIFE: Duration = Duration::from_secs(60);
const KEY: RecordKey = RecordKey::from_bytes([7; 16]);
const FIRST: Generation = Generation::FIRST;

/// A process that knows nothing yet, and a record whose access token has expired.
struct World {
    clock: ManualClock,
    presentations: Presentations,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new();
        let presentations = Presentations::new(clock.clock(), DEADLINE, Meter::sample());
        clock.advance(LIFE);
        Self { clock, presentations }
    }

    fn now(&self) -> SystemTime {
        self.clock.clock().now()
    }

    /// The record in this state, as a read shows it now.
    fn found(&self, state: RecordState, nonce: Nonce) -> Found {
        let codec = Codec::new(None);
        let tokens = GrantTokens::sample(1, self.now() - LIFE, LIFE);
        let record = codec.encode(KEY, &tokens, state, nonce, self.now() + LIFE).expect("encoded");
        Found::sample(record, tokens, self.clock.clock().moment())
    }

    fn live(&self) -> Decision {
        let found = self.found(RecordState::Live, Nonce::random());
        self.presentations.decide(KEY, &found, None, true)
    }

    fn marked(&self, nonce: Nonce, since: SystemTime) -> Decision {
        let found = self.found(RecordState::Presenting { since }, nonce);
        self.presentations.decide(KEY, &found, None, true)
    }

    /// Time passes, and the mark is looked at each second.
    fn watch(&self, seconds: u32, nonce: Nonce, since: SystemTime) {
        for _ in 0..seconds {
            self.marked(nonce, since);
            self.clock.advance(SECOND);
        }
    }

    /// This process marks the record and presents the token.
    fn present(&self) {
        self.presentations.marking(KEY, FIRST, Nonce::random(), false);
        self.presentations.presenting(KEY, FIRST);
    }

    /// How long the next attempt has to wait.
    fn pause(&self) -> Duration {
        match self.live() {
            Decision::Refuse(error) => error.retry_after().expect("a time"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn after_each_presentation_without_an_answer_the_pause_doubles_to_a_minute() {
    let world = World::new();
    for whole in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        world.present();
        let (whole, pause) = (whole * SECOND, world.pause());
        assert!(whole / 2 <= pause && pause <= whole, "{pause:?} of {whole:?}");
        world.clock.advance(pause);
        assert!(matches!(world.live(), Decision::Present { replay: true }));
    }
}

#[test]
fn attempts_of_one_flight_count_once() {
    let world = World::new();
    world.present();
    for _ in 0..5 {
        world.presentations.renewing(KEY, FIRST, Nonce::random());
        world.presentations.presenting(KEY, FIRST);
        world.clock.advance(SECOND);
    }
    assert!(matches!(world.live(), Decision::Present { replay: true }), "no pause has doubled");
}

/// The store may have refused to renew it, and then holds the one before.
#[test]
fn the_mark_before_a_renewed_one_is_ones_own_as_well() {
    let world = World::new();
    let (first, renewed) = (Nonce::random(), Nonce::random());
    world.presentations.marking(KEY, FIRST, first, false);
    world.presentations.renewing(KEY, FIRST, renewed);
    for nonce in [first, renewed] {
        assert!(matches!(world.marked(nonce, world.now()), Decision::Present { replay: false }));
    }
    assert_waits(world.marked(Nonce::random(), world.now()), DEADLINE);
}

#[test]
fn a_clear_answer_ends_the_doubt_of_its_own_presentation_and_of_no_other() {
    let world = World::new();
    world.present();
    world.presentations.not_consumed(KEY, FIRST);
    assert!(matches!(world.live(), Decision::Present { replay: false }));

    world.present();
    world.clock.advance(LONGEST_PAUSE);
    world.present();
    world.presentations.not_consumed(KEY, FIRST);
    world.clock.advance(LONGEST_PAUSE);
    assert!(world.presentations.was_in_doubt(KEY, FIRST));
    assert!(matches!(world.live(), Decision::Present { replay: true }));
}

#[test]
fn a_clear_answer_to_ones_own_replay_does_not_answer_what_another_process_presented() {
    let world = World::new();
    world.presentations.marking(KEY, FIRST, Nonce::random(), true);
    world.presentations.presenting(KEY, FIRST);
    world.presentations.not_consumed(KEY, FIRST);
    assert!(world.presentations.was_in_doubt(KEY, FIRST));
    world.clock.advance(LONGEST_PAUSE);
    assert!(matches!(world.live(), Decision::Present { replay: true }));
}

#[test]
fn the_provider_may_ask_for_a_longer_pause_and_not_for_a_shorter_one() {
    let world = World::new();
    world.present();
    world.presentations.retry_not_before(KEY, FIRST, 20 * SECOND);
    assert_eq!(world.pause(), 20 * SECOND);
    world.presentations.retry_not_before(KEY, FIRST, SECOND);
    assert_eq!(world.pause(), 20 * SECOND);
}

/// Early refreshes come by while somebody else's is under way, and the store may be down as well.
#[test]
fn what_puts_early_refreshes_off_puts_no_replay_off() {
    let world = World::new();
    let (nonce, since) = (Nonce::random(), world.now() - DEADLINE);
    world.watch(5, nonce, since);
    for _ in 0..10 {
        world.presentations.refreshed_elsewhere(KEY, FIRST);
        world.presentations.store_failed(KEY, FIRST);
    }
    assert!(world.presentations.is_paused(KEY, FIRST, true));
    world.watch(5, nonce, since);
    assert!(matches!(world.marked(nonce, since), Decision::Present { replay: true }));

    world.present();
    assert!(world.pause() <= SECOND, "it is the first presentation");
}

#[test]
fn a_young_mark_of_somebody_else_holds_off_until_its_deadline() {
    let world = World::new();
    let (nonce, since) = (Nonce::random(), world.now());
    assert_waits(world.marked(nonce, since), DEADLINE);
    world.watch(29, nonce, since);
    assert_waits(world.marked(nonce, since), SECOND);
    assert_eq!(world.presentations.rest_of_mark(KEY), Some(SECOND));
    world.clock.advance(SECOND);
    assert!(matches!(world.marked(nonce, since), Decision::Present { replay: true }));
    assert_eq!(world.presentations.rest_of_mark(KEY), None);
}

#[test]
fn an_old_mark_is_watched_for_five_seconds() {
    let world = World::new();
    let (nonce, since) = (Nonce::random(), world.now() - 24 * 60 * LIFE);
    assert_waits(world.marked(nonce, since), 5 * SECOND);
    world.clock.advance(4 * SECOND);
    assert_waits(world.marked(nonce, since), SECOND);

    let another = Nonce::random();
    assert_waits(world.marked(another, since), 5 * SECOND);
    world.clock.advance(5 * SECOND);
    assert!(matches!(world.marked(another, since), Decision::Present { replay: true }));
}

/// Whoever set it has died. Requests with a good token come by all the time.
#[test]
fn while_the_access_token_is_good_an_overdue_mark_is_looked_at_after_pauses_that_double() {
    let scrape = Scrape::of_this_thread();
    let world = World::new();
    let (nonce, since) = (Nonce::random(), world.now() - DEADLINE);
    let look = || {
        let tokens = GrantTokens::sample(1, world.now(), LIFE);
        let state = RecordState::Presenting { since };
        let record = Codec::new(None).encode(KEY, &tokens, state, nonce, world.now() + LIFE);
        let read_at = world.clock.clock().moment();
        let found = Found::sample(record.expect("encoded"), tokens, read_at);
        world.presentations.decide(KEY, &found, None, true)
    };
    assert_waits(look(), 5 * SECOND);
    world.clock.advance(5 * SECOND);
    for whole in [1, 2, 4] {
        assert!(!world.presentations.is_paused(KEY, FIRST, true));
        assert!(matches!(look(), Decision::Refuse(_)));
        assert!(world.presentations.is_paused(KEY, FIRST, true));
        world.clock.advance(whole * SECOND);
    }
    assert_eq!(scrape.value("token_refresh_overdue_marks_total", &[]), 1.0, "one mark");
}

/// The new set may have waited for the end of the outage, and is on its way only now.
#[test]
fn a_mark_that_nobody_looked_at_meanwhile_is_watched_again() {
    let world = World::new();
    let (nonce, since) = (Nonce::random(), world.now());
    world.watch(20, nonce, since);
    world.clock.advance(60 * SECOND);
    assert_waits(world.marked(nonce, since), 5 * SECOND);
    world.clock.advance(5 * SECOND);
    assert!(matches!(world.marked(nonce, since), Decision::Present { replay: true }));
}

#[test]
fn a_mark_is_watched_again_after_the_store_was_down() {
    let world = World::new();
    let (nonce, since) = (Nonce::random(), world.now());
    world.watch(29, nonce, since);
    world.presentations.store_failed(KEY, FIRST);
    world.clock.advance(SECOND);
    assert_waits(world.marked(nonce, since), 4 * SECOND);
}

#[test]
fn a_mark_from_the_future_ages_from_when_it_is_first_seen() {
    let world = World::new();
    let (nonce, since) = (Nonce::random(), world.now() + 24 * 60 * LIFE);
    assert_waits(world.marked(nonce, since), DEADLINE);
    world.watch(29, nonce, since);
    assert_waits(world.marked(nonce, since), SECOND);
    world.clock.advance(SECOND);
    assert!(matches!(world.marked(nonce, since), Decision::Present { replay: true }));
}

#[test]
fn a_wall_clock_that_is_set_back_does_not_make_a_mark_younger() {
    let world = World::new();
    let (nonce, since) = (Nonce::random(), world.now());
    assert_waits(world.marked(nonce, since), DEADLINE);
    world.clock.jump_wall(-3600);
    world.watch(29, nonce, since);
    let found = world.found(RecordState::Presenting { since }, nonce);
    assert_waits(world.presentations.decide(KEY, &found, None, true), SECOND);
}

#[test]
fn a_mark_of_ones_own_is_no_reason_to_wait() {
    let world = World::new();
    let nonce = Nonce::random();
    world.presentations.marking(KEY, FIRST, nonce, false);
    assert!(matches!(world.marked(nonce, world.now()), Decision::Present { replay: false }));
}

#[test]
fn without_replay_a_doubt_ends_the_login() {
    let world = World::new();
    world.present();
    let found = world.found(RecordState::Live, Nonce::random());
    assert!(matches!(world.presentations.decide(KEY, &found, None, false), Decision::GiveUp));
}

#[test]
fn a_store_behind_the_cache_counts_as_a_doubt() {
    let world = World::new();
    let found = world.found(RecordState::Live, Nonce::random());
    let ahead = GrantTokens::sample(2, world.now(), SECOND);
    let ahead = CachedToken::new(KEY, &ahead, world.clock.clock().moment());
    let decide = || world.presentations.decide(KEY, &found, Some(&ahead), true);
    assert!(matches!(decide(), Decision::Refuse(_)), "its access token is still good");
    world.clock.advance(SECOND);
    assert!(matches!(decide(), Decision::Present { replay: true }));
}

#[test]
fn a_newer_generation_begins_without_a_doubt() {
    let world = World::new();
    world.present();
    world.presentations.marking(KEY, FIRST.next(), Nonce::random(), false);
    assert!(!world.presentations.is_paused(KEY, FIRST, true), "forgotten");
    // What is late to hear of the older one changes nothing.
    world.presentations.presenting(KEY, FIRST);
    assert!(!world.presentations.was_in_doubt(KEY, FIRST.next()));
    world.clock.advance(LONGEST_PAUSE);
    assert!(!world.presentations.is_paused(KEY, FIRST.next(), true));
}

#[test]
fn a_clock_of_the_store_that_is_set_forward_makes_no_mark_older() {
    let world = World::new();
    let (nonce, began) = (Nonce::random(), world.now());
    world.marked(nonce, began);
    // Another server takes over, and its clock is an hour ahead.
    world.clock.jump_wall(3600);
    for second in 1..DEADLINE.as_secs() {
        world.clock.advance(SECOND);
        assert!(matches!(world.marked(nonce, began), Decision::Wait(_)), "second {second}");
    }
    world.clock.advance(SECOND);
    assert!(matches!(world.marked(nonce, began), Decision::Present { replay: true }));
}

#[test]
fn a_settled_login_is_forgotten() {
    let world = World::new();
    world.present();
    world.marked(Nonce::random(), world.now());
    world.presentations.settled(KEY);
    assert!(world.presentations.by_login.is_empty() && world.presentations.seen_marks.is_empty());
}

#[test]
fn memory_is_bounded() {
    let world = World::new();
    let key = |nth: u128| RecordKey::from_bytes(nth.to_be_bytes());
    let (nonce, now) = (Nonce::random(), world.now());
    for nth in 0..(REMEMBERED as u128 + 10) {
        world.presentations.presenting(key(nth), FIRST);
        world.presentations.seen_marks.look(key(nth), nonce, now, now);
    }
    assert!(world.presentations.by_login.len() < 100);
    assert!(world.presentations.seen_marks.len() < 100);
}

fn assert_waits(decision: Decision, expected: Duration) {
    match decision {
        Decision::Wait(left) => assert_eq!(left, expected),
        other => panic!("{other:?} instead of a wait of {expected:?}"),
    }
}
