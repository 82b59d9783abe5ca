//! Two applications with the same three routes: log in with a token response, show the token, log
//! out.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    middleware::{from_fn, from_fn_with_state},
    routing::{get, post},
};
use futures_util::future::join_all;
use serde_json::Value;
use support::{
    providers::{CLIENT_ID, CLIENT_SECRET, Provider},
    seal,
    stores::AnyStore,
    way::Way,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tower_sessions::{Session, SessionManagerLayer, session::Id};
use tower_token_refresh::{
    AccessToken, ClientAuth, Logout, RefreshError, TokenEndpoint, TokenRefreshLayer,
    TokenRefresher, TokenRefresherBuilder, TokenSet, testing::ManualClock, token_store::TokenStore,
    tower_sessions,
};

use crate::{
    arrivals::Arrivals,
    gate::Gate,
    naive::{self, Naive},
};

/// Longer than any access token of the test providers lives.
const LIFE: Duration = Duration::from_secs(3600);

/// An application that runs, and what its test controls.
pub struct App {
    pub url: String,
    pub clock: ManualClock,
    pub gate: Gate,
    pub arrivals: Arrivals,
    pub store: AnyStore,
}

impl App {
    /// With our middleware, sessions and tokens in `store`.
    pub async fn ours(provider: &Provider, store: AnyStore) -> Self {
        Self::configured(provider, store, ManualClock::new(), |builder| builder).await
    }

    /// The same, with the tokens sealed.
    pub async fn sealed(provider: &Provider, store: AnyStore) -> Self {
        let seal = |builder: TokenRefresherBuilder| builder.seal_with(seal::keys());
        Self::configured(provider, store, ManualClock::new(), seal).await
    }

    /// With our middleware, as one of several processes that share their sessions and tokens.
    pub async fn process(
        provider: &Provider,
        sessions: &AnyStore,
        tokens: &(impl TokenStore + Clone),
        clock: &ManualClock,
    ) -> Self {
        let share = |builder: TokenRefresherBuilder| builder.token_store(tokens.clone());
        Self::configured(provider, sessions.clone(), clock.clone(), share).await
    }

    /// With our middleware and its default transport, on a way that can be cut.
    pub async fn by_way_of(provider: &Provider, way: &Way, store: AnyStore) -> Self {
        let mut token_url = provider.url("token_endpoint");
        token_url.set_port(Some(way.address.port())).expect("an http URL has a port");
        let auth = ClientAuth::basic(CLIENT_ID, CLIENT_SECRET);
        let endpoint = TokenEndpoint::new(token_url.as_str(), auth).issuer(&provider.issuer_url);
        let clock = ManualClock::new();
        let refresher = TokenRefresher::builder(endpoint, store.clone()).clock(clock.clock());
        Self::with_refresher(refresher, clock, Gate::new(), store).await
    }

    async fn configured(
        provider: &Provider,
        store: AnyStore,
        clock: ManualClock,
        configure: impl FnOnce(TokenRefresherBuilder) -> TokenRefresherBuilder,
    ) -> Self {
        let gate = Gate::new();
        let auth = ClientAuth::basic(CLIENT_ID, CLIENT_SECRET);
        let endpoint = TokenEndpoint::discover(&provider.issuer_url, auth)
            .transport(gate.transport())
            .await
            .expect("the provider is found");
        let refresher = TokenRefresher::builder(endpoint, store.clone()).clock(clock.clock());
        Self::with_refresher(configure(refresher), clock, gate, store).await
    }

    async fn with_refresher(
        refresher: TokenRefresherBuilder,
        clock: ManualClock,
        gate: Gate,
        store: AnyStore,
    ) -> Self {
        let refresher = refresher.build().expect("the settings agree");
        let router = Router::new()
            .route("/token", get(async |token: AccessToken| token.secret().to_owned()))
            .layer(TokenRefreshLayer::new(&refresher))
            .route("/login", post(log_in))
            .route("/logout", post(log_out))
            .with_state(refresher.clone())
            .layer(refresher.session_layer());
        Self::serve(router, clock, gate, store).await
    }

    /// With a middleware that refreshes in every request.
    pub async fn naive(provider: &Provider, store: AnyStore) -> Self {
        let (clock, gate) = (ManualClock::new(), Gate::new());
        let naive = Naive::new(provider, clock.clock(), gate.clone());
        let router = Router::new()
            .route("/token", get(naive::show_token))
            .layer(from_fn_with_state(naive.clone(), naive::refresh_if_expired))
            .route("/login", post(naive::log_in))
            .with_state(naive)
            .layer(SessionManagerLayer::new(store.clone()));
        Self::serve(router, clock, gate, store).await
    }

    async fn serve(router: Router, clock: ManualClock, gate: Gate, store: AnyStore) -> Self {
        let arrivals = Arrivals::default();
        let counting = arrivals.clone();
        let router =
            router.layer(from_fn(move |request, next| counting.clone().count(request, next)));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, clock, gate, arrivals, store }
    }

    /// A visitor who has been logged in with these tokens.
    pub async fn log_in(&self, tokens: &Value) -> Visitor {
        let http = reqwest::Client::new();
        let answer =
            http.post(format!("{}/login", self.url)).json(tokens).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "log in");
        let cookie = answer.headers()["set-cookie"].to_str().expect("ASCII");
        let cookie = cookie.split(';').next().expect("a cookie").to_owned();
        Visitor { http, app: self.url.clone(), cookie }
    }

    /// Every access token issued so far has expired, as the application sees it.
    pub fn expire(&self) {
        self.clock.advance(LIFE);
    }

    /// `count` requests at once: the provider's answers are kept back until all of them have
    /// arrived.
    pub async fn storm(&self, visitor: &Visitor, count: usize) -> Vec<Reply> {
        let before = self.arrivals.arrived_so_far();
        self.gate.close();
        let requests: Vec<_> = (0..count).map(|_| visitor.ask()).collect();
        self.arrivals.until_arrived(before + count).await;
        self.gate.open();
        replies(requests).await
    }

    /// `count` requests at once, of which each makes a token request of its own.
    pub async fn storm_of_refreshes(&self, visitor: &Visitor, count: usize) -> Vec<Reply> {
        self.gate.close();
        let requests: Vec<_> = (0..count).map(|_| visitor.ask()).collect();
        self.gate.until(|seen| seen.tokens.len() == count).await;
        self.gate.open();
        replies(requests).await
    }
}

/// What became of requests.
pub async fn replies(requests: Vec<JoinHandle<Reply>>) -> Vec<Reply> {
    join_all(requests)
        .await
        .into_iter()
        .map(|reply| reply.expect("a request does not panic"))
        .collect()
}

/// Somebody with a session cookie.
#[derive(Clone)]
pub struct Visitor {
    http: reqwest::Client,
    app: String,
    cookie: String,
}

/// What came back: the token, if the status is 200.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub body: String,
}

impl Visitor {
    /// Asks for the token, in a task of its own.
    pub fn ask(&self) -> JoinHandle<Reply> {
        let request = self.http.get(format!("{}/token", self.app));
        tokio::spawn(send(request.header("cookie", &self.cookie)))
    }

    /// Asks for the token on a connection of its own, which closes with the task.
    pub fn ask_alone(&self) -> JoinHandle<Reply> {
        Self { http: reqwest::Client::new(), ..self.clone() }.ask()
    }

    pub async fn token(&self) -> Reply {
        self.ask().await.expect("a request does not panic")
    }

    pub async fn log_out(&self) -> Reply {
        send(self.http.post(format!("{}/logout", self.app)).header("cookie", &self.cookie)).await
    }

    /// The same cookie, shown to another process.
    pub fn at(&self, app: &App) -> Self {
        Self { app: app.url.clone(), ..self.clone() }
    }

    pub fn session_id(&self) -> Id {
        self.cookie.split_once('=').expect("name=value").1.parse().expect("a session id")
    }
}

async fn send(request: reqwest::RequestBuilder) -> Reply {
    let answer = request.send().await.expect("an answer");
    Reply { status: answer.status(), body: answer.text().await.expect("text") }
}

async fn log_in(
    State(refresher): State<TokenRefresher>,
    session: Session,
    Json(tokens): Json<Value>,
) -> Result<(), RefreshError> {
    let set = TokenSet::from_response(&tokens).expect("a token response");
    refresher.log_in(&session, set).await
}

async fn log_out(
    State(refresher): State<TokenRefresher>,
    session: Session,
) -> Result<(), RefreshError> {
    refresher.log_out(&session, Logout::EndSession).await.map(|_| ())
}
