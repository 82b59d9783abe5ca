//! A provider whose words can be changed.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::Value;
use support::{LIFE, World};
use tower_sessions::session::Id;
use tower_token_refresh::{
    AccessToken, RefreshError, RefreshErrorKind, TokenRefresher, Transport, testing::StrictIssuer,
};

pub const RETRY_AFTER: &str = "retry-after";

/// What the provider does with each token request.
type Rule = dyn Fn(&StrictIssuer, Request<Bytes>) -> Response<Bytes> + Send + Sync;

/// Changes what the provider does from now on.
#[derive(Clone)]
pub struct Director(Arc<Mutex<Arc<Rule>>>);

impl Director {
    pub fn honest(&self) {
        self.rule(|issuer, request| issuer.handle(request));
    }

    /// Every answer is this one, and nothing happens to any token.
    pub fn always(&self, status: u16, body: &'static str) {
        self.rule(move |_, _| response(status, body));
    }

    /// The same for the refresh token of one login.
    pub fn always_to(&self, refresh_token: &str, status: u16, body: &'static str) {
        let theirs = refresh_token.to_owned();
        self.rule(move |issuer, request| {
            if form_says(&request, &theirs) {
                response(status, body)
            } else {
                issuer.handle(request)
            }
        });
    }

    pub fn rule(
        &self,
        rule: impl Fn(&StrictIssuer, Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
    ) {
        *self.0.lock().unwrap() = Arc::new(rule);
    }

    /// Another process on the same stores.
    pub fn another_process(&self, world: &World) -> TokenRefresher {
        let endpoint = support::endpoint(&world.issuer).transport(self.transport(&world.issuer));
        TokenRefresher::builder(endpoint, world.sessions.clone())
            .token_store(world.tokens.clone())
            .clock(world.clock.clock())
            .build()
            .expect("the settings agree")
    }

    pub fn transport(&self, issuer: &StrictIssuer) -> Transport {
        let (directed, issuer) = (self.clone(), issuer.clone());
        Transport::new(tower::service_fn(move |request: Request<Bytes>| {
            let rule = directed.0.lock().unwrap().clone();
            let answer = rule(&issuer, request).map(Full::new);
            async move {
                // Concurrent callers meet.
                tokio::task::yield_now().await;
                Ok::<_, io::Error>(answer)
            }
        }))
    }

    /// The provider does its work, and a success is told in this way.
    pub fn told_as(&self, tell: impl Fn(Value) -> Response<Bytes> + Send + Sync + 'static) {
        self.rule(move |issuer, request| {
            let answer = issuer.handle(request);
            match serde_json::from_slice(answer.body()) {
                Ok(body) if answer.status().is_success() => tell(body),
                _ => answer,
            }
        });
    }
}

fn form_says(request: &Request<Bytes>, refresh_token: &str) -> bool {
    url::form_urlencoded::parse(request.body())
        .any(|(name, value)| name == "refresh_token" && value == refresh_token)
}

pub fn response(status: u16, body: impl Into<Bytes>) -> Response<Bytes> {
    Response::builder().status(status).body(body.into()).expect("a status")
}

pub fn with_header(
    mut response: Response<Bytes>,
    name: &'static str,
    value: &'static str,
) -> Response<Bytes> {
    response.headers_mut().insert(name, http::HeaderValue::from_static(value));
    response
}

/// A world and its director, who lets the provider be honest at first. Access tokens live for 60 s,
/// refresh tokens for two days.
pub fn world() -> (World, Director) {
    world_of(LIFE)
}

pub fn world_of(access_tokens_live: Duration) -> (World, Director) {
    let director = Director(Arc::new(Mutex::new(Arc::new(
        |issuer: &StrictIssuer, request: Request<Bytes>| issuer.handle(request),
    ))));
    let world = World::on_memory();
    let issuer = StrictIssuer::builder()
        .clock(world.clock.clock())
        .access_token_lifetime(access_tokens_live)
        .refresh_token_lifetime(Duration::from_secs(2 * 24 * 3600))
        .build();
    let endpoint = support::endpoint(&issuer).transport(director.transport(&issuer));
    (World { issuer, ..world }.asking(endpoint), director)
}

/// A world in which requests to the provider are counted.
pub struct Counted {
    pub world: World,
    pub director: Director,
    requests: Arc<Mutex<Vec<Bytes>>>,
}

impl Counted {
    pub fn new() -> Self {
        let (world, director) = world();
        Self { world, director, requests: Arc::default() }
    }

    /// Every answer is this one from now on, and the requests are counted.
    pub fn always(&self, status: u16, body: &'static str) {
        self.rule(move |_, _| response(status, body));
    }

    pub fn rule(
        &self,
        rule: impl Fn(&StrictIssuer, Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
    ) {
        let requests = self.requests.clone();
        self.director.rule(move |issuer, request| {
            requests.lock().unwrap().push(request.body().clone());
            rule(issuer, request)
        });
    }

    /// These refresh tokens get this answer, and all others an honest one. Counts the former.
    pub fn answer_to(
        &self,
        tokens: Vec<String>,
        answer: impl Fn() -> Response<Bytes> + Send + Sync + 'static,
    ) -> Arc<AtomicUsize> {
        let posts = Arc::new(AtomicUsize::new(0));
        let counter = posts.clone();
        self.director.rule(move |issuer, request| {
            if tokens.iter().any(|token| form_says(&request, token)) {
                counter.fetch_add(1, Ordering::SeqCst);
                answer()
            } else {
                issuer.handle(request)
            }
        });
        posts
    }

    /// Requests since the rule was counted first.
    pub fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    pub async fn ask(&self, id: Id) -> Result<AccessToken, RefreshError> {
        ask(&self.world, id).await
    }
}

pub async fn ask(world: &World, id: Id) -> Result<AccessToken, RefreshError> {
    ask_at(&world.refresher, id).await
}

pub async fn ask_at(refresher: &TokenRefresher, id: Id) -> Result<AccessToken, RefreshError> {
    let session = tower_sessions::Session::new(Some(id), Arc::new(refresher.session_store()), None);
    refresher.valid_token(&session).await
}

pub async fn kind(world: &World, id: Id) -> Result<(), RefreshErrorKind> {
    ask(world, id).await.map(|_| ()).map_err(|error| error.kind())
}
