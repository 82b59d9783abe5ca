//! One request for all who need a token, and none while there is a good one.

use std::{
    collections::HashSet,
    sync::{Arc, Barrier},
    time::Duration,
};

use support::{LIFE, settle};
use tower_token_refresh::{RefreshErrorKind, ServiceTokens, testing::Endpoint};

use crate::{SECOND, Service, endpoint};

#[tokio::test]
async fn all_who_ask_at_once_share_one_request() {
    let service = Service::new();
    let gate = service.issuer.gate_before(Endpoint::Token);
    let callers: Vec<_> = (0..100).map(|_| service.ask()).collect();
    gate.reached().await;
    settle().await;
    gate.open();
    let mut tokens = HashSet::new();
    for caller in callers {
        tokens.insert(caller.await.unwrap().expect("a token").secret().to_owned());
    }
    assert_eq!((service.requests(), tokens.len()), (1, 1));
    assert!(service.issuer.is_access_token_live(tokens.iter().next().unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_threads_fetch_once_and_each_request_has_a_header_of_its_own() {
    let service = Service::new();
    let barrier = Arc::new(Barrier::new(100));
    let runtime = tokio::runtime::Handle::current();
    let threads: Vec<_> = (0..100)
        .map(|_| {
            let (tokens, barrier, runtime) =
                (service.tokens.clone(), barrier.clone(), runtime.clone());
            std::thread::spawn(move || {
                barrier.wait();
                let token = runtime.block_on(tokens.token()).expect("a token");
                let mut request = http::Request::new(());
                request.headers_mut().insert("authorization", token.header());
                request
            })
        })
        .collect();
    let requests: Vec<_> = tokio::task::spawn_blocking(move || {
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
    .await
    .unwrap();
    assert_eq!(service.requests(), 1);
    for request in requests {
        assert!(request.headers()["authorization"].is_sensitive());
    }
}

#[tokio::test]
async fn a_fresh_token_costs_no_request_and_an_expired_one_costs_one() {
    let service = Service::new();
    let first = service.token().await;
    assert_eq!(service.token().await, first);
    service.clock.advance(LIFE);
    assert_ne!(service.token().await, first);
    assert_eq!(service.requests(), 2);
}

/// More of them than a thread has places for what is lent to it.
#[tokio::test]
async fn a_token_in_hand_stays_what_it_is_when_the_next_one_comes_and_its_source_is_gone() {
    let service = Service::new();
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(service.tokens.token().await.expect("a token"));
    }
    held.push(held[0].clone());
    let first = held[0].secret().to_owned();
    service.clock.advance(LIFE);
    assert_ne!(service.token().await, first);
    drop(service);
    let dropped_elsewhere = std::thread::spawn(move || {
        assert!(held.iter().all(|token| token.secret() == first));
    });
    assert!(dropped_elsewhere.join().is_ok());
}

/// Where there is none, no clock is so wrong that one seems to be there.
#[tokio::test]
async fn long_before_1970_no_token_is_still_no_token() {
    let service = Service::new();
    service.clock.jump_wall(-200 * 365 * 24 * 3600);
    let token = service.token().await;
    assert!(service.issuer.is_access_token_live(&token));
    assert_eq!(service.requests(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_stops_nothing() {
    let service = Service::new();
    let gate = service.issuer.gate_after(Endpoint::Token);
    let leaver = service.ask();
    gate.reached().await;
    let stayer = service.ask();
    settle().await;
    leaver.abort();
    assert!(leaver.await.unwrap_err().is_cancelled());
    gate.open();
    assert!(stayer.await.unwrap().is_ok());
    assert_eq!(service.requests(), 1);
}

#[tokio::test]
async fn near_its_end_a_token_is_fetched_in_the_background_and_nobody_waits() {
    let service = Service::new();
    let first = service.token().await;
    // Half of its life is the window, and its first half the moments to begin.
    service.clock.advance(LIFE * 3 / 4 + SECOND);
    let gate = service.issuer.gate_before(Endpoint::Token);
    assert_eq!(service.token().await, first);
    gate.reached().await;
    assert_eq!(service.token().await, first, "it is still good");
    gate.open();
    settle().await;
    assert_ne!(service.token().await, first);
    assert_eq!(service.requests(), 2);
}

#[tokio::test]
async fn processes_that_have_begun_together_do_not_fetch_together() {
    let service = Service::new();
    let processes: Vec<_> = (0..20)
        .map(|_| {
            let builder = ServiceTokens::builder(endpoint(&service.issuer, "secret"));
            builder.clock(service.clock.clock()).build().expect("the settings agree")
        })
        .collect();
    for process in &processes {
        process.warm_up().await.expect("a token");
    }
    service.clock.advance(LIFE / 2);
    let mut most_at_once = 0;
    for _ in 0..17 {
        let before = service.requests();
        for process in &processes {
            process.token().await.expect("a token");
            settle().await;
        }
        most_at_once = most_at_once.max(service.requests() - before);
        service.clock.advance(SECOND);
    }
    assert_eq!(service.requests(), 40, "each has fetched its second token early");
    assert!(most_at_once < 12, "{most_at_once} of 20 in one second");
}

#[tokio::test]
async fn all_who_were_refused_with_one_token_share_one_request_and_late_ones_need_none() {
    let service = Service::new();
    let rejected = service.tokens.token().await.expect("a token");
    let gate = service.issuer.gate_before(Endpoint::Token);
    let ask = || {
        let (tokens, rejected) = (service.tokens.clone(), rejected.clone());
        tokio::spawn(async move { tokens.newer_than(&rejected).await })
    };
    let callers: Vec<_> = (0..50).map(|_| ask()).collect();
    gate.reached().await;
    settle().await;
    gate.open();
    for caller in callers {
        let newer = caller.await.unwrap().expect("a newer token");
        assert_ne!(newer.secret(), rejected.secret());
    }
    ask().await.unwrap().expect("the newer token");
    assert_eq!(service.requests(), 2);
}

#[tokio::test]
async fn another_sources_token_says_nothing_about_ours() {
    let (service, other) = (Service::new(), Service::new());
    service.token().await;
    let foreign = other.tokens.token().await.expect("a token");
    let other_target = tower_token_refresh::TokenTarget::new().scope("email");
    let sibling = service.tokens.for_target(other_target).expect("a scope");
    let siblings = sibling.token().await.expect("a token");
    let before = service.requests();
    service.tokens.newer_than(&siblings).await.expect("ours");
    assert_eq!(service.requests(), before);
    service.tokens.newer_than(&foreign).await.expect("ours");
    assert_eq!(service.requests(), before);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_so_long_and_the_request_goes_on_without_it() {
    let service = Service::with(|issuer| issuer, |tokens| tokens.wait_timeout(2 * SECOND));
    let gate = service.issuer.gate_after(Endpoint::Token);
    let error = service.tokens.token().await.expect_err("it takes longer");
    assert_eq!(error.kind(), RefreshErrorKind::WaitTimeout);
    assert!(error.retry_after().is_some());
    gate.open();
    settle().await;
    service.token().await;
    assert_eq!(service.requests(), 1, "the request went on");
}

#[tokio::test]
async fn a_token_without_a_lifetime_is_fetched_anew_after_the_fallback() {
    let service = Service::with(
        |issuer| issuer.opaque_access_tokens(true).access_token_lifetime(100 * LIFE),
        |tokens| tokens.fallback_lifetime(Duration::from_secs(120)),
    );
    service.issuer.omit_expires_in_next();
    let first = service.token().await;
    service.clock.advance(Duration::from_secs(50));
    assert_eq!(service.token().await, first);
    service.clock.advance(Duration::from_secs(70));
    assert_ne!(service.token().await, first);
}

#[tokio::test]
async fn warming_up_finds_a_wrong_secret_and_saves_the_first_call_its_request() {
    let service = Service::new();
    service.tokens.warm_up().await.expect("a token");
    service.token().await;
    assert_eq!(service.requests(), 1);
    let wrong = ServiceTokens::builder(endpoint(&service.issuer, "wr0ng")).build().unwrap();
    let error = wrong.warm_up().await.expect_err("the secret is wrong");
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
    assert!(error.to_string().contains("client_credentials"), "{error}");
}

#[tokio::test]
async fn whoever_was_refused_late_does_not_wait_for_a_flight_in_the_background() {
    let service = Service::new();
    let old = service.tokens.token().await.expect("a token");
    let newer = service.tokens.newer_than(&old).await.expect("a newer one");
    service.clock.advance(LIFE - 10 * SECOND);
    let gate = service.issuer.gate_before(Endpoint::Token);
    service.token().await;
    gate.reached().await;
    let late = service.tokens.newer_than(&old).await.expect("the newer one is still good");
    assert_eq!(late.secret(), newer.secret());
}
