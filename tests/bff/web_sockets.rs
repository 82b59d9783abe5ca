//! WebSockets below `/api`: the token at the handshake, bytes both ways, and the end with the
//! login.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    extract::WebSocketUpgrade,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::any,
};
use futures_util::{SinkExt, StreamExt};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::mpsc};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};
use tower_token_refresh::testing::Endpoint;

use crate::{
    browser::Browser,
    echo,
    world::{Setup, World, soon},
};

/// The world, and what its API tells of each WebSocket that ends there.
async fn echoing() -> (World, mpsc::UnboundedReceiver<()>) {
    let (tell, ends) = mpsc::unbounded_channel();
    (setup(echo::router(tell)).start().await, ends)
}

fn setup(upstream: Router) -> Setup {
    World::setup().upstream(upstream)
}

type Socket = WebSocketStream<TcpStream>;

/// As a page opens it that lies at `origin`.
async fn open(world: &World, browser: &Browser, origin: Option<&str>) -> Result<Socket, u16> {
    let url = format!("ws://{}/api/live", world.authority());
    let mut request = url.into_client_request().expect("a URL");
    if let Some(session) = browser.cookie("session") {
        let cookie = format!("session={session}");
        request.headers_mut().insert("cookie", cookie.parse().expect("ASCII"));
    }
    if let Some(origin) = origin {
        request.headers_mut().insert("origin", origin.parse().expect("ASCII"));
    }
    let stream = TcpStream::connect(world.authority()).await.expect("it listens");
    match soon("an answer", client_async(request, stream)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

async fn own(world: &World, browser: &Browser) -> Result<Socket, u16> {
    open(world, browser, Some(&world.base)).await
}

async fn text(socket: &mut Socket) -> String {
    let message = soon("a message", socket.next()).await.expect("a message").expect("no error");
    message.into_text().expect("text").to_string()
}

/// Without a close frame.
async fn is_cut(socket: &mut Socket) -> bool {
    matches!(soon("the end", socket.next()).await, None | Some(Err(_)))
}

#[tokio::test]
async fn messages_go_both_ways_and_the_handshake_has_the_token() {
    let (world, mut ends) = echoing().await;
    let browser = world.logged_in().await;
    let mut socket = own(&world, &browser).await.expect("a WebSocket");
    let authorization = text(&mut socket).await;
    let token = authorization.strip_prefix("Bearer ").expect("a bearer token");
    assert!(world.issuer.issuer().is_access_token_live(token));
    assert_eq!(text(&mut socket).await, "none", "the session's cookie stays here");

    for message in ["hello".to_owned(), "x".repeat(1_000_000)] {
        socket.send(Message::text(message.clone())).await.unwrap();
        assert_eq!(text(&mut socket).await, message);
    }
    socket.close(None).await.unwrap();
    soon("the upstream's end", ends.recv()).await.unwrap();
}

#[tokio::test]
async fn a_side_that_only_stops_sending_ends_the_socket() {
    let (world, mut ends) = echoing().await;
    let browser = world.logged_in().await;
    let mut socket = own(&world, &browser).await.expect("a WebSocket");
    text(&mut socket).await;
    text(&mut socket).await;
    // It could still be sent to.
    socket.get_mut().shutdown().await.unwrap();
    soon("the upstream's end", ends.recv()).await.unwrap();
    assert!(is_cut(&mut socket).await);
}

#[tokio::test]
async fn the_socket_ends_with_its_login_and_with_no_other() {
    let (world, mut ends) = echoing().await;
    let (browser, other) = (world.logged_in().await, world.logged_in().await);
    let mut socket = own(&world, &browser).await.expect("a WebSocket");
    let mut others = own(&world, &other).await.expect("a WebSocket");
    for socket in [&mut socket, &mut others] {
        text(socket).await;
        text(socket).await;
    }
    assert_eq!(browser.post("/auth/logout").await.status(), 303);
    assert!(is_cut(&mut socket).await);
    soon("the upstream's end", ends.recv()).await.unwrap();

    others.send(Message::text("still here")).await.unwrap();
    assert_eq!(text(&mut others).await, "still here");
}

#[tokio::test]
async fn nobody_and_no_other_sites_page_gets_one() {
    let (world, _ends) = echoing().await;
    let browser = world.logged_in().await;
    assert_eq!(own(&world, &world.browser()).await.err(), Some(401));
    for origin in [None, Some("https://evil.example"), Some("null")] {
        assert_eq!(open(&world, &browser, origin).await.err(), Some(403), "{origin:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_the_handshake_has_its_answer_passed_on() {
    let teapot = any(async || StatusCode::IM_A_TEAPOT);
    let world = setup(Router::new().route("/live", teapot)).start().await;
    let browser = world.logged_in().await;
    assert_eq!(own(&world, &browser).await.err(), Some(418));
}

/// As with any other request.
#[tokio::test]
async fn a_refused_token_is_healed_at_the_handshake() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let live = any(move |headers: HeaderMap, upgrade: WebSocketUpgrade| {
        let is_first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if is_first {
                return StatusCode::UNAUTHORIZED.into_response();
            }
            let answer: Response = upgrade.on_upgrade(|socket| echo::serve(socket, headers));
            answer
        }
    });
    let world = setup(Router::new().route("/live", live)).start().await;
    let browser = world.logged_in().await;
    world.clock.advance(std::time::Duration::from_secs(11));
    let mut socket = own(&world, &browser).await.expect("a WebSocket");
    assert!(text(&mut socket).await.starts_with("Bearer "));
    assert_eq!((calls.load(Ordering::SeqCst), world.issuer.issuer().refreshes()), (2, 1));
    assert_eq!(world.issuer.issuer().requests(Endpoint::Token), 2);
}
