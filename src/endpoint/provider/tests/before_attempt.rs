//! When a refresh awaits the caller's `BeforeAttempt`, and what happens if it says no.

use async_trait::async_trait;

use super::{
    admission::{Idp, fail, once, open},
    *,
};
use crate::endpoint::attempt::Aborted;

const SECOND: Duration = Duration::from_secs(1);

/// Permits `permitted` attempts and counts its calls.
struct Hook {
    calls: usize,
    permitted: usize,
    takes: Duration,
}

impl Hook {
    fn permitting(permitted: usize) -> Self {
        Self { calls: 0, permitted, takes: Duration::ZERO }
    }
}

#[async_trait]
impl BeforeAttempt for Hook {
    async fn before_attempt(&mut self) -> Result<(), Aborted> {
        self.calls += 1;
        tokio::time::sleep(self.takes).await;
        if self.calls > self.permitted { Err(Aborted) } else { Ok(()) }
    }
}

async fn refresh(provider: &Provider, hook: &mut Hook) -> Result<Granted, RefreshFailure> {
    provider.refresh(&"rt".into(), None, hook).await
}

#[tokio::test(start_paused = true)]
async fn it_is_called_once_before_each_post() {
    let idp = Idp::new();
    idp.set(503);
    let (provider, _) = idp.provider(ProviderLimits::default().attempts(3));
    let mut hook = Hook::permitting(10);
    assert!(matches!(refresh(&provider, &mut hook).await, Err(RefreshFailure::Endpoint(_))));
    assert_eq!((hook.calls, idp.posts()), (3, 3));

    idp.set(200);
    let (provider, _) = idp.provider(ProviderLimits::default());
    let mut hook = Hook::permitting(10);
    assert!(refresh(&provider, &mut hook).await.is_ok());
    assert_eq!((hook.calls, idp.posts()), (1, 4));
}

#[tokio::test]
async fn it_is_called_after_discovery_and_not_if_that_fails() {
    let script = Script::default();
    let transport = script.answering(|_, turn| match turn {
        0 => answer(500, ""),
        1 => answer(
            200,
            json!({"issuer": "https://id.example", "token_endpoint": "https://id.example/t"})
                .to_string(),
        ),
        _ => answer(200, tokens().to_string()),
    });
    let endpoint = TokenEndpoint::discover("https://id.example", ClientAuth::none("app"))
        .limits(once())
        .transport(transport)
        .lazy();
    let provider = endpoint.validate().unwrap();
    let mut hook = Hook::permitting(0);
    assert!(matches!(refresh(&provider, &mut hook).await, Err(RefreshFailure::Endpoint(_))));
    assert_eq!((hook.calls, script.sent().len()), (0, 1));
    assert!(matches!(refresh(&provider, &mut hook).await, Err(RefreshFailure::Aborted)));
    assert_eq!((hook.calls, script.sent().len()), (1, 2), "the document, no token request");
}

#[tokio::test]
async fn it_is_not_called_while_the_breaker_is_open_or_the_token_is_dead() {
    let idp = Idp::new();
    let (provider, _) = idp.provider(once());
    open(&idp, &provider).await;
    let mut hook = Hook::permitting(1);
    assert!(matches!(refresh(&provider, &mut hook).await, Err(RefreshFailure::Endpoint(_))));
    assert_eq!(hook.calls, 0);

    let (provider, _) = idp.provider(once());
    idp.set(400);
    fail(&provider).await;
    assert!(matches!(refresh(&provider, &mut hook).await, Err(RefreshFailure::Endpoint(_))));
    assert_eq!(hook.calls, 0);
}

#[tokio::test]
async fn it_is_not_called_when_the_queue_is_full() {
    let idp = Idp::holding_back();
    let (provider, _) = idp.provider(once().concurrent(1..=1).queue(0));
    let running = admission::start(&provider);
    admission::settle().await;
    let mut hook = Hook::permitting(1);
    assert!(matches!(refresh(&provider, &mut hook).await, Err(RefreshFailure::Endpoint(_))));
    assert_eq!((hook.calls, idp.posts()), (0, 1));
    idp.answer(1);
    assert!(running.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_refresh_that_is_called_off_sends_nothing_and_leaves_the_breaker_closed() {
    let idp = Idp::new();
    let (provider, _) = idp.provider(once().concurrent(1..=1).queue(0));
    idp.set(0);
    for _ in 0..4 {
        fail(&provider).await;
    }
    for _ in 0..10 {
        let aborted = refresh(&provider, &mut Hook::permitting(0)).await;
        assert!(matches!(aborted, Err(RefreshFailure::Aborted)));
    }
    assert_eq!(idp.posts(), 4, "nothing was sent");
    fail(&provider).await;
    assert_eq!(idp.posts(), 5, "it counted as no failure, and its place is free");
    fail(&provider).await;
    assert_eq!(idp.posts(), 5, "it counted as no success either: this is the fifth in a row");
}

#[tokio::test]
async fn a_probe_that_is_called_off_leaves_the_test_to_the_next_request() {
    let idp = Idp::new();
    let (provider, hand) = idp.provider(once());
    open(&idp, &provider).await;
    hand.advance(SECOND);
    let posts = idp.posts();
    let aborted = refresh(&provider, &mut Hook::permitting(0)).await;
    assert!(matches!(aborted, Err(RefreshFailure::Aborted)));
    assert_eq!(idp.posts(), posts);
    idp.set(200);
    assert!(refresh(&provider, &mut Hook::permitting(1)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_second_attempt_can_be_called_off() {
    let idp = Idp::new();
    idp.set(503);
    let (provider, _) = idp.provider(ProviderLimits::default().attempts(3));
    let mut hook = Hook::permitting(1);
    assert!(matches!(refresh(&provider, &mut hook).await, Err(RefreshFailure::Aborted)));
    assert_eq!((hook.calls, idp.posts()), (2, 1));
}

/// The provider does not cancel it, because it may be in the middle of a write.
#[tokio::test(start_paused = true)]
async fn after_a_slow_one_nothing_is_sent_that_no_longer_fits() {
    let idp = Idp::new();
    let (provider, _) = idp.provider(once());
    let mut slow = Hook { takes: SECOND * 16, ..Hook::permitting(1) };
    let Err(RefreshFailure::Endpoint(error)) = refresh(&provider, &mut slow).await else {
        panic!("it was sent")
    };
    assert_eq!(error.kind(), &Kind::Unavailable { retry_after: None });
    assert!(everything_printed(&error).contains("too little time was left"));
    assert_eq!((slow.calls, idp.posts(), error.may_have_consumed()), (1, 0, false));
    let mut slow = Hook { takes: SECOND * 14, ..Hook::permitting(1) };
    assert!(refresh(&provider, &mut slow).await.is_ok());
}
