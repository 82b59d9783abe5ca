//! Resolvers that hang, panic, or are asked by several at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use support::{LIFE, settle};
use tokio::sync::Semaphore;
use tower_token_refresh::{
    ClientAuth, EndpointResolver, GrantHandle, RefreshError, RefreshErrorKind, TokenEndpoint,
    TokenRefresher, TokenSet,
    testing::{ManualClock, StrictIssuer},
    tower_sessions::MemoryStore,
};

use crate::{endpoint, issuer};

/// What the resolver does when it is asked for the first time.
#[derive(Clone, Copy)]
enum First {
    Hangs,
    Panics,
    FailsWhenTold,
}

struct Resolver {
    endpoint: TokenEndpoint,
    first: First,
    asked: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

#[async_trait]
impl EndpointResolver for Resolver {
    async fn endpoint(&self, _: &str) -> Result<Option<TokenEndpoint>, tower::BoxError> {
        if self.asked.fetch_add(1, Ordering::SeqCst) > 0 {
            return Ok(Some(self.endpoint.clone()));
        }
        match self.first {
            First::Hangs => std::future::pending().await,
            First::Panics => panic!("on purpose"),
            First::FailsWhenTold => {
                self.gate.acquire().await?.forget();
                Err("the database is down".into())
            }
        }
    }
}

struct Scene {
    red: StrictIssuer,
    clock: ManualClock,
    refresher: TokenRefresher,
    asked: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Scene {
    fn new(first: First) -> Self {
        Self::with(first, endpoint)
    }

    fn with(first: First, endpoint_of: impl FnOnce(&StrictIssuer) -> TokenEndpoint) -> Self {
        let clock = ManualClock::new();
        let (own, red) = (issuer(&clock, "own"), issuer(&clock, "red"));
        let (asked, gate) = (Arc::default(), Arc::new(Semaphore::new(0)));
        let resolver = Resolver {
            endpoint: endpoint_of(&red),
            first,
            asked: Arc::clone(&asked),
            gate: gate.clone(),
        };
        let refresher = TokenRefresher::builder(endpoint(&own), MemoryStore::default())
            .endpoint_resolver(resolver)
            .back_channel_logout([7; 32])
            .clock(clock.clock())
            .build()
            .expect("the settings agree");
        Self { red, clock, refresher, asked, gate }
    }

    async fn adopt(&self) -> Result<GrantHandle, RefreshError> {
        let set = TokenSet::from_response(self.red.log_in("alice")).expect("a token set");
        self.refresher.adopt(set.with_issuer(self.red.issuer_url())).await
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_given_up_and_asked_again() {
    let scene = Scene::new(First::Hangs);
    let error = scene.adopt().await.err().expect("it hangs");
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    let handle = scene.adopt().await.expect("it answers the second time");
    scene.clock.advance(LIFE);
    scene.refresher.tokens(&handle).token().await.expect("a token");
    assert_eq!(scene.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_logout_token_does_not_wait_for_ever_for_one_that_hangs() {
    let scene = Scene::new(First::Hangs);
    let token = scene.red.logout_token(Some("alice"), None);
    let ended = scene.refresher.end_by_logout_token(&token);
    let ended = tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it has a limit");
    assert!(ended.is_err());
}

#[tokio::test]
async fn a_panic_of_one_is_an_error_and_it_is_asked_again() {
    let scene = Scene::new(First::Panics);
    let error = scene.adopt().await.err().expect("it panics");
    assert_eq!(error.kind(), RefreshErrorKind::Internal);
    scene.adopt().await.expect("it answers the second time");
}

#[tokio::test]
async fn a_failure_while_others_wait_makes_no_second_provider() {
    let scene = Arc::new(Scene::new(First::FailsWhenTold));
    let adopt = || {
        let scene = scene.clone();
        tokio::spawn(async move { scene.adopt().await })
    };
    let (first, second) = (adopt(), adopt());
    settle().await;
    scene.gate.add_permits(1);
    assert!(first.await.unwrap().is_err());
    second.await.unwrap().expect("it has asked again");
    adopt().await.unwrap().expect("the same provider");
    assert_eq!(scene.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_tenant_whose_logout_tokens_could_not_be_verified_takes_no_logins() {
    let scene = Scene::with(First::Panics, |red| {
        let auth = ClientAuth::basic("client-of-red", "secret");
        TokenEndpoint::new(red.token_url(), auth)
            .issuer(red.issuer_url())
            .transport(red.transport())
    });
    scene.asked.store(1, Ordering::SeqCst);
    let error = scene.adopt().await.err().expect("it has no keys");
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
    assert!(error.to_string().contains("back_channel_logout"), "{error}");
}
