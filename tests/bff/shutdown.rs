//! How serving ends: with the requests under way and then the refreshes, but not for ever.

use std::{future, time::Duration};

use axum::{Router, routing::get};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use tower_token_refresh::{
    Clock, TokenSet,
    serve::Server,
    testing::{Endpoint, StrictIssuer},
};

use crate::{
    app::{self, proxy::Limits, serve},
    settings::GOOD,
    world::{settings_of, soon},
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

/// An early refresh has nobody who waits for it. Its refresh token is consumed: without the answer
/// the user is logged out.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_was_sent_has_the_time_that_its_request_may_take() {
    let provider = StrictIssuer::new().serve().await.expect("a free port");
    let url = provider.issuer_url();
    let slow =
        [("ISSUER_URL", &*url), ("CLIENT_SECRET", "secret"), ("REFRESH_REQUEST_TIMEOUT", "45s")];
    let settings = settings_of(&[&GOOD[..], &slow].concat()).expect("good");
    let (_, refresher) = app::start(&settings, Clock::system()).await.expect("it starts");
    let mut tokens = provider.issuer().log_in("alice");
    tokens["expires_in"] = 0.into();
    let set = TokenSet::from_response(tokens).expect("tokens");
    let login = refresher.adopt(set).await.expect("a login");
    let answer = provider.issuer().gate_after(Endpoint::Token);
    let asker = refresher.clone();
    tokio::spawn(async move { asker.tokens(&login).token().await });
    answer.reached().await;

    let end = app::end(&refresher, &settings);
    tokio::pin!(end);
    let early = tokio::time::timeout(Duration::from_secs(20), &mut end).await;
    assert!(early.is_err(), "it ended while the answer was on its way");
    answer.open();
    end.await;
    assert_eq!(refresher.stats().flights.refreshed, 1);
}
