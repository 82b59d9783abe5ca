//! Clients that are ready only sometimes: a connection for one request at a time, and a pool.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use support::World;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, Service, ServiceExt};
use tower_token_refresh::{BearerLayer, LoginTokens, TokenSet};

use super::{
    claims,
    hosts::{USE_NONCE, api, unauthorized},
    log_in,
    once::Once,
    world,
};

const SECOND: Duration = Duration::from_secs(1);

/// A connection that takes the next request when the last answer has been read or dropped, as
/// hyper's `SendRequest` of HTTP/1.
struct OneAtATime<F> {
    turn: Arc<Semaphore>,
    mine: Option<OwnedSemaphorePermit>,
    waiting: Option<Pin<Box<dyn Future<Output = OwnedSemaphorePermit> + Send>>>,
    answer: F,
}

impl<F: Clone> Clone for OneAtATime<F> {
    fn clone(&self) -> Self {
        let (turn, answer) = (self.turn.clone(), self.answer.clone());
        Self { turn, mine: None, waiting: None, answer }
    }
}

impl<F: Fn(&HeaderMap) -> Response<String>> Service<Request<Full<Bytes>>> for OneAtATime<F> {
    type Response = Response<OwnedSemaphorePermit>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.mine.is_none() {
            let turn = self.turn.clone();
            let waiting = self
                .waiting
                .get_or_insert_with(|| Box::pin(async { turn.acquire_owned().await.unwrap() }));
            let Poll::Ready(permit) = waiting.as_mut().poll(cx) else { return Poll::Pending };
            self.waiting = None;
            self.mine = Some(permit);
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let permit = self.mine.take().expect("polled ready");
        std::future::ready(Ok((self.answer)(request.headers()).map(|_| permit)))
    }
}

async fn on_one_connection(world: &World, tokens: LoginTokens, first: &'static str) -> bool {
    let calls = Arc::new(AtomicUsize::new(0));
    let inner = OneAtATime {
        turn: Arc::new(Semaphore::new(1)),
        mine: None,
        waiting: None,
        answer: move |_: &HeaderMap| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => unauthorized(first, Some("n-1")),
            _ => Response::new(String::new()),
        },
    };
    let client = BearerLayer::new(tokens, &api(world)).layer(inner);
    let request = Request::get("https://api.example.com/x").body(Full::default()).unwrap();
    let answer = tokio::time::timeout(SECOND * 3, client.oneshot(request)).await;
    answer.is_ok_and(|answer| answer.unwrap().status() == StatusCode::OK)
}

#[tokio::test]
async fn a_second_try_does_not_wait_for_its_own_answer_to_go() {
    let world = world(|issuer| issuer);
    let set = TokenSet::from_response(world.issuer.log_in("alice")).unwrap();
    let tokens = world.refresher.tokens(&world.refresher.adopt(set).await.unwrap());
    world.clock.advance(SECOND * 15);
    assert!(on_one_connection(&world, tokens, "Bearer error=\"invalid_token\"").await, "it hangs");
}

#[tokio::test]
async fn a_second_try_with_a_nonce_does_not_wait_for_its_own_answer_to_go() {
    let world = world(|issuer| issuer);
    let tokens = log_in(&world).await;
    assert!(on_one_connection(&world, tokens, USE_NONCE).await, "it hangs");
}

/// Its readiness takes a turn of the runtime, as that of any pool, and it answers as fast.
#[derive(Clone)]
struct Pooled<F>(F, bool);

impl<F: Fn(&HeaderMap) -> Response<String>> Service<Request<Full<Bytes>>> for Pooled<F> {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if std::mem::replace(&mut self.1, true) {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        self.1 = false;
        std::future::ready(Ok((self.0)(request.headers())))
    }
}

#[tokio::test]
async fn each_call_through_a_pool_repeats_the_nonce_of_its_own_answer() {
    let world = world(|issuer| issuer);
    let tokens = log_in(&world).await;
    let api = api(&world);
    let once = Once::default();
    let rule = move |headers: &HeaderMap| {
        let claims = claims(headers);
        if once.takes(claims["nonce"].as_str()) {
            Response::new(String::new())
        } else {
            unauthorized(USE_NONCE, Some(&once.fresh()))
        }
    };
    let answers = join_all((0..20).map(|_| {
        let client = BearerLayer::new(tokens.clone(), &api).layer(Pooled(rule.clone(), false));
        client.oneshot(Request::get("https://api.example.com/x").body(Full::default()).unwrap())
    }))
    .await;
    let refused = answers.iter().filter(|it| it.as_ref().unwrap().status() == 401).count();
    assert_eq!(refused, 0, "of 20 calls");
}
