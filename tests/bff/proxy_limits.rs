//! How large, how slow, and what happens without an upstream.

use std::{convert::Infallible, future, time::Duration};

use axum::{
    Router,
    body::Body,
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::{Method, Response};
use tokio::{net::TcpListener, sync::mpsc};

use crate::{
    app::proxy::Limits,
    browser::Browser,
    settings::GOOD,
    world::{Setup, World, settings_of, soon},
};

fn small() -> Limits {
    Limits { request_body: 1000, ..Limits::default() }
}

async fn upload(browser: &Browser, body: impl Into<reqwest::Body>) -> Response {
    browser.send(browser.request(Method::POST, "/api/orders").body(body)).await
}

fn in_chunks(chunks: usize) -> reqwest::Body {
    let chunk = Bytes::from_static(&[7; 100]);
    reqwest::Body::wrap_stream(stream::iter(vec![Ok::<_, Infallible>(chunk); chunks]))
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whether_or_not_it_says_so() {
    let world = World::setup().limits(small()).start().await;
    let browser = world.logged_in().await;
    assert_eq!(upload(&browser, vec![7; 1000]).await.status(), 200);
    assert_eq!(upload(&browser, vec![7; 1001]).await.status(), 413);
    assert_eq!(upload(&browser, in_chunks(10)).await.status(), 200);
    assert_eq!(upload(&browser, in_chunks(11)).await.status(), 413);
    assert_eq!(Limits::default().request_body, 10 * 1024 * 1024);
}

/// An upstream behind which nobody ever answers.
fn silent() -> Setup {
    World::setup().upstream(Router::new().fallback(async || future::pending::<()>().await))
}

#[test]
fn a_token_request_that_may_take_long_is_waited_for() {
    let answer = |seconds: &str| {
        let settings =
            settings_of(&[&GOOD[..], &[("REFRESH_REQUEST_TIMEOUT", seconds)]].concat()).unwrap();
        Limits::of(&settings).answer.as_secs()
    };
    assert_eq!([answer(""), answer("15s"), answer("40s")], [30, 30, 55]);
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_a_504() {
    let limits = Limits { answer: Duration::from_millis(50), ..Limits::default() };
    let world = silent().limits(limits).start().await;
    let browser = world.logged_in().await;
    let response = soon("an answer", browser.get("/api/orders")).await;
    assert_eq!(response.status(), 504);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn a_body_that_takes_longer_than_the_head_may_is_not_cut_off() {
    let (more, chunks) = mpsc::channel::<Bytes>(1);
    let chunks = std::sync::Arc::new(std::sync::Mutex::new(Some(chunks)));
    let handler = move || {
        let mut chunks = chunks.lock().unwrap().take().expect("asked once");
        async move {
            Body::from_stream(stream::poll_fn(move |context| {
                chunks.poll_recv(context).map(|chunk| chunk.map(Ok::<_, Infallible>))
            }))
        }
    };
    let limits = Limits { answer: Duration::from_millis(50), ..Limits::default() };
    let upstream =
        Router::new().route("/live", get(handler)).fallback(async || future::pending::<()>().await);
    let world = World::setup().upstream(upstream).limits(limits).start().await;
    let browser = world.logged_in().await;
    let mut body = browser.get("/api/live").await.bytes_stream();
    // Begun later, and by now it has had all its time: so has the first.
    assert_eq!(browser.get("/api/orders").await.status(), 504);
    more.send("late".into()).await.unwrap();
    assert_eq!(soon("the chunk", body.next()).await.unwrap().unwrap(), "late");
}

#[tokio::test]
async fn an_upstream_that_is_not_there_or_hangs_up_is_a_502() {
    let hangs_up = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = hangs_up.local_addr().unwrap();
    let hanging_up = tokio::spawn(async move {
        let (stream, _) = hangs_up.accept().await.unwrap();
        drop(stream);
        hangs_up
    });
    let world = World::setup().upstream_at(format!("http://{address}")).start().await;
    let browser = world.logged_in().await;
    assert_eq!(soon("an answer", browser.get("/api/orders")).await.status(), 502, "hung up");
    drop(hanging_up.await.unwrap());
    let refused = soon("an answer", browser.get("/api/orders")).await;
    assert_eq!(refused.status(), 502, "refused");
    assert!(
        !refused.text().await.unwrap().contains(&address.port().to_string()),
        "the answer says nothing of within"
    );
}

/// Reports whether a body arrived whole, also if its reader is dropped half way.
struct Reader {
    whole: bool,
    tell: mpsc::Sender<bool>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.tell.try_send(self.whole).expect("the test looks");
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_does_not_look_whole() {
    let (tell, mut outcome) = mpsc::channel(1);
    let (arrived, mut arrivals) = mpsc::channel(1);
    let handler = move |body: Body| {
        let (tell, arrived) = (tell.clone(), arrived.clone());
        async move {
            let mut reader = Reader { whole: false, tell };
            let mut body = body.into_data_stream();
            while let Some(chunk) = body.next().await {
                let Ok(chunk) = chunk else { return };
                arrived.send(chunk).await.expect("the test looks");
            }
            reader.whole = true;
        }
    };
    let world =
        World::setup().upstream(Router::new().route("/orders", post(handler))).start().await;
    let browser = world.logged_in().await;
    let (more, mut chunks) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let body =
        reqwest::Body::wrap_stream(stream::poll_fn(move |context| chunks.poll_recv(context)));
    let upload = tokio::spawn(browser.request(Method::POST, "/api/orders").body(body).send());
    more.send(Ok("half".into())).await.unwrap();
    assert_eq!(soon("the first half", arrivals.recv()).await.unwrap(), "half");
    more.send(Err(std::io::Error::other("gone"))).await.unwrap();
    assert!(soon("the end", upload).await.unwrap().is_err(), "the browser itself broke off");
    assert!(!soon("what the upstream saw", outcome.recv()).await.unwrap());
}
