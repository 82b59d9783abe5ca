//! How serving ends: with the requests under way, but not for ever.

use std::{future, time::Duration};

use axum::{Router, routing::get};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use tower_token_refresh::serve::Server;

use crate::{
    app::{proxy::Limits, serve},
    world::soon,
};

struct Serving {
    url: String,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
    arrived: mpsc::Receiver<()>,
}

/// Serves one route, which answers when `finish` lets it.
async fn serving(last_requests: Duration, finish: oneshot::Receiver<()>) -> Serving {
    let (arrive, arrived) = mpsc::channel(1);
    let finish = std::sync::Arc::new(std::sync::Mutex::new(Some(finish)));
    let handler = move || {
        let finish = finish.lock().unwrap().take().expect("asked once");
        let arrive = arrive.clone();
        async move {
            arrive.send(()).await.expect("the test looks");
            match finish.await {
                Ok(()) => "finished",
                Err(_) => future::pending().await,
            }
        }
    };
    let server = Server::bind("127.0.0.1:0").await.unwrap().drain(last_requests);
    let url = format!("http://{}", server.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { stopped.await.expect("the test says stop") };
    let app = Router::new().route("/", get(handler));
    let ended = tokio::spawn(serve(server, app, Limits::default(), stopped));
    Serving { url, stop, ended, arrived }
}

#[tokio::test]
async fn a_request_under_way_is_finished() {
    let (finish, finished) = oneshot::channel();
    let mut serving = serving(Duration::from_secs(600), finished).await;
    let request = tokio::spawn(reqwest::get(serving.url.clone()));
    soon("the request", serving.arrived.recv()).await.unwrap();
    serving.stop.send(()).unwrap();
    finish.send(()).unwrap();
    let answer = soon("the answer", request).await.unwrap().unwrap();
    assert_eq!(answer.text().await.unwrap(), "finished");
    soon("the end", serving.ended).await.unwrap();
    assert!(reqwest::get(serving.url).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_request_that_hangs_does_not_keep_the_process() {
    let (finish, finished) = oneshot::channel();
    drop(finish);
    let mut serving = serving(Duration::from_millis(10), finished).await;
    let request = tokio::spawn(reqwest::get(serving.url));
    soon("the request", serving.arrived.recv()).await.unwrap();
    serving.stop.send(()).unwrap();
    soon("the end", serving.ended).await.unwrap();
    request.abort();
}
