//! Each row of the table.

use std::{task::Poll, time::SystemTime};

use super::*;
use crate::endpoint::test_support::Hand;

const SECOND: Duration = Duration::from_secs(1);
const WAIT: Duration = Duration::from_secs(10);

fn bulkhead(bounds: RangeInclusive<usize>) -> (Bulkhead, Hand) {
    let hand = Hand::default();
    (Bulkhead::new(bounds, 1000, Clock::new(hand.clone())), hand)
}

async fn take(bulkhead: &Bulkhead, requests: usize) -> Vec<Permit<'_>> {
    let mut permits = Vec::new();
    for _ in 0..requests {
        permits.push(bulkhead.acquire(Duration::ZERO).await.expect("room"));
    }
    permits
}

/// How many requests get a turn now, without waiting.
async fn room(bulkhead: &Bulkhead) -> usize {
    let mut permits = Vec::new();
    while let Ok(Ok(permit)) =
        timeout_at(sleep(Duration::ZERO).deadline(), bulkhead.acquire(Duration::ZERO)).await
    {
        permits.push(permit);
    }
    permits.len()
}

#[tokio::test(start_paused = true)]
async fn it_begins_with_64_within_its_bounds() {
    for (bounds, first) in [(4..=256, 64), (1..=10, 10), (100..=200, 100), (7..=7, 7)] {
        assert_eq!(room(&bulkhead(bounds).0).await, first);
    }
}

#[tokio::test(start_paused = true)]
async fn it_grows_by_8_each_50_ms_while_requests_wait_for_a_provider_that_refuses_nobody() {
    let (bulkhead, _) = bulkhead(4..=256);
    let running = take(&bulkhead, 64).await;
    let started = sleep(Duration::ZERO).deadline();
    let waiting: Vec<_> = (0..100).map(|_| bulkhead.acquire(WAIT)).collect();
    let mut turns = Vec::new();
    let timed = futures_util::future::join_all(waiting.into_iter().map(|turn| async {
        let permit = turn.await.expect("its turn");
        (sleep(Duration::ZERO).deadline() - started, permit)
    }));
    for (took, permit) in timed.await {
        turns.push(took.as_millis() / 50);
        drop(permit);
    }
    assert_eq!(turns[..8], [1; 8]);
    assert_eq!(turns[8..16], [2; 8]);
    assert!(turns.is_sorted() && turns[99] == 13, "{turns:?}");
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn it_grows_to_its_upper_bound_and_no_further() {
    let (bulkhead, _) = bulkhead(4..=70);
    let running = take(&bulkhead, 64).await;
    let waiting: Vec<_> = (0..10).map(|_| bulkhead.acquire(SECOND)).collect();
    let (got, late): (Vec<_>, Vec<_>) =
        futures_util::future::join_all(waiting).await.into_iter().partition(Result::is_ok);
    assert_eq!((got.len(), late.len()), (6, 4));
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_burst_finds_out_how_many_run_at_once() {
    let (bulkhead, hand) = bulkhead(4..=256);
    let mut running = take(&bulkhead, 64).await;
    // The provider takes 10 and refuses 54.
    for refused in running.split_off(10) {
        refused.learn(Load::TooMuch);
    }
    assert_eq!(bulkhead.state().limit, 10);
    assert_eq!(room(&bulkhead).await, 0, "10 run");
    hand.advance(CALM - Duration::from_nanos(1));
    assert!(bulkhead.acquire(SECOND).await.is_err(), "it does not grow by waiting");
    drop(running);
    assert_eq!(room(&bulkhead).await, 10);
    hand.advance(Duration::from_nanos(1));
    let _running = take(&bulkhead, 10).await;
    assert!(bulkhead.acquire(SECOND).await.is_ok(), "calm again");
}

#[tokio::test(start_paused = true)]
async fn after_a_refusal_it_grows_by_one_for_as_many_answers_as_the_limit() {
    let (bulkhead, _) = bulkhead(1..=256);
    for refused in take(&bulkhead, 64).await.split_off(3) {
        refused.learn(Load::TooMuch);
    }
    let limit = || bulkhead.state().limit;
    let before = limit();
    let mut running = take(&bulkhead, before).await;
    let mut waits = std::pin::pin!(bulkhead.acquire(WAIT));
    assert!(futures_util::poll!(waits.as_mut()).is_pending());
    for _ in 1..before {
        running[0].learn(Load::Answered);
    }
    assert_eq!(limit(), before);
    running[0].learn(Load::Answered);
    assert_eq!(limit(), before + 1);
    drop(running.pop());
    assert!(waits.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_users_429_while_few_run_says_nothing_of_the_limit() {
    let (bulkhead, _) = bulkhead(4..=256);
    for _ in 0..10 {
        for refused in take(&bulkhead, 31).await {
            refused.learn(Load::TooMuch);
        }
    }
    assert_eq!(room(&bulkhead).await, 64);
}

#[tokio::test(start_paused = true)]
async fn it_never_falls_below_its_lower_bound() {
    let (bulkhead, _) = bulkhead(4..=256);
    for _ in 0..20 {
        let limit = bulkhead.state().limit;
        for refused in take(&bulkhead, limit).await {
            refused.learn(Load::TooMuch);
        }
    }
    assert_eq!(bulkhead.state().limit, 4);
    assert_eq!(room(&bulkhead).await, 4);
}

/// Two in flight took 6 s each, and two more wait: a fifth is turned away.
async fn turns_a_fifth_away(bulkhead: &Bulkhead) -> bool {
    let _running = take(bulkhead, 2).await;
    let (mut third, mut fourth) =
        (std::pin::pin!(bulkhead.acquire(WAIT)), std::pin::pin!(bulkhead.acquire(WAIT)));
    assert!(futures_util::poll!(third.as_mut()).is_pending());
    assert!(futures_util::poll!(fourth.as_mut()).is_pending());
    let mut fifth = std::pin::pin!(bulkhead.acquire(WAIT));
    match futures_util::poll!(fifth.as_mut()) {
        Poll::Ready(answer) => matches!(answer, Err(NoPermit::TooLate(_))),
        Poll::Pending => false,
    }
}

async fn slow_spell(bulkhead: &Bulkhead, hand: &Hand) {
    for _ in 0..20 {
        let running = take(bulkhead, 2).await;
        hand.advance(SECOND * 6);
        running.iter().for_each(|slow| slow.learn(Load::Answered));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_spell_turns_nobody_away_once_it_is_over() {
    let (bulkhead, hand) = bulkhead(2..=2);
    slow_spell(&bulkhead, &hand).await;
    assert!(turns_a_fifth_away(&bulkhead).await, "it is slow");
    hand.advance(SECOND * 10);
    assert!(!turns_a_fifth_away(&bulkhead).await, "it was slow long ago");

    slow_spell(&bulkhead, &hand).await;
    assert!(turns_a_fifth_away(&bulkhead).await, "it is slow again");
    for quick in take(&bulkhead, 2).await {
        quick.learn(Load::Answered);
    }
    assert!(!turns_a_fifth_away(&bulkhead).await, "it answers quickly");
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_too_long_hears_so_at_once() {
    let (bulkhead, hand) = bulkhead(2..=2);
    let running = take(&bulkhead, 2).await;
    hand.advance(SECOND * 6);
    running[0].learn(Load::Answered);
    let mut first = std::pin::pin!(bulkhead.acquire(WAIT));
    let mut second = std::pin::pin!(bulkhead.acquire(WAIT));
    assert!(futures_util::poll!(first.as_mut()).is_pending(), "after 6 s at the latest");
    assert!(futures_util::poll!(second.as_mut()).is_pending());
    let third = bulkhead.acquire(WAIT).await.err();
    assert_eq!(third, Some(NoPermit::TooLate(SECOND * 12)));
    drop(running);
    assert!(first.await.is_ok() && second.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_waiting_leaves_no_trace() {
    let (bulkhead, _) = bulkhead(1..=1);
    let running = take(&bulkhead, 1).await;
    for _ in 0..100 {
        let mut gone = Box::pin(bulkhead.acquire(WAIT));
        assert!(futures_util::poll!(gone.as_mut()).is_pending());
    }
    assert_eq!(bulkhead.state().waiting, 0);
    drop(running);
    assert_eq!((room(&bulkhead).await, bulkhead.state().in_flight), (1, 0));
    let epoch: SystemTime = SystemTime::UNIX_EPOCH;
    assert_eq!(bulkhead.clock.now(), epoch, "no real time has passed");
}

/// However it shrinks and grows, as many permits can be had as the limit says.
#[tokio::test(start_paused = true)]
async fn permits_and_limit_agree_after_any_order_of_events() {
    let (bulkhead, hand) = bulkhead(2..=40);
    let mut running = Vec::new();
    let mut dice = 1_u64;
    for _ in 0..20_000 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match dice >> 61 {
            0..=3 => {
                if let Ok(Ok(permit)) = timeout_at(
                    sleep(Duration::ZERO).deadline(),
                    bulkhead.acquire(Duration::from_millis(60)),
                )
                .await
                {
                    running.push(permit);
                }
            }
            4 => {
                if let Some(permit) = running.pop() {
                    permit.learn(Load::TooMuch);
                }
            }
            5 => hand.advance(SECOND),
            _ => {
                if !running.is_empty() {
                    let permit = running.remove(dice as usize % running.len());
                    permit.learn(Load::Answered);
                }
            }
        }
        assert_eq!(bulkhead.state().in_flight, running.len());
    }
    running.clear();
    let limit = bulkhead.state().limit;
    assert!((2..=40).contains(&limit));
    assert_eq!((room(&bulkhead).await, bulkhead.state().owed), (limit, 0));
}
