//! Connections over a real socket that stay open over three expiries and end with the login.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    response::{IntoResponse, Response, Sse, sse::Event},
    routing::get,
};
use futures_util::{SinkExt, StreamExt, stream};
use http::{HeaderValue, header};
use support::World;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{self, client::IntoClientRequest},
};
use tower_sessions::session::Id;
use tower_token_refresh::{LoginTokens, Logout, TokenRefreshLayer};

/// A test that waits for ever is a test that fails.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, future).await.unwrap_or_else(|_| panic!("{what}: not in time"))
}

async fn serve<S: Clone + Send + Sync + 'static>(
    world: &World,
    routes: Router<S>,
    state: S,
) -> String {
    let app = routes
        .route_layer(TokenRefreshLayer::new(&world.refresher))
        .with_state(state)
        .layer(world.refresher.session_layer());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn log_out(world: &World, id: Id) {
    world.refresher.log_out(&world.session(id), Logout::EndSession).await.expect("logged out");
}

/// Answers each message with the token that it would call an API with.
async fn talk(tokens: LoginTokens, mut socket: WebSocket) {
    loop {
        tokio::select! {
            message = socket.recv() => {
                let Some(Ok(_)) = message else { return };
                let token = tokens.token().await.expect("a token");
                socket.send(Message::text(token.secret())).await.expect("the test listens");
            }
            ended = tokens.ended() => {
                let reason = ended.to_string().into();
                let close = CloseFrame { code: close_code::POLICY, reason };
                socket.send(Message::Close(Some(close))).await.expect("the test listens");
                return;
            }
        }
    }
}

#[tokio::test]
async fn a_websocket_has_a_good_token_over_three_expiries_and_a_logout_closes_it() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let upgrade = async |tokens: LoginTokens, upgrade: WebSocketUpgrade| -> Response {
        upgrade.on_upgrade(|socket| talk(tokens, socket))
    };
    let address = serve(&world, Router::new().route("/talk", get(upgrade)), ()).await;
    let mut request = format!("ws://{address}/talk").into_client_request().expect("a URL");
    let cookie = HeaderValue::try_from(format!("id={id}")).expect("ASCII");
    request.headers_mut().insert(header::COOKIE, cookie);
    let (mut socket, _) = soon("the upgrade", connect_async(request)).await.expect("upgraded");

    for refreshes in 1..=3 {
        world.expire();
        socket.send(tungstenite::Message::text("orders?")).await.expect("it is open");
        let answer = soon("an answer", socket.next()).await.expect("it is open").expect("a frame");
        assert!(world.issuer.is_access_token_live(answer.to_text().expect("a token")));
        assert_eq!(world.issuer.refreshes(), refreshes);
    }
    assert_eq!(world.issuer.max_presented(), 1);

    log_out(&world, id).await;
    let last = soon("the close", socket.next()).await.expect("a frame").expect("not broken off");
    let tungstenite::Message::Close(Some(close)) = last else { panic!("{last:?}") };
    assert_eq!(u16::from(close.code), close_code::POLICY);
    assert!(close.reason.contains("log"), "{}", close.reason);
}

/// What the server sends next, whenever the test says so.
type News = Arc<Mutex<Option<mpsc::Receiver<()>>>>;

async fn events(State(news): State<News>, tokens: LoginTokens) -> Response {
    let news = news.lock().unwrap().take().expect("asked once");
    let ended = tokens.clone();
    let events = stream::unfold((news, tokens), async |(mut news, tokens)| {
        news.recv().await?;
        let token = tokens.token().await.ok()?;
        let event = Event::default().data(token.secret());
        Some((Ok::<_, Infallible>(event), (news, tokens)))
    });
    Sse::new(events.take_until(async move { ended.ended().await })).into_response()
}

#[tokio::test]
async fn server_sent_events_have_a_good_token_over_three_expiries_and_end_with_the_login() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let (more, news) = mpsc::channel(1);
    let news = Arc::new(Mutex::new(Some(news)));
    let address = serve(&world, Router::new().route("/events", get(events)), news).await;
    let request = reqwest::Client::new().get(format!("http://{address}/events"));
    let response = request.header(header::COOKIE, format!("id={id}")).send();
    let mut body = soon("the head", response).await.expect("an answer").bytes_stream();

    for refreshes in 1..=3 {
        world.expire();
        more.send(()).await.expect("the stream is open");
        let event = soon("an event", body.next()).await.expect("it is open").expect("a chunk");
        let event = std::str::from_utf8(&event).expect("text");
        let token = event.trim().strip_prefix("data: ").expect("data");
        assert!(world.issuer.is_access_token_live(token));
        assert_eq!(world.issuer.refreshes(), refreshes);
    }
    log_out(&world, id).await;
    assert!(soon("the end", body.next()).await.is_none());
}
