//! The application's own source.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use support::settle;
use tokio::sync::Semaphore;
use tower_token_refresh::{
    Clock, RefreshErrorKind, ServiceTokens, TokenSet, TokenSetError, TokenSource, TokenTarget,
};

use crate::Service;

fn set(name: &str) -> Result<TokenSet, TokenSetError> {
    TokenSet::from_json(format!(r#"{{"access_token":"{name}","expires_in":300}}"#))
}

#[tokio::test]
async fn it_is_asked_once_for_all_who_wait_and_told_the_target() {
    let (asked, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (counter, latch) = (asked.clone(), gate.clone());
    let tokens = ServiceTokens::from_fn(move |target: TokenTarget| {
        let call = counter.fetch_add(1, Ordering::SeqCst);
        let latch = latch.clone();
        async move {
            latch.acquire().await.expect("it is never closed").forget();
            assert_eq!(target, TokenTarget::new().scope("mail"));
            set(&format!("token-{call}"))
        }
    });
    let tokens = tokens.for_target(TokenTarget::new().scope("mail")).unwrap();
    let callers: Vec<_> = (0..10)
        .map(|_| {
            let tokens = tokens.clone();
            tokio::spawn(async move { tokens.token().await })
        })
        .collect();
    settle().await;
    gate.add_permits(1);
    for caller in callers {
        assert_eq!(caller.await.unwrap().expect("a token").secret(), "token-0");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn its_error_is_the_source_and_the_next_call_asks_again() {
    let calls = AtomicUsize::new(0);
    let tokens = ServiceTokens::from_fn(move |_| {
        let call = calls.fetch_add(1, Ordering::SeqCst);
        async move {
            if call == 0 {
                Err("the vault is sealed".into())
            } else {
                Ok::<_, tower::BoxError>(set("b")?)
            }
        }
    });
    let error = tokens.token().await.expect_err("the first call fails");
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(error.source().expect("a source").to_string(), "the vault is sealed");
    assert_eq!(tokens.token().await.expect("a token").secret(), "b");
}

#[tokio::test]
async fn an_error_of_another_source_stays_what_it_is() {
    let inner = Service::new();
    inner.issuer.fail_next(200, "<html>");
    let tokens = ServiceTokens::from_fn(move |_| {
        let inner = inner.tokens.clone();
        async move { inner.token().await.map(|_| unreachable!("it fails")) }
    });
    let error = tokens.token().await.expect_err("the inner source fails");
    assert_eq!(error.kind(), RefreshErrorKind::InvalidResponse);
}

#[tokio::test]
async fn a_panic_is_told_to_all_who_wait_and_the_next_call_asks_again() {
    let calls = AtomicUsize::new(0);
    let tokens = ServiceTokens::from_fn(move |_| {
        let call = calls.fetch_add(1, Ordering::SeqCst);
        async move {
            assert_ne!(call, 0, "on purpose");
            set("b")
        }
    });
    let (one, two) = tokio::join!(tokens.token(), tokens.token());
    for error in [one.unwrap_err(), two.unwrap_err()] {
        assert_eq!(error.kind(), RefreshErrorKind::Internal);
    }
    assert_eq!(tokens.token().await.expect("a token").secret(), "b");
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_given_up_and_the_next_call_asks_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let tokens = ServiceTokens::from_fn(move |_| {
        let call = counter.fetch_add(1, Ordering::SeqCst);
        async move {
            if call == 0 {
                std::future::pending::<()>().await;
            }
            set("b")
        }
    });
    let mut kinds = Vec::new();
    let token = loop {
        match tokens.token().await {
            Ok(token) => break token,
            Err(error) => kinds.push(error.kind()),
        }
    };
    assert_eq!(token.secret(), "b");
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert_eq!(kinds.pop(), Some(RefreshErrorKind::Unavailable), "the limit of the hung call");
    assert!(kinds.len() < 7 && kinds.iter().all(|kind| *kind == RefreshErrorKind::WaitTimeout));
}

#[tokio::test]
async fn nothing_is_left_when_it_is_dropped() {
    let held = Arc::new(());
    let inside = held.clone();
    let tokens = ServiceTokens::from_fn(move |_| {
        let _held = inside.clone();
        async { set("a") }
    });
    let other = tokens.for_target(TokenTarget::new().scope("mail")).unwrap();
    tokens.token().await.expect("a token");
    other.token().await.expect("a token");
    settle().await;
    drop((tokens, other));
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test]
async fn it_is_a_source_for_whoever_takes_any() {
    let any: Arc<dyn TokenSource> = Arc::new(ServiceTokens::from_fn(|_| async { set("a") }));
    assert_eq!(any.token().await.expect("a token").secret(), "a");
    assert!(!format!("{any:?}").contains("\"a\""));
}

#[tokio::test]
async fn one_that_brings_expired_tokens_is_paused_like_one_that_refuses() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let tokens = ServiceTokens::from_fn(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { set("a").map(|set| set.with_obtained_at(SystemTime::UNIX_EPOCH)) }
    });
    for _ in 0..100 {
        let error = tokens.token().await.expect_err("it has expired");
        assert_eq!(error.kind(), RefreshErrorKind::InvalidResponse);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn one_that_panics_or_fails_while_the_token_is_still_good_is_asked_in_pauses() {
    for panics in [true, false] {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = calls.clone();
        // Its first token is due soon, and good for longer than the leeway.
        let obtained_at = Clock::system().now() - Duration::from_secs(275);
        let tokens = ServiceTokens::from_fn(move |_| {
            let call = counter.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(call == 0 || !panics, "on purpose");
                if call > 0 {
                    return Err(tower::BoxError::from("it fails"));
                }
                Ok(set("a")?.with_obtained_at(obtained_at))
            }
        });
        for _ in 0..50 {
            tokens.token().await.expect("it is still good");
            settle().await;
        }
        assert_eq!(calls.load(Ordering::SeqCst), 2, "panics: {panics}");
    }
}
