//! A client of reqwest: as middleware, and as a service under the layer.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{RawQuery, Request},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::{any, get},
};
use bytes::Bytes;
use futures_util::{future::join_all, stream};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Error};
use support::World;
use tokio::{net::TcpListener, sync::Barrier};
use tower::{Layer, ServiceExt, service_fn};
use tower_token_refresh::{
    ApiHosts, BearerLayer, BearerMiddleware, LoginTokens, RefreshError, RefreshErrorKind, StepUp,
};

/// Alice has linked an account, and the API refuses the token that she came with.
struct Scene {
    world: World,
    tokens: LoginTokens,
    api: ApiHosts,
    url: String,
    calls: Calls,
}

/// The `Authorization` of all calls.
type Calls = Arc<Mutex<Vec<Option<String>>>>;

fn note(calls: &Calls, headers: &HeaderMap) -> Option<String> {
    let sent = headers.get(header::AUTHORIZATION).map(|value| value.to_str().expect("ASCII"));
    calls.lock().unwrap().push(sent.map(str::to_owned));
    sent.map(str::to_owned)
}

async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let host = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    host
}

/// `together`: so many calls with the refused token are answered only when all have come.
async fn scene(together: usize) -> Scene {
    let world = World::on_swapping();
    let handle = world.refresher.adopt(world.token_set("alice")).await.expect("adopted");
    let tokens = world.refresher.tokens(&handle);
    let refused = format!("Bearer {}", tokens.token().await.expect("a token").secret());
    world.clock.advance(Duration::from_secs(15));

    let calls = Calls::default();
    let (noted, refused) = (calls.clone(), Arc::new(refused));
    let barrier = Arc::new(Barrier::new(together));
    let orders = async move |request: Request| -> Response {
        if note(&noted, request.headers()).as_ref() == Some(&*refused) {
            barrier.wait().await;
            return StatusCode::UNAUTHORIZED.into_response();
        }
        "orders".into_response()
    };
    let elsewhere = serve(elsewhere(&calls)).await;
    let back = format!("http://{elsewhere}/back?");
    let elsewhere = format!("http://{elsewhere}/");
    let storage = elsewhere.clone();
    let turn = Arc::new(AtomicUsize::new(0));
    let download = async move || match turn.fetch_add(1, Ordering::Relaxed) % 2 {
        0 => StatusCode::UNAUTHORIZED.into_response(),
        _ => Redirect::temporary(&storage).into_response(),
    };
    let moved = async move || Redirect::temporary(&elsewhere);
    let detour = async move |headers: HeaderMap| {
        let own = headers[header::HOST].to_str().expect("ASCII");
        Redirect::temporary(&format!("{back}http://{own}/closed"))
    };
    let noted = calls.clone();
    let closed = async move |headers: HeaderMap| {
        note(&noted, &headers);
        StatusCode::UNAUTHORIZED
    };
    let gold = async || {
        let wanted = r#"Bearer error="insufficient_user_authentication", acr_values="gold""#;
        (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, wanted)])
    };
    let app = Router::new()
        .route("/orders", any(orders))
        .route("/orders/", get(async || Redirect::temporary("/orders")))
        .route("/moved", get(moved))
        .route("/download", get(download))
        .route("/detour", get(detour))
        .route("/closed", get(closed))
        .route("/gold", get(gold));
    let host = serve(app).await;
    let api = ApiHosts::new([&host]).expect("a host").clock(world.clock.clock());
    Scene { world, tokens, api, url: format!("http://{host}"), calls }
}

/// Another server, which refuses everybody, or sends them back.
fn elsewhere(calls: &Calls) -> Router {
    let calls = calls.clone();
    let refused = async move |headers: HeaderMap| {
        note(&calls, &headers);
        StatusCode::UNAUTHORIZED
    };
    let back = async |RawQuery(to): RawQuery| Redirect::temporary(&to.expect("a URL"));
    Router::new().route("/back", get(back)).fallback(refused)
}

impl Scene {
    fn client(&self) -> ClientWithMiddleware {
        let bearer = BearerMiddleware::new(self.tokens.clone(), &self.api);
        ClientBuilder::new(reqwest::Client::new()).with(bearer).build()
    }

    /// The status that a GET of this path is answered with.
    async fn get(&self, path: &str) -> StatusCode {
        let request = self.client().get(format!("{}{path}", self.url));
        request.send().await.expect("an answer").status()
    }

    fn seen(&self) -> (usize, usize) {
        (self.calls.lock().unwrap().len(), self.world.issuer.refreshes())
    }
}

#[tokio::test]
async fn a_refused_call_is_healed_with_its_body() {
    let scene = scene(1).await;
    let orders = format!("{}/orders", scene.url);
    let posted = scene.client().post(&orders).body("seven").send().await.expect("an answer");
    assert_eq!((posted.status().as_u16(), scene.seen()), (200, (2, 1)));
    let got = scene.client().get(&orders).send().await.expect("an answer");
    assert_eq!((got.status().as_u16(), scene.seen()), (200, (3, 1)));
}

#[tokio::test]
async fn twenty_refused_calls_make_one_refresh() {
    let scene = scene(20).await;
    let (client, orders) = (scene.client(), format!("{}/orders", scene.url));
    for answer in join_all((0..20).map(|_| client.get(&orders).send())).await {
        assert_eq!(answer.expect("an answer").status(), 200);
    }
    assert_eq!(scene.seen(), (40, 1));
}

#[tokio::test]
async fn a_stream_gets_its_401_passed_on() {
    let scene = scene(1).await;
    let chunks = stream::iter([Ok::<_, Infallible>(Bytes::from("seven"))]);
    let request = scene.client().post(format!("{}/orders", scene.url));
    let request = request.body(reqwest::Body::wrap_stream(chunks));
    assert_eq!(request.send().await.expect("an answer").status(), 401);
    assert_eq!(scene.seen(), (1, 0));
}

#[tokio::test]
async fn the_401_of_a_host_that_a_redirect_leads_to_is_passed_on() {
    let scene = scene(1).await;
    assert_eq!(scene.get("/moved").await, 401);
    assert_eq!(*scene.calls.lock().unwrap(), [None], "and it gets no token");
    assert_eq!(scene.world.issuer.refreshes(), 0);
}

/// reqwest has taken the token off for the other host, and does not put it back.
#[tokio::test]
async fn the_401_of_the_api_behind_a_detour_is_passed_on() {
    let scene = scene(1).await;
    assert_eq!(scene.get("/detour").await, 401);
    assert_eq!(*scene.calls.lock().unwrap(), [None], "it has refused nobody's token");
    assert_eq!(scene.world.issuer.refreshes(), 0);
}

/// Nobody can tell it from the one above.
#[tokio::test]
async fn the_401_behind_a_redirect_on_one_host_is_passed_on() {
    let scene = scene(1).await;
    assert_eq!(scene.get("/orders/").await, 401);
    assert_eq!(scene.seen(), (1, 0));
    assert_eq!(scene.get("/orders#two").await, 200, "and a fragment is none");
    assert_eq!(scene.seen(), (3, 1));
}

/// The API takes each new token, and sends whoever has it to a server that wants none.
#[tokio::test]
async fn the_401_of_another_host_is_no_refusal_of_the_new_token() {
    let scene = scene(1).await;
    for refreshes in 1..=3 {
        assert_eq!(scene.get("/download").await, 401);
        assert_eq!(scene.seen(), (refreshes, refreshes));
        scene.world.clock.advance(Duration::from_secs(15));
    }
}

#[tokio::test]
async fn a_step_up_challenge_is_told() {
    let scene = scene(1).await;
    let request = scene.client().get(format!("{}/gold", scene.url));
    let response = request.send().await.expect("an answer");
    let wanted = response.extensions().get::<StepUp>().and_then(|wanted| wanted.acr_values.clone());
    assert_eq!(wanted.as_deref(), Some("gold"));
    assert_eq!(scene.world.issuer.refreshes(), 0);
}

#[tokio::test]
async fn a_header_of_the_applications_own_is_kept_and_another_host_gets_none() {
    let scene = scene(1).await;
    let own = scene.client().get(format!("{}/orders", scene.url)).bearer_auth("mine");
    assert_eq!(own.send().await.expect("an answer").status(), 200);
    let elsewhere = serve(elsewhere(&scene.calls)).await;
    let other = scene.client().get(format!("http://{elsewhere}/"));
    assert_eq!(other.send().await.expect("an answer").status(), 401);
    assert_eq!(*scene.calls.lock().unwrap(), [Some("Bearer mine".to_owned()), None]);
    assert_eq!(scene.world.issuer.refreshes(), 0);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_error_says_why() {
    let scene = scene(1).await;
    scene.world.refresher.end(&scene.tokens.handle()).await.expect("ended");
    let request = scene.client().get(format!("{}/orders", scene.url));
    let error = request.send().await.expect_err("the login has ended");
    let Error::Middleware(error) = error else { panic!("{error}") };
    let error = error.downcast_ref::<RefreshError>().expect("a refresh error");
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    assert_eq!(scene.seen(), (0, 0));
}

#[tokio::test]
async fn a_plain_client_is_a_service_under_the_layer() {
    let scene = scene(1).await;
    let http = reqwest::Client::new();
    let service = service_fn(move |request: http::Request<reqwest::Body>| {
        let http = http.clone();
        async move { http.execute(request.try_into()?).await.map(http::Response::<reqwest::Body>::from) }
    });
    let client = BearerLayer::new(scene.tokens.clone(), &scene.api).layer(service);
    let request = http::Request::post(format!("{}/orders", scene.url));
    let request = request.body(reqwest::Body::from("seven")).expect("a request");
    let response = client.oneshot(request).await.expect("an answer");
    assert_eq!((response.status().as_u16(), scene.seen()), (200, (2, 1)));
}
