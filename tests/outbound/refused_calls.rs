//! What calls meet whose token an API refuses: side by side, one after the other, late, and while
//! the provider fails or hangs.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use http::{Request, Response, StatusCode, header};
use support::{World, settle};
use tokio::{sync::Notify, task::JoinHandle};
use tower::{BoxError, Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_token_refresh::{
    ApiHosts, BearerLayer, LoginTokens, RefreshErrorKind, RefreshPolicy, TokenRefresherBuilder,
    testing::Endpoint,
};

const SECOND: Duration = Duration::from_secs(1);

/// A login without a session, and an API that refuses the tokens that it is told to.
struct Scene {
    world: World,
    tokens: LoginTokens,
    api: ApiHosts,
    refused: Arc<Mutex<Vec<String>>>,
    /// The next call that is refused gets its answer when this is notified.
    held: Arc<Mutex<Option<Arc<Notify>>>>,
}

async fn scene() -> Scene {
    scene_with(|builder| builder).await
}

async fn scene_with(
    configure: impl FnOnce(TokenRefresherBuilder) -> TokenRefresherBuilder,
) -> Scene {
    let world = World::swapping_with(configure);
    let handle = world.refresher.adopt(world.token_set("alice")).await.expect("adopted");
    let tokens = world.refresher.tokens(&handle);
    let api = ApiHosts::new(["api.example.com"]).expect("a host").clock(world.clock.clock());
    Scene { world, tokens, api, refused: Arc::default(), held: Arc::default() }
}

impl Scene {
    /// The API refuses the token of now, which is old enough to be refused for its age.
    async fn refuse_current(&self) {
        let token = self.tokens.token().await.expect("a token");
        self.refused.lock().unwrap().push(token.secret().to_owned());
        self.world.clock.advance(SECOND * 11);
    }

    fn client(&self) -> BoxCloneSyncService<Request<()>, Response<()>, BoxError> {
        let (refused, held) = (self.refused.clone(), self.held.clone());
        let api = service_fn(move |request: Request<()>| {
            let sent = request.headers()[header::AUTHORIZATION].to_str().expect("ASCII");
            let is_refused =
                refused.lock().unwrap().iter().any(|token| sent == format!("Bearer {token}"));
            let held = if is_refused { held.lock().unwrap().take() } else { None };
            async move {
                // Without a challenge, as many an API answers.
                let mut response = Response::new(());
                if is_refused {
                    *response.status_mut() = StatusCode::UNAUTHORIZED;
                }
                match held {
                    Some(held) => held.notified().await,
                    // Calls that are made at once meet.
                    None => tokio::task::yield_now().await,
                }
                Ok::<_, Infallible>(response)
            }
        });
        BoxCloneSyncService::new(BearerLayer::new(self.tokens.clone(), &self.api).layer(api))
    }

    fn begin_call(&self) -> JoinHandle<u16> {
        let client = self.client();
        tokio::spawn(async move {
            let request = Request::get("https://api.example.com/orders").body(());
            let response = client.oneshot(request.expect("a request")).await;
            response.expect("an answer").status().as_u16()
        })
    }

    async fn call(&self) -> u16 {
        self.begin_call().await.expect("no panic")
    }

    fn refreshes(&self) -> usize {
        self.world.issuer.refreshes()
    }
}

#[tokio::test]
async fn three_calls_that_are_refused_at_once_make_one_refresh() {
    let scene = scene().await;
    scene.refuse_current().await;
    let calls = join_all((0..3).map(|_| scene.begin_call())).await;
    assert!(calls.into_iter().all(|call| call.expect("no panic") == 200));
    assert_eq!((scene.refreshes(), scene.world.issuer.max_presented()), (1, 1));
}

#[tokio::test]
async fn two_calls_that_are_refused_one_after_the_other_make_two() {
    let scene = scene().await;
    for refreshes in 1..=2 {
        scene.refuse_current().await;
        assert_eq!((scene.call().await, scene.refreshes()), (200, refreshes));
    }
}

#[tokio::test]
async fn after_a_refresh_that_failed_the_next_call_is_healed() {
    let scene = scene().await;
    scene.refuse_current().await;
    scene.world.issuer.set_down(true);
    assert_eq!((scene.call().await, scene.refreshes()), (401, 0));
    scene.world.issuer.set_down(false);
    scene.world.clock.advance(SECOND * 10);
    assert_eq!((scene.call().await, scene.refreshes()), (200, 1));
}

#[tokio::test]
async fn a_401_that_arrives_after_the_refresh_causes_none() {
    let scene = scene().await;
    scene.refuse_current().await;
    let answer = Arc::new(Notify::new());
    *scene.held.lock().unwrap() = Some(answer.clone());
    let late = scene.begin_call();
    settle().await;
    assert_eq!((scene.call().await, scene.refreshes()), (200, 1));

    answer.notify_one();
    assert_eq!((late.await.expect("no panic"), scene.refreshes()), (200, 1));
}

/// The provider never answers. Nobody knows whether it has used the refresh token up, so that is
/// presented again when the access token has expired, and not before.
#[tokio::test(start_paused = true)]
async fn a_hung_refresh_is_over_at_its_limit_and_a_later_call_is_served() {
    let scene = scene().await;
    scene.refuse_current().await;
    let hung = scene.world.issuer.gate_before(Endpoint::Token);
    assert_eq!((scene.call().await, scene.refreshes()), (401, 0));
    hung.reached().await;
    // Longer than a token request may take.
    tokio::time::sleep(SECOND * 20).await;
    scene.world.expire();
    scene.world.clock.advance(SECOND * 60);
    assert_eq!(scene.tokens.token().await.map(|_| ()).map_err(|error| error.kind()), Ok(()));
    assert_eq!((scene.call().await, scene.refreshes()), (200, 1));
    drop(hung);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_no_longer_than_its_limit_and_the_refresh_goes_on() {
    let policy = RefreshPolicy::default().wait_timeout(SECOND * 2);
    let scene = scene_with(|builder| builder.policy(policy)).await;
    scene.refuse_current().await;
    let answer = scene.world.issuer.gate_after(Endpoint::Token);
    let call = tokio::time::timeout(Duration::from_millis(2_001), scene.begin_call());
    assert_eq!(call.await.expect("not a moment longer").expect("no panic"), 401);

    answer.open();
    settle().await;
    assert_eq!((scene.call().await, scene.refreshes()), (200, 1));
}

#[tokio::test]
async fn how_many_wait_for_a_refresh_is_visible() {
    let scene = scene().await;
    scene.refuse_current().await;
    let answer = scene.world.issuer.gate_after(Endpoint::Token);
    let calls: Vec<_> = (0..3).map(|_| scene.begin_call()).collect();
    answer.reached().await;
    settle().await;
    assert_eq!(scene.world.refresher.usage().waiting, 3);
    calls[0].abort();
    settle().await;
    assert_eq!(scene.world.refresher.usage().waiting, 2);
    answer.open();
    for call in calls.into_iter().skip(1) {
        assert_eq!(call.await.expect("no panic"), 200);
    }
    assert_eq!((scene.world.refresher.usage().waiting, scene.refreshes()), (0, 1));
}

/// A proxy in front of the provider has put its own page in the answer's place.
#[tokio::test]
async fn html_from_the_token_endpoint_is_an_error_of_its_kind_that_shows_nothing() {
    let scene = scene().await;
    scene.refuse_current().await;
    let page = "<html>session s3cret-of-the-proxy has expired</html>";
    scene.world.issuer.fail_next(200, page);
    assert_eq!(scene.call().await, 401, "the API's own answer");
    assert_eq!(scene.world.issuer.token_requests(), 1, "and no loop");

    scene.world.expire();
    scene.world.issuer.fail_next(200, page);
    let error = scene.tokens.token().await.expect_err("no token");
    assert_eq!(error.kind(), RefreshErrorKind::InvalidResponse);
    let mut printed = format!("{error} {error:?}");
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        printed.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
    let secrets = scene.world.issuer.every_secret();
    assert!(!printed.contains("s3cret") && secrets.iter().all(|secret| !printed.contains(secret)));
}
