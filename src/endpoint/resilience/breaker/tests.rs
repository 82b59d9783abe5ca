//! Each row of the tables, and what must hold for every order of events.

use proptest::prelude::*;

use super::*;

const DOWN: Signal = Signal::Down { retry_after: None, login: None };
/// The random number for which a pause lasts its whole step.
const WHOLE: u32 = u32::MAX;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn breaker() -> Breaker {
    Breaker::new(BreakerSettings { failures: 3, first_pause: secs(1), longest_pause: secs(5) })
}

fn of(login: u8) -> Fingerprint {
    Fingerprint::of(&login.to_string())
}

/// Starts and ends one request at `now`. Returns true if it opened the breaker.
fn request(breaker: &mut Breaker, sign: Signal, now: Duration) -> bool {
    let ticket = breaker.admit(now).expect("it passes");
    breaker.record(ticket, sign, now, WHOLE)
}

/// A breaker that opened at `now`, for 1 s.
fn opened(now: Duration) -> Breaker {
    let mut breaker = breaker();
    let openings = [(); 3].map(|()| request(&mut breaker, DOWN, now));
    assert_eq!(openings, [false, false, true]);
    breaker
}

#[test]
fn failures_in_a_row_open_it_and_an_answer_between_them_does_not_let_them() {
    let mut breaker = breaker();
    for sign in [DOWN, DOWN, Signal::Up, DOWN, DOWN, Signal::Nothing, Signal::Up, DOWN, DOWN] {
        assert!(!request(&mut breaker, sign, secs(1)));
    }
    assert!(request(&mut breaker, DOWN, secs(1)));
    assert_eq!(breaker.admit(secs(1)), Err(BreakerRefusal::Open { rest: secs(1) }));
    assert_eq!(
        breaker.check(Duration::from_millis(1900)),
        Err(BreakerRefusal::Open { rest: Duration::from_millis(100) })
    );
}

#[test]
fn after_the_pause_exactly_one_request_tries() {
    let mut breaker = opened(secs(10));
    let probe = breaker.admit(secs(11)).unwrap();
    assert_eq!(breaker.admit(secs(11)), Err(BreakerRefusal::HalfOpen { rest: secs(1) }));
    assert_eq!(breaker.check(secs(15)), Err(BreakerRefusal::HalfOpen { rest: secs(1) }));
    breaker.record(probe, Signal::Up, secs(15), WHOLE);
    assert!(breaker.admit(secs(15)).is_ok() && breaker.admit(secs(15)).is_ok());
}

#[test]
fn a_probe_that_hangs_keeps_nobody_from_trying_for_longer_than_the_longest_pause() {
    let mut breaker = opened(secs(10));
    let hangs = breaker.admit(secs(11)).unwrap();
    assert_eq!(
        breaker.check(Duration::from_millis(15_900)),
        Err(BreakerRefusal::HalfOpen { rest: Duration::from_millis(100) })
    );
    let next = breaker.admit(secs(16)).unwrap();
    assert!(breaker.admit(secs(16)).is_err(), "one at a time");
    assert!(
        !breaker.record(hangs, DOWN, secs(17), WHOLE),
        "that the first one failed says nothing new"
    );
    assert!(breaker.admit(secs(17)).is_err());
    breaker.record(next, Signal::Up, secs(17), WHOLE);
    assert!(breaker.admit(secs(17)).is_ok() && breaker.admit(secs(17)).is_ok());
}

#[test]
fn a_probe_that_fails_doubles_the_pause_up_to_the_longest_and_a_success_forgets_it() {
    let mut breaker = opened(secs(0));
    let mut now = secs(1);
    for pause in [2, 4, 5, 5] {
        assert!(request(&mut breaker, DOWN, now));
        assert_eq!(breaker.check(now), Err(BreakerRefusal::Open { rest: secs(pause) }));
        now += secs(pause);
    }
    request(&mut breaker, Signal::Up, now);
    for _ in 0..3 {
        request(&mut breaker, DOWN, now);
    }
    assert_eq!(breaker.check(now), Err(BreakerRefusal::Open { rest: secs(1) }));
}

#[test]
fn a_probe_that_ends_without_a_word_leaves_its_place_to_the_next() {
    let mut breaker = opened(secs(0));
    let gone = breaker.admit(secs(1)).unwrap();
    assert!(!breaker.record(gone, Signal::Nothing, secs(2), WHOLE));
    let next = breaker.admit(secs(2)).unwrap();
    assert!(breaker.admit(secs(2)).is_err());
    assert!(breaker.record(next, DOWN, secs(2), WHOLE));
    assert_eq!(
        breaker.check(secs(2)),
        Err(BreakerRefusal::Open { rest: secs(2) }),
        "it has still opened twice"
    );
}

#[test]
fn what_hung_before_says_nothing_of_the_provider_that_came_back() {
    let mut breaker = breaker();
    let hung = [(); 9].map(|()| breaker.admit(secs(0)).unwrap());
    let (first, late) = hung.split_at(3);
    for ticket in first {
        breaker.record(*ticket, DOWN, secs(15), WHOLE);
    }
    assert!(!breaker.record(late[0], DOWN, secs(15), WHOLE), "opened once, not twice");
    let probe = breaker.admit(secs(16)).unwrap();
    assert!(!breaker.record(late[1], DOWN, secs(16), WHOLE), "not the probe's failure");
    assert!(!breaker.record(late[2], Signal::Nothing, secs(16), WHOLE));
    assert!(breaker.admit(secs(16)).is_err(), "nor its end");
    breaker.record(probe, Signal::Up, secs(16), WHOLE);
    for ticket in &late[3..] {
        assert!(!breaker.record(*ticket, DOWN, secs(17), WHOLE));
    }
    assert!(breaker.admit(secs(17)).is_ok());
}

#[test]
fn a_late_answer_closes_it() {
    let mut breaker = breaker();
    let slow = breaker.admit(secs(0)).unwrap();
    for _ in 0..3 {
        request(&mut breaker, DOWN, secs(1));
    }
    breaker.record(slow, Signal::Up, secs(1), WHOLE);
    assert!(breaker.admit(secs(1)).is_ok());
}

#[test]
fn a_retry_after_bars_everybody_until_then_whatever_the_state() {
    let wait = |secs_| Signal::Down { retry_after: Some(secs(secs_)), login: None };
    let mut breaker = breaker();
    let other = breaker.admit(secs(0)).unwrap();
    assert!(!request(&mut breaker, wait(7), secs(0)), "one failure opens nothing");
    assert_eq!(breaker.admit(secs(5)), Err(BreakerRefusal::RetryAfter { rest: secs(2) }));
    breaker.record(other, wait(1), secs(5), WHOLE);
    assert_eq!(
        breaker.check(secs(6)),
        Err(BreakerRefusal::RetryAfter { rest: secs(1) }),
        "the longer one counts"
    );
    assert!(
        breaker.admit(secs(7)).is_ok() && breaker.admit(secs(7)).is_ok(),
        "then all may ask again"
    );

    assert!(request(&mut breaker, wait(60), secs(10)));
    assert_eq!(
        breaker.check(secs(12)),
        Err(BreakerRefusal::Open { rest: secs(58) }),
        "longer than the pause"
    );
    let probe = breaker.admit(secs(70)).unwrap();
    breaker.record(probe, Signal::Nothing, secs(70), WHOLE);
    assert!(breaker.admit(secs(70)).is_ok());
}

#[test]
fn what_two_logins_meet_again_and_again_does_not_open_it_and_a_third_login_does() {
    let failed = |login| Signal::Down { retry_after: None, login: Some(of(login)) };
    let mut breaker = breaker();
    for _ in 0..20 {
        assert!(!request(&mut breaker, failed(1), secs(1)));
        assert!(!request(&mut breaker, failed(2), secs(1)));
    }
    assert!(request(&mut breaker, failed(3), secs(1)));
}

#[test]
fn what_one_login_meets_counts_where_the_endpoint_fails_as_well() {
    let failed = Signal::Down { retry_after: None, login: Some(of(1)) };
    let mut breaker = breaker();
    assert!(!request(&mut breaker, DOWN, secs(1)));
    assert!(!request(&mut breaker, failed, secs(1)));
    assert!(request(&mut breaker, failed, secs(1)));
}

#[test]
fn a_provider_that_says_later_is_up() {
    let mut breaker = opened(secs(10));
    assert!(!request(&mut breaker, Signal::Later(secs(2)), secs(11)));
    assert_eq!(breaker.check(secs(12)), Err(BreakerRefusal::RetryAfter { rest: secs(1) }));
    assert!(breaker.admit(secs(13)).is_ok() && breaker.admit(secs(13)).is_ok());
}

#[test]
fn a_pause_is_between_a_half_and_the_whole_of_its_step() {
    assert_eq!(jittered(secs(8), 0), secs(4));
    assert_eq!(jittered(secs(8), WHOLE), secs(8));
    assert!((secs(4)..secs(8)).contains(&jittered(secs(8), WHOLE / 2)));
    for random in [0, 1, WHOLE] {
        assert!(jittered(Duration::from_nanos(1), random) <= Duration::from_nanos(1));
    }
}

#[derive(Debug, Clone)]
enum Event {
    Enter,
    Settle { which: prop::sample::Index, sign: Signal },
    Pass(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let sign = prop_oneof![
        Just(Signal::Up),
        Just(Signal::Nothing),
        Just(DOWN),
        Just(DOWN),
        Just(DOWN),
        (0..3_u64).prop_map(|wait| Signal::Down { retry_after: Some(secs(wait)), login: None }),
        (0..3_u8).prop_map(|login| Signal::Down { retry_after: None, login: Some(of(login)) }),
        (0..3_u64).prop_map(|wait| Signal::Later(secs(wait))),
    ];
    let event = prop_oneof![
        Just(Event::Enter),
        (any::<prop::sample::Index>(), sign)
            .prop_map(|(which, sign)| Event::Settle { which, sign }),
        (0..3_u64).prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 0..200)
}

proptest! {
    #[test]
    fn a_retry_after_is_kept_one_probe_runs_and_nobody_is_barred_for_ever(events in events(), random: u32) {
        let mut breaker = breaker();
        let (mut now, mut not_before) = (secs(0), secs(0));
        let mut under_way: Vec<Ticket> = Vec::new();
        for event in events {
            match event {
                Event::Enter => {
                    let before = breaker.state;
                    match breaker.admit(now) {
                        Ok(ticket) => {
                            prop_assert!(now >= not_before);
                            if let State::HalfOpen { since } = before {
                                prop_assert!(now >= since + secs(5), "a second probe");
                            }
                            under_way.push(ticket);
                        }
                        Err(BreakerRefusal::Open { rest } | BreakerRefusal::RetryAfter { rest } | BreakerRefusal::HalfOpen { rest }) => {
                            prop_assert!(!rest.is_zero() && rest <= secs(5));
                        }
                    }
                }
                Event::Settle { which, sign } if !under_way.is_empty() => {
                    let ticket = under_way.swap_remove(which.index(under_way.len()));
                    breaker.record(ticket, sign, now, random);
                    if let Signal::Down { retry_after: Some(wait), login: None } | Signal::Later(wait) = sign {
                        not_before = not_before.max(now + wait);
                    }
                }
                Event::Settle { .. } => {}
                Event::Pass(by) => now += secs(by),
            }
        }
        for ticket in under_way {
            breaker.record(ticket, Signal::Nothing, now, random);
        }
        prop_assert!(breaker.admit(now + secs(5)).is_ok());
    }
}

/// It is the next one's turn at once, or one user with a token that always fails holds up everybody.
#[test]
fn a_probe_that_fails_for_its_login_alone_leaves_its_place_to_the_next() {
    let failed = |login| Signal::Down { retry_after: None, login: Some(of(login)) };
    let mut breaker = opened(secs(10));
    for _ in 0..5 {
        assert!(!request(&mut breaker, failed(1), secs(11)));
    }
    assert!(request(&mut breaker, failed(2), secs(11)), "not one user's trouble");
    assert_eq!(breaker.check(secs(11)), Err(BreakerRefusal::Open { rest: secs(2) }));
    request(&mut breaker, failed(1), secs(13));
    request(&mut breaker, Signal::Up, secs(13));
    assert!(breaker.admit(secs(13)).is_ok() && breaker.admit(secs(13)).is_ok());
}

#[test]
fn the_retry_after_of_one_logins_500_holds_back_nobody_else() {
    let mut breaker = breaker();
    let told = Signal::Down { retry_after: Some(secs(120)), login: Some(of(1)) };
    request(&mut breaker, told, secs(1));
    assert!(breaker.check(secs(1)).is_ok());
}
