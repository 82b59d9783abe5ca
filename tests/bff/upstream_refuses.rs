//! An upstream that refuses a token which has not expired: it heals where it can, and is passed on
//! where it cannot.

use std::{
    convert::Infallible,
    future::IntoFuture,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::to_bytes,
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{future::join_all, stream};
use reqwest::Method;
use tokio::{net::TcpListener, sync::Barrier};

use crate::{
    browser::Browser,
    world::{World, soon},
};

/// A refused token younger than 10 s is not refreshed.
const OLD_ENOUGH: Duration = Duration::from_secs(11);

/// An API that takes any token but those that it was told to refuse, and the bodies it was sent.
#[derive(Clone, Default)]
struct Api {
    refused: Arc<Mutex<Vec<String>>>,
    refuses_all: bool,
    calls: Arc<AtomicUsize>,
    bodies: Arc<Mutex<Vec<Bytes>>>,
}

impl Api {
    fn refuse(&self, token: String) {
        self.refused.lock().unwrap().push(token);
    }

    fn takes(&self, headers: &HeaderMap) -> bool {
        let sent = headers[header::AUTHORIZATION].to_str().expect("ASCII");
        let token = sent.strip_prefix("Bearer ").expect("a bearer token");
        !self.refuses_all && !self.refused.lock().unwrap().iter().any(|refused| refused == token)
    }

    async fn answer(&self, request: Request) -> Response {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let (head, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("the body arrives");
        self.bodies.lock().unwrap().push(body);
        if self.takes(&head.headers) {
            let token = head.headers[header::AUTHORIZATION].to_str().expect("ASCII");
            return token.trim_start_matches("Bearer ").to_owned().into_response();
        }
        (StatusCode::UNAUTHORIZED, "the API's own words").into_response()
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn router(&self) -> Router {
        let api = self.clone();
        Router::new().fallback(async move |request: Request| api.answer(request).await)
    }
}

async fn before(api: &Api) -> (World, Browser) {
    let world = World::setup().upstream(api.router()).start().await;
    let browser = world.logged_in().await;
    (world, browser)
}

/// The same, and the API refuses the token of the login.
async fn with_a_refused_token(api: &Api) -> (World, Browser) {
    let (world, browser) = before(api).await;
    api.refuse(browser.get("/api/orders").await.text().await.unwrap());
    world.clock.advance(OLD_ENOUGH);
    api.calls.store(0, Ordering::SeqCst);
    api.bodies.lock().unwrap().clear();
    (world, browser)
}

fn refreshes(world: &World) -> usize {
    world.issuer.issuer().refreshes()
}

async fn post(browser: &Browser, body: impl Into<reqwest::Body>) -> reqwest::Response {
    browser.send(browser.request(Method::POST, "/api/orders").body(body)).await
}

#[tokio::test]
async fn a_get_gets_one_refresh_and_the_second_call_succeeds() {
    let api = Api::default();
    let (world, browser) = with_a_refused_token(&api).await;
    assert_eq!(browser.api_status().await, 200);
    assert_eq!((api.calls(), refreshes(&world)), (2, 1));
    assert_eq!(browser.api_status().await, 200);
    assert_eq!((api.calls(), refreshes(&world)), (3, 1), "the newer token stays");
    assert_eq!(world.issuer.issuer().max_presented(), 1);
}

/// Whoever sets `UPSTREAM_URL` to plain http has chosen so. No machine's name leads here, but this
/// address does, and it is not of 127.0.0.0/8.
#[tokio::test]
async fn an_upstream_beyond_this_machine_gets_the_token_too() {
    let api = Api::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(axum::serve(listener, api.router()).into_future());
    let world = World::setup().upstream_at(format!("http://0.0.0.0:{port}")).start().await;
    let browser = world.logged_in().await;
    assert_eq!(browser.api_status().await, 200);
    serving.abort();
}

#[tokio::test]
async fn a_small_body_is_sent_again_whole() {
    let api = Api::default();
    let (world, browser) = with_a_refused_token(&api).await;
    assert_eq!(post(&browser, "{\"order\":7}").await.status(), 200);
    assert_eq!(*api.bodies.lock().unwrap(), ["{\"order\":7}", "{\"order\":7}"]);
    assert_eq!(refreshes(&world), 1);
}

#[tokio::test]
async fn twenty_gets_that_are_refused_at_once_make_one_refresh() {
    let api = Api::default();
    let all_are_there = Arc::new(Barrier::new(20));
    let upstream = Router::new().fallback({
        let api = api.clone();
        async move |request: Request| {
            if !api.takes(request.headers()) {
                // None is answered before all have come with the refused token.
                all_are_there.wait().await;
            }
            api.answer(request).await
        }
    });
    let world = World::setup().upstream(upstream).start().await;
    let browser = world.logged_in().await;
    api.refuse(browser.get("/api/orders").await.text().await.unwrap());
    world.clock.advance(OLD_ENOUGH);
    let answers = join_all((0..20).map(|_| browser.get("/api/orders")));
    for answer in soon("all answers", answers).await {
        assert_eq!(answer.status(), 200);
    }
    assert_eq!((api.calls(), refreshes(&world)), (41, 1));
    assert_eq!(world.issuer.issuer().max_presented(), 1);
}

#[tokio::test]
async fn a_streamed_upload_gets_its_401_passed_on() {
    let api = Api::default();
    let (world, browser) = with_a_refused_token(&api).await;
    let chunks = ["one", "two"].map(|chunk| Ok::<_, Infallible>(Bytes::from(chunk)));
    let streamed = post(&browser, reqwest::Body::wrap_stream(stream::iter(chunks))).await;
    assert_eq!(streamed.status(), 401);
    assert_eq!(streamed.text().await.unwrap(), "the API's own words");
    // It says its length, but is too large to be kept.
    assert_eq!(post(&browser, vec![7; 16 * 1024 + 1]).await.status(), 401);
    assert_eq!((api.calls(), refreshes(&world)), (2, 0));
    assert_eq!(post(&browser, vec![7; 16 * 1024]).await.status(), 200);
    assert_eq!((api.calls(), refreshes(&world)), (4, 1));
}

#[tokio::test]
async fn the_401_is_passed_on_while_the_provider_is_down() {
    let api = Api::default();
    let (world, browser) = with_a_refused_token(&api).await;
    world.issuer.issuer().set_down(true);
    let response = soon("an answer", browser.get("/api/orders")).await;
    assert_eq!(response.status(), 401);
    assert_eq!(response.text().await.unwrap(), "the API's own words");
    assert_eq!((api.calls(), refreshes(&world)), (1, 0));

    world.issuer.issuer().set_down(false);
    world.clock.advance(OLD_ENOUGH);
    assert_eq!(browser.api_status().await, 200, "nobody was logged out by it");
    assert_eq!(refreshes(&world), 1);
}

#[tokio::test]
async fn an_upstream_that_refuses_every_token_does_not_rotate_them_without_end() {
    let api = Api { refuses_all: true, ..Api::default() };
    let (world, browser) = before(&api).await;
    for _ in 0..5 {
        world.clock.advance(OLD_ENOUGH);
        assert_eq!(browser.api_status().await, 401);
    }
    assert_eq!(refreshes(&world), 2, "then its 401s are passed on for a minute");
}
