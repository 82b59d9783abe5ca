//! Event streams arrive event by event, for as long as the login lasts.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    response::{Sse, sse::Event},
    routing::get,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::mpsc;

use crate::{
    browser::Browser,
    world::{World, soon},
};

/// An API whose `/live` sends what the test says: one sender per browser that listens.
struct Live {
    world: World,
    senders: mpsc::UnboundedReceiver<mpsc::Sender<&'static str>>,
}

impl Live {
    async fn new() -> Self {
        let (begun, senders) = mpsc::unbounded_channel();
        let begun = Arc::new(Mutex::new(begun));
        let live = get(move || {
            let (sender, mut events) = mpsc::channel(1);
            begun.lock().unwrap().send(sender).expect("the test looks");
            async move {
                Sse::new(stream::poll_fn(move |context| {
                    let event = events.poll_recv(context);
                    event.map(|event| {
                        event.map(|data| Ok::<_, Infallible>(Event::default().data(data)))
                    })
                }))
            }
        });
        let world = World::setup().upstream(Router::new().route("/live", live)).start().await;
        Self { world, senders }
    }

    async fn listen(&mut self, browser: &Browser) -> (mpsc::Sender<&'static str>, Events) {
        let response = soon("the head", browser.get("/api/live")).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let sender = soon("a listener", self.senders.recv()).await.expect("it listens");
        (sender, Box::pin(response.bytes_stream().map(|chunk| chunk.expect("no error"))))
    }
}

type Events = std::pin::Pin<Box<dyn Stream<Item = Bytes>>>;

async fn next(events: &mut Events) -> Option<String> {
    let event = soon("an event, or the end", events.next()).await?;
    Some(String::from_utf8(event.to_vec()).expect("text"))
}

#[tokio::test]
async fn each_event_arrives_when_it_is_sent() {
    let mut live = Live::new().await;
    let browser = live.world.logged_in().await;
    let (sender, mut events) = live.listen(&browser).await;
    for data in ["first", "second"] {
        sender.send(data).await.unwrap();
        assert_eq!(next(&mut events).await, Some(format!("data: {data}\n\n")));
    }
    drop(sender);
    assert_eq!(next(&mut events).await, None, "the upstream's own end");
}

#[tokio::test]
async fn the_stream_ends_with_its_login_and_with_no_other() {
    let mut live = Live::new().await;
    let (browser, other) = (live.world.logged_in().await, live.world.logged_in().await);
    let (sender, mut events) = live.listen(&browser).await;
    let (others_sender, mut others_events) = live.listen(&other).await;

    assert_eq!(browser.post("/auth/logout").await.status(), 303);
    assert_eq!(next(&mut events).await, None);
    soon("the upstream learns of it", sender.closed()).await;

    others_sender.send("still here").await.unwrap();
    assert_eq!(next(&mut others_events).await.as_deref(), Some("data: still here\n\n"));
}

/// A stream needs no token after its begin.
#[tokio::test]
async fn an_outage_ends_no_stream() {
    let mut live = Live::new().await;
    let browser = live.world.logged_in().await;
    let (sender, mut events) = live.listen(&browser).await;
    live.world.issuer.issuer().set_down(true);
    live.world.clock.advance(Duration::from_secs(300));
    assert_eq!(browser.get("/api/live").await.status(), 503, "another one gets no token");
    sender.send("still here").await.unwrap();
    assert_eq!(next(&mut events).await.as_deref(), Some("data: still here\n\n"));
}
