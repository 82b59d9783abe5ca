//! The layer around a client of an API.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::Full;
use support::{TokenOp, World, log::Log};
use tower::{BoxError, Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_token_refresh::{
    ApiHosts, BearerLayer, LoginTokens, Logout, RefreshError, RefreshErrorKind, StepUp,
    testing::StrictIssuer,
};

const SECOND: Duration = Duration::from_secs(1);
/// No token expires while its refusals are counted.
const LIFE: Duration = Duration::from_secs(3600);
const API: &str = "https://api.example.com/orders";

/// What an API answers to a request with these headers.
type Rule = dyn Fn(&HeaderMap) -> Response<String> + Send + Sync;
type Client<B> = BoxCloneSyncService<Request<B>, Response<String>, BoxError>;

struct Scene {
    world: World,
    id: tower_sessions::session::Id,
    tokens: LoginTokens,
    /// The headers of all calls.
    calls: Arc<Mutex<Vec<HeaderMap>>>,
    rule: Arc<Rule>,
}

/// Alice is logged in, and her token is old enough to be refused for its age.
async fn scene(rule: impl Fn(&HeaderMap) -> Response<String> + Send + Sync + 'static) -> Scene {
    let world = World::on_swapping();
    let issuer = StrictIssuer::builder()
        .clock(world.clock.clock())
        .access_token_lifetime(LIFE)
        .refresh_token_lifetime(LIFE * 100)
        .build();
    let endpoint = support::endpoint(&issuer);
    let world = World { issuer, ..world }.asking(endpoint);
    let id = world.log_in("alice").await;
    let tokens = world.refresher.login_tokens(&world.session(id)).await.expect("logged in");
    world.clock.advance(SECOND * 15);
    Scene { world, id, tokens, calls: Arc::default(), rule: Arc::new(rule) }
}

impl Scene {
    fn api(&self) -> ApiHosts {
        let api = ApiHosts::new(["api.example.com", "127.0.0.1:8080"]).expect("hosts");
        api.clock(self.world.clock.clock())
    }

    fn layer(&self) -> BearerLayer {
        BearerLayer::new(self.tokens.clone(), &self.api())
    }

    fn client<B: Send + 'static>(&self, layer: &BearerLayer) -> Client<B> {
        let (calls, rule) = (self.calls.clone(), self.rule.clone());
        BoxCloneSyncService::new(layer.layer(service_fn(move |request: Request<B>| {
            calls.lock().unwrap().push(request.headers().clone());
            let answer = rule(request.headers());
            async move {
                // Concurrent callers meet.
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(answer)
            }
        })))
    }

    async fn status(&self) -> StatusCode {
        get(&self.client(&self.layer())).await.expect("an answer").status()
    }

    fn calls(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    fn refreshes(&self) -> usize {
        self.world.issuer.refreshes()
    }

    async fn current(&self) -> String {
        self.tokens.token().await.expect("a token").secret().to_owned()
    }
}

async fn get(client: &Client<Full<Bytes>>) -> Result<Response<String>, BoxError> {
    client.clone().oneshot(Request::get(API).body(Full::default()).expect("a request")).await
}

fn status(status: StatusCode) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = status;
    response
}

fn bearer(headers: &HeaderMap) -> &str {
    let header = headers.get(header::AUTHORIZATION).map(|value| value.to_str().expect("ASCII"));
    header.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default()
}

/// An API that takes any token but this one.
fn any_but(refused: String) -> impl Fn(&HeaderMap) -> Response<String> + Send + Sync + 'static {
    move |headers| {
        let is_refused = bearer(headers) == refused;
        status(if is_refused { StatusCode::UNAUTHORIZED } else { StatusCode::OK })
    }
}

fn refused(_: &HeaderMap) -> Response<String> {
    status(StatusCode::UNAUTHORIZED)
}

async fn scene_with_a_refused_token() -> Scene {
    let scene = scene(refused).await;
    let rule = Arc::new(any_but(scene.current().await));
    Scene { rule, ..scene }
}

#[tokio::test]
async fn each_request_has_the_token_of_now_and_it_is_marked_sensitive() {
    let scene = scene(|_| status(StatusCode::OK)).await;
    for _ in 0..3 {
        assert_eq!(scene.status().await, StatusCode::OK);
        let calls = scene.calls.lock().unwrap().clone();
        let sent = &calls.last().expect("a call")[header::AUTHORIZATION];
        assert!(sent.is_sensitive());
        assert!(scene.world.issuer.is_access_token_live(bearer(calls.last().expect("a call"))));
        scene.world.clock.advance(LIFE);
    }
    assert_eq!(scene.refreshes(), 2);
}

#[tokio::test]
async fn the_token_goes_to_the_named_hosts_only_and_the_log_says_once_why_not_by_http() {
    let log = Log::of_this_thread();
    let scene = scene(refused).await;
    let client = scene.client::<Full<Bytes>>(&scene.layer());
    for uri in [
        "https://evil.example/",
        "http://api.example.com/",
        "http://api.example.com/again",
        "https://api.example.com:444/",
        "http://127.0.0.1:81/",
    ] {
        let request = Request::get(uri).body(Full::default()).expect("a request");
        let response = client.clone().oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{uri}");
    }
    let calls = scene.calls.lock().unwrap().clone();
    assert!(calls.iter().all(|headers| !headers.contains_key(header::AUTHORIZATION)));
    assert_eq!((calls.len(), scene.refreshes()), (5, 0));
    let warnings = log.lines_at("WARN");
    assert!(warnings.len() == 1 && warnings[0].contains("allow_http_to"), "{warnings:?}");
}

#[tokio::test]
async fn a_header_of_the_applications_own_is_kept() {
    let scene = scene(refused).await;
    let request = Request::get(API).header(header::AUTHORIZATION, "Bearer mine");
    let request = request.body(Full::<Bytes>::default()).expect("a request");
    let response = scene.client(&scene.layer()).oneshot(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(bearer(&scene.calls.lock().unwrap()[0]), "mine");
    assert_eq!((scene.calls(), scene.refreshes()), (1, 0));
}

#[tokio::test]
async fn fifty_calls_that_are_refused_make_one_refresh_and_a_late_401_makes_none() {
    let scene = scene_with_a_refused_token().await;
    let client = scene.client(&scene.layer());
    let answers = join_all((0..50).map(|_| get(&client))).await;
    for answer in answers {
        assert_eq!(answer.expect("an answer").status(), StatusCode::OK);
    }
    assert_eq!((scene.refreshes(), scene.calls()), (1, 100));

    // It was sent before, and its 401 comes only now.
    let old = scene.calls.lock().unwrap()[0].clone();
    let answered = AtomicUsize::new(0);
    let late = Scene {
        rule: Arc::new(move |_: &HeaderMap| {
            let first = answered.fetch_add(1, Ordering::SeqCst) == 0;
            status(if first { StatusCode::UNAUTHORIZED } else { StatusCode::OK })
        }),
        calls: Arc::default(),
        ..scene
    };
    late.world.clock.advance(SECOND * 11);
    assert_ne!(bearer(&old), late.current().await);
    assert_eq!(late.status().await, StatusCode::OK);
    assert_eq!(late.refreshes(), 2, "this one was refused with the newest token");
    late.world.assert_logged_in(late.id).await;
}

#[tokio::test]
async fn a_token_of_a_few_seconds_is_not_refreshed() {
    let scene = scene(refused).await;
    let held = scene.tokens.token().await.expect("a token");
    scene.tokens.newer_than(&held).await.expect("a new one");
    scene.world.clock.advance(SECOND * 9);
    assert_eq!(scene.status().await, StatusCode::UNAUTHORIZED);
    assert_eq!((scene.calls(), scene.refreshes()), (1, 1));
    scene.world.clock.advance(SECOND);
    assert_eq!(scene.status().await, StatusCode::UNAUTHORIZED);
    assert_eq!((scene.calls(), scene.refreshes()), (3, 2));
}

/// An API that refuses everything must not make the provider issue tokens without end.
#[tokio::test]
async fn after_two_new_tokens_the_401s_of_a_host_are_passed_on_for_a_minute() {
    let scene = scene(refused).await;
    // A layer for each call, as in a handler.
    let api = scene.api();
    let layer = || BearerLayer::new(scene.tokens.clone(), &api);
    let ask = async || get(&scene.client(&layer())).await.expect("an answer").status();
    for refreshes in [1, 2, 2, 2, 2, 2, 2] {
        assert_eq!(ask().await, StatusCode::UNAUTHORIZED);
        assert_eq!(scene.refreshes(), refreshes);
        scene.world.clock.advance(SECOND * 11);
    }
    // Not 60 s after the second one: each of these calls is passed on as well.
    scene.world.clock.advance(SECOND * 11);
    ask().await;
    assert_eq!(scene.refreshes(), 3, "one more after a minute");
    scene.world.clock.advance(SECOND * 11);
    ask().await;
    assert_eq!(scene.refreshes(), 3);
    scene.world.assert_logged_in(scene.id).await;
}

#[tokio::test]
async fn many_calls_with_one_new_token_count_once() {
    let scene = scene(refused).await;
    let client = scene.client(&scene.layer());
    for refreshes in [1, 2, 2] {
        for answer in join_all((0..50).map(|_| get(&client))).await {
            assert_eq!(answer.expect("an answer").status(), StatusCode::UNAUTHORIZED);
        }
        assert_eq!(scene.refreshes(), refreshes);
        scene.world.clock.advance(SECOND * 11);
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_sent_again_is_not() {
    struct Stream;

    let scene = scene_with_a_refused_token().await;
    let ask = async |layer: &BearerLayer| {
        let request = Request::post(API).body(Stream).expect("a request");
        scene.client(layer).oneshot(request).await.expect("an answer").status()
    };
    assert_eq!(ask(&scene.layer()).await, StatusCode::UNAUTHORIZED);
    assert_eq!((scene.calls(), scene.refreshes()), (1, 0));
    let with = |api: &ApiHosts| BearerLayer::new(scene.tokens.clone(), api);
    let for_another_type = scene.api().resend_with(|_: &String| None);
    assert_eq!(ask(&with(&for_another_type)).await, StatusCode::UNAUTHORIZED);
    assert_eq!((scene.calls(), scene.refreshes()), (2, 0));
    let by_its_maker = scene.api().resend_with(|_: &Stream| Some(Stream));
    assert_eq!(ask(&with(&by_its_maker)).await, StatusCode::OK);
    assert_eq!((scene.calls(), scene.refreshes()), (4, 1));
}

#[tokio::test]
async fn bodies_of_bytes_are_sent_again() {
    async fn healed<B: Send + 'static>(body: impl Fn() -> B) -> bool {
        let scene = scene_with_a_refused_token().await;
        let request = Request::post(API).body(body()).expect("a request");
        let response = scene.client(&scene.layer()).oneshot(request).await.expect("an answer");
        response.status() == StatusCode::OK
    }
    assert!(healed(|| ()).await);
    assert!(healed(|| Bytes::from("body")).await);
    assert!(healed(|| Full::new(Bytes::from("body"))).await);
    assert!(healed(http_body_util::Empty::<Bytes>::new).await);
    assert!(healed(|| "body".to_owned()).await);
    assert!(healed(|| b"body".to_vec()).await);
    assert!(healed(|| reqwest::Body::from("body")).await);
}

#[tokio::test]
async fn what_no_newer_token_can_heal_is_passed_on() {
    let scope = r#"Bearer error="insufficient_scope""#;
    let step_up =
        r#"Bearer error="insufficient_user_authentication", acr_values="gold", max_age=5"#;
    for (challenge, wanted) in [(scope, None), (step_up, Some((Some("gold".to_owned()), Some(5))))]
    {
        let scene = scene(move |_| {
            let mut response = status(StatusCode::UNAUTHORIZED);
            let challenge = header::HeaderValue::from_static(challenge);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            response
        })
        .await;
        let response = get(&scene.client(&scene.layer())).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let told = response.extensions().get::<StepUp>().cloned();
        assert_eq!(told.map(|told| (told.acr_values, told.max_age)), wanted);
        assert_eq!((scene.calls(), scene.refreshes()), (1, 0));
    }
}

/// The first answer is about the token, and the second one is not.
#[tokio::test]
async fn what_the_second_answer_wants_is_told_and_is_no_refusal_of_the_new_token() {
    let scene = scene_with_a_refused_token().await;
    let old = scene.current().await;
    let rule = move |headers: &HeaderMap| {
        let mut response = status(StatusCode::UNAUTHORIZED);
        if bearer(headers) != old {
            let step_up = r#"Bearer error="insufficient_user_authentication", max_age=5"#;
            let step_up = header::HeaderValue::from_static(step_up);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, step_up);
        }
        response
    };
    let scene = Scene { rule: Arc::new(rule), ..scene };
    let response = get(&scene.client(&scene.layer())).await.expect("an answer");
    assert_eq!(response.extensions().get::<StepUp>().and_then(|told| told.max_age), Some(5));
    assert_eq!((scene.calls(), scene.refreshes()), (2, 1));
}

#[tokio::test]
async fn while_no_newer_token_can_be_had_the_apis_own_401_is_passed_on() {
    let scene = scene(|_| {
        let mut response = status(StatusCode::UNAUTHORIZED);
        *response.body_mut() = "the API's own words".to_owned();
        response
    })
    .await;
    scene.world.tokens.refuse(TokenOp::Swap);
    let response = get(&scene.client(&scene.layer())).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.body(), "the API's own words");
    assert_eq!(scene.calls(), 1);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_error_says_why() {
    let scene = scene(|_| status(StatusCode::OK)).await;
    let session = scene.world.session(scene.id);
    scene.world.refresher.log_out(&session, Logout::EndSession).await.expect("logged out");
    let error = get(&scene.client(&scene.layer())).await.expect_err("logged out");
    let error = error.downcast_ref::<RefreshError>().expect("a refresh error");
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    assert_eq!(scene.calls(), 0);
}

#[tokio::test]
async fn neither_the_layer_nor_its_service_prints_a_token() {
    let scene = scene(refused).await;
    let layer = scene.layer();
    let service =
        layer.layer(service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(()))));
    let printed = format!("{layer:?} {service:?}");
    assert!(printed.contains("api.example.com"), "{printed}");
    assert!(!printed.contains(&scene.current().await), "{printed}");
}
