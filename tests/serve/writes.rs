//! How long a client may take nothing of what is there for it.

use std::{convert::Infallible, sync::Arc};

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::{
    io::AsyncReadExt,
    sync::{Semaphore, mpsc},
};

use crate::world::{SHORT, serving, soon};

const EVENTS: &str = "GET /events HTTP/1.1\r\nhost: test\r\n\r\n";
const ENDLESS: &str = "GET /endless HTTP/1.1\r\nhost: test\r\n\r\n";

/// Says when it is dropped.
struct Told(mpsc::UnboundedSender<()>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.send(()).expect("the test looks");
    }
}

/// At `/endless` there is always more to send, at `/events` an event for each permit of the gate.
fn app(gate: Arc<Semaphore>) -> (Router, mpsc::UnboundedReceiver<()>) {
    let (tell, ends) = mpsc::unbounded_channel();
    let endless = async move || {
        let told = Told(tell.clone());
        let chunk = Bytes::from_static(&[7; 64 * 1024]);
        Body::from_stream(stream::repeat(chunk).map(move |chunk| {
            let _ends_with_the_answer = &told;
            Ok::<_, Infallible>(chunk)
        }))
    };
    let events = async move || {
        Body::from_stream(stream::unfold(gate, async |gate| {
            gate.acquire().await.expect("the gate stays").forget();
            Some((Ok::<_, Infallible>("event"), gate))
        }))
    };
    (Router::new().route("/endless", get(endless)).route("/events", get(events)), ends)
}

#[tokio::test]
async fn who_takes_nothing_more_of_an_answer_loses_the_connection() {
    let (app, mut ends) = app(Arc::new(Semaphore::new(0)));
    let serving = serving(app, |server| server.write_timeout(SHORT).max_connections(1)).await;
    let mut client = serving.connect().await;
    client.send(ENDLESS).await;
    soon("the end of the answer", ends.recv()).await.unwrap();
    let mut next = serving.connect().await;
    next.send(ENDLESS).await;
    soon("an answer on its place", next.0.read_u8()).await.unwrap();
}

#[tokio::test]
async fn who_waits_for_what_is_not_there_yet_keeps_it() {
    let gate = Arc::new(Semaphore::new(1));
    let (app, mut ends) = app(gate.clone());
    let serving = serving(app, |server| server.write_timeout(SHORT)).await;
    let mut waiting = serving.connect().await;
    waiting.send(EVENTS).await;
    read_event(&mut waiting.0).await;
    // The limit passes meanwhile: this one runs into it.
    let mut stuck = serving.connect().await;
    stuck.send(ENDLESS).await;
    soon("the end of the other answer", ends.recv()).await.unwrap();
    gate.add_permits(1);
    read_event(&mut waiting.0).await;
}

async fn read_event(stream: &mut tokio::net::TcpStream) {
    let mut read = String::new();
    while !read.ends_with("event\r\n") {
        read.push(soon("an event", stream.read_u8()).await.expect("open") as char);
    }
}
