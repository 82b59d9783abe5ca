//! How many requests run at once, and how long the others wait.

use super::*;

#[tokio::test(start_paused = true)]
async fn so_many_at_once_so_many_wait_and_the_rest_fail_at_once() {
    let idp = Idp::holding_back();
    let (provider, _) = idp.provider(once().concurrent(2..=2).queue(3));
    let five = [(); 5].map(|()| start(&provider));
    settle().await;
    assert_eq!(idp.posts(), 2);
    assert_eq!(refusal(&fail(&provider).await), ("queue is full", None));

    idp.answer(1);
    settle().await;
    assert_eq!(idp.posts(), 3, "the next one has its turn");
    idp.answer(4);
    for request in five {
        assert!(request.await.unwrap().is_ok());
    }
    assert_eq!(idp.posts(), 5);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_turn_longer_than_a_request_may_take() {
    let idp = Idp::holding_back();
    let (provider, _) = idp.provider(ProviderLimits::default().attempts(3).concurrent(1..=1));
    let started = tokio_now();
    let mut requests = Vec::new();
    for _ in 0..3 {
        requests.push(start(&provider));
        settle().await;
        tokio::time::advance(SECOND).await;
    }
    let third = requests.pop().unwrap().await.unwrap().unwrap_err();
    assert_eq!(refusal(&third), ("waited in the queue", None));
    assert_eq!(
        tokio_now() - started,
        SECOND * 17,
        "the second had its turn at 15 s and takes until 30 s"
    );
    assert_eq!(idp.posts(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_waited_while_the_breaker_opened_is_not_sent() {
    let idp = Idp::holding_back();
    idp.set(503);
    let (provider, _) = idp.provider(once().concurrent(1..=1).breaker_failures(1));
    let (_first, second) = (start(&provider), start(&provider));
    settle().await;
    idp.answer(2);
    assert_eq!(refusal(&second.await.unwrap().unwrap_err()).0, "breaker is open");
    assert_eq!(idp.posts(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_does_not_wait_for_a_turn_first() {
    let idp = Idp::holding_back();
    idp.set(503);
    idp.answer(1);
    let (provider, hand) = idp.provider(once().concurrent(1..=1).breaker_failures(1));
    fail(&provider).await;
    hand.advance(SECOND);
    let _probe = start(&provider);
    settle().await;
    let started = tokio_now();
    assert_eq!(refusal(&fail(&provider).await).0, "another request");
    assert_eq!((tokio_now() - started, idp.posts()), (Duration::ZERO, 2));
}
