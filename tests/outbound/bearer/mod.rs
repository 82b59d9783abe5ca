//! The layer around a client of an API.

mod refused;
mod sent;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::Full;
use support::World;
use tower::{BoxError, Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_token_refresh::{ApiHosts, BearerLayer, LoginTokens};

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
    let world = World::on_swapping()
        .at(|issuer| issuer.access_token_lifetime(LIFE).refresh_token_lifetime(LIFE * 100));
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
