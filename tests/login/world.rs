//! Provider, application and browser on loopback.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{Request, Response, header},
    routing::get,
};
use serde_json::{Value, json};
use support::{ScriptedTokens, tab::claims_of};
use tokio::{net::TcpListener, task::JoinHandle};
use tower::ServiceExt;
use tower_token_refresh::{
    AccessToken, ClientAuth, Discover, Identity, LoginRoutes, LoginTokens, TokenEndpoint,
    TokenRefreshLayer, TokenRefresher,
    testing::{IssuerServer, ManualClock, MemoryTokens, StrictIssuer, StrictIssuerBuilder},
    tower_sessions::MemoryStore,
};

use crate::browser::Browser;

pub(crate) struct World {
    pub(crate) issuer: IssuerServer,
    pub(crate) clock: ManualClock,
    pub(crate) base: String,
    pub(crate) refresher: TokenRefresher,
    pub(crate) sessions: MemoryStore,
    pub(crate) tokens: ScriptedTokens,
    serving: JoinHandle<()>,
}

type Change<T> = Box<dyn FnOnce(T) -> T>;

pub(crate) struct Setup {
    builder: Change<StrictIssuerBuilder>,
    provider: Box<dyn FnOnce(&StrictIssuer)>,
    endpoint: Change<Discover>,
    configured: Option<fn(&StrictIssuer) -> TokenEndpoint>,
    routes: Change<LoginRoutes>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::setup().start().await
    }

    pub(crate) fn setup() -> Setup {
        Setup {
            builder: Box::new(|builder| builder),
            provider: Box::new(|_| {}),
            endpoint: Box::new(|endpoint| endpoint),
            configured: None,
            routes: Box::new(|routes| routes),
        }
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::new(&self.base, &self.base)
    }

    /// A browser in which `alice` is logged in.
    pub(crate) async fn logged_in(&self) -> Browser {
        let browser = self.browser();
        browser.log_in().await;
        browser
    }

    /// The application in another process, on the same stores.
    pub(crate) fn another_process(&self) -> Router {
        let auth = ClientAuth::basic("web", "secret");
        let endpoint = TokenEndpoint::discover(self.issuer.issuer_url(), auth).lazy();
        let refresher = TokenRefresher::builder(endpoint, self.sessions.clone())
            .token_store(self.tokens.clone())
            .clock(self.clock.clock())
            .build()
            .expect("settings that agree");
        app(&refresher, Router::new())
    }

    pub(crate) fn issuer(&self) -> &StrictIssuer {
        self.issuer.issuer()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Setup {
    pub(crate) fn builder(
        mut self,
        change: impl FnOnce(StrictIssuerBuilder) -> StrictIssuerBuilder + 'static,
    ) -> Self {
        self.builder = Box::new(change);
        self
    }

    /// What is done to the provider before the application starts.
    pub(crate) fn provider(mut self, prepare: impl FnOnce(&StrictIssuer) + 'static) -> Self {
        self.provider = Box::new(prepare);
        self
    }

    pub(crate) fn endpoint(mut self, change: impl FnOnce(Discover) -> Discover + 'static) -> Self {
        self.endpoint = Box::new(change);
        self
    }

    /// An endpoint without discovery.
    pub(crate) fn configured(mut self, make: fn(&StrictIssuer) -> TokenEndpoint) -> Self {
        self.configured = Some(make);
        self
    }

    pub(crate) fn routes(
        mut self,
        change: impl FnOnce(LoginRoutes) -> LoginRoutes + 'static,
    ) -> Self {
        self.routes = Box::new(change);
        self
    }

    pub(crate) async fn start(self) -> World {
        let clock = ManualClock::new();
        let issuer = (self.builder)(StrictIssuer::builder().clock(clock.clock())).build();
        let issuer = issuer.serve().await.expect("a free port");
        (self.provider)(issuer.issuer());
        let is_discovered = self.configured.is_none();
        let endpoint = match self.configured {
            Some(make) => make(issuer.issuer()),
            None => {
                let auth = ClientAuth::basic("web", "secret");
                (self.endpoint)(TokenEndpoint::discover(issuer.issuer_url(), auth)).lazy()
            }
        };
        let sessions = MemoryStore::default();
        let tokens = ScriptedTokens::new(MemoryTokens::new());
        let refresher = TokenRefresher::builder(endpoint, sessions.clone())
            .token_store(tokens.clone())
            .clock(clock.clock());
        let refresher =
            if is_discovered { refresher.back_channel_logout([7; 32]) } else { refresher };
        let refresher = refresher.build().expect("settings that agree");

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let routes = (self.routes)(refresher.login_routes(&base).prefix("/auth"));
        let routes = routes.build().unwrap_or_else(|error| panic!("{error}"));
        let app = app(&refresher, routes);
        let serving = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("it serves");
        });
        World { issuer, clock, base, refresher, sessions, tokens, serving }
    }
}

pub(crate) fn app(refresher: &TokenRefresher, login: Router) -> Router {
    let sessions = refresher.session_layer().with_name("session").with_secure(false);
    Router::new()
        .route("/", get(home))
        .route("/whoami", get(whoami))
        .route("/end", get(end_elsewhere).with_state(refresher.clone()))
        .route("/api/orders", get(orders))
        .layer(TokenRefreshLayer::new(refresher).lazy())
        .merge(login)
        .layer(sessions)
}

/// Says who is logged in, by name.
async fn home(user: Option<Identity>) -> String {
    user.map_or("nobody".to_owned(), |user| user.preferred_username.clone().unwrap_or_default())
}

/// Ends the login, and leaves the session as it is.
async fn end_elsewhere(State(refresher): State<TokenRefresher>, tokens: LoginTokens) {
    refresher.end(&tokens.handle()).await.expect("ended");
}

/// All that is known of the user.
async fn whoami(user: Identity<Value>) -> Json<Value> {
    Json((*user).clone())
}

/// An API that echoes the token that it was called with.
async fn orders(token: AccessToken) -> Json<Value> {
    let header = token.header();
    Json(json!({ "headers": { "authorization": [header.to_str().expect("ASCII")] } }))
}

/// What makes the provider's next document an edited one.
pub(crate) fn edited_document(
    edit: impl Fn(&mut Value) + Send + Sync + 'static,
) -> impl FnOnce(&StrictIssuer) {
    let edit = Arc::new(edit);
    move |issuer| {
        let found = issuer
            .handle(http::Request::get(issuer.discovery_url()).body(bytes::Bytes::new()).unwrap());
        let mut document: Value = serde_json::from_slice(found.body()).unwrap();
        edit(&mut document);
        let answer =
            http::Response::builder().status(200).body(document.to_string().into()).unwrap();
        issuer.answer_next_at(tower_token_refresh::testing::Endpoint::Discovery, answer);
    }
}

/// One GET with these cookies; empty for none.
pub(crate) async fn ask(app: &Router, path: &str, cookies: &str) -> Response<Body> {
    let mut request = Request::get(path);
    if !cookies.is_empty() {
        request = request.header(header::COOKIE, cookies);
    }
    let request = request.body(Body::empty()).expect("a request");
    app.clone().oneshot(request).await.expect("infallible")
}

/// The ID token of the answer with other claims, well signed.
pub(crate) fn edit_claims(
    issuer: &StrictIssuer,
    answer: &mut Value,
    edit: impl FnOnce(&mut Value),
) {
    let mut claims = claims_of(answer["id_token"].as_str().expect("an ID token"));
    edit(&mut claims);
    answer["id_token"] = json!(issuer.sign_jwt(json!({}), &claims));
}
