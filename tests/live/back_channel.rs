//! A provider ends a session and says so: the sessions here that belong to it are over, and no
//! others.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use axum::Router;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use support::{
    bff::{self, Running},
    providers::{Browser, CLIENT_SECRET, Provider, Refreshes, User},
};
use tokio::{net::TcpListener, time::sleep};
use tower_sessions::{MemoryStore, Session, session::Id};
use tower_token_refresh::{
    ClientAuth, Clock, RefreshErrorKind, TokenEndpoint, TokenRefresher, TokenSet, tower_sessions,
};

use crate::api;

const INDEX_KEY: &str = "aW5kZXgta2V5LWluZGV4LWtleS1pbmRleC1rZXktMDE=";

/// An application that its provider informs of log outs.
struct App {
    provider: Provider,
    refresher: TokenRefresher,
}

impl App {
    /// `by_session`: whether Keycloak is to name the session, or the user alone.
    async fn at_keycloak(by_session: bool) -> Self {
        let (listener, url) = address().await;
        let keycloak = Provider::keycloak().await;
        let id = keycloak.admin().create_back_channel_client(&url, by_session).await;
        Self::start(keycloak.with_client(id.leak(), Some(CLIENT_SECRET)), listener).await
    }

    async fn at_oidc_provider() -> Self {
        let (listener, url) = address().await;
        Self::start(Provider::oidc_provider().await.with_back_channel_client(&url).await, listener)
            .await
    }

    async fn start(provider: Provider, listener: TcpListener) -> Self {
        let auth = ClientAuth::basic(provider.client_id(), provider.client_secret());
        let endpoint = TokenEndpoint::discover(&provider.issuer_url, auth).await.expect("found");
        let refresher = TokenRefresher::builder(endpoint, MemoryStore::default())
            .back_channel_logout([7; 32])
            .build()
            .expect("the settings agree");
        let route = refresher.back_channel_logout().expect("it is turned on");
        let router = Router::new().route("/back-channel", route);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { provider, refresher }
    }

    async fn log_in(&self, tokens: &Value) -> Id {
        let session = self.session(None);
        let set = TokenSet::from_response(tokens).expect("a token response");
        self.refresher.log_in(&session, set).await.expect("logged in");
        session.id().expect("saved")
    }

    fn session(&self, id: Option<Id>) -> Session {
        Session::new(id, Arc::new(self.refresher.session_store()), None)
    }

    async fn is_logged_in(&self, id: Id) -> bool {
        match self.refresher.valid_token(&self.session(Some(id))).await {
            Ok(token) => {
                assert!(self.provider.is_live(token.secret()).await, "and the provider takes it");
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
                false
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn a_session_that_an_administrator_ends_is_over_here() {
    let app = App::at_keycloak(true).await;
    let user = app.provider.new_user().await;
    let browser = Browser::new();
    let tokens = browser.log_in(&app.provider, &user).await;
    let first = app.log_in(&tokens).await;
    let second = app.log_in(&browser.log_in(&app.provider, &user).await).await;
    let elsewhere = app.log_in(&Browser::new().log_in(&app.provider, &user).await).await;
    assert!(app.is_logged_in(first).await && app.is_logged_in(second).await);

    let sid = tokens["session_state"].as_str().expect("Keycloak names its session");
    app.provider.admin().end_session(sid).await;

    assert!(!app.is_logged_in(first).await);
    assert!(!app.is_logged_in(second).await, "the same browser's other login");
    assert!(app.is_logged_in(elsewhere).await, "another browser's is not");
}

/// Keycloak 26.4 calls a client once per such log out, whichever of the user's sessions it then
/// names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn a_user_whom_an_administrator_logs_out_is_out_here() {
    let app = App::at_keycloak(false).await;
    let (user, other) = (app.provider.new_user().await, app.provider.new_user().await);
    let first = app.log_in(&Browser::new().log_in(&app.provider, &user).await).await;
    let second = app.log_in(&Browser::new().log_in(&app.provider, &user).await).await;
    let stranger = app.log_in(&Browser::new().log_in(&app.provider, &other).await).await;

    app.provider.admin().log_user_out(&user.subject).await;

    assert!(!app.is_logged_in(first).await);
    assert!(!app.is_logged_in(second).await);
    assert!(app.is_logged_in(stranger).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs oidc-provider: see tests/services/run"]
async fn a_session_that_its_user_ends_at_oidc_provider_is_over_here() {
    let app = App::at_oidc_provider().await;
    let user = app.provider.new_user().await;
    let (browser, other) = (Browser::new(), Browser::new());
    let tokens = browser.log_in(&app.provider, &user).await;
    let first = app.log_in(&tokens).await;
    let elsewhere = app.log_in(&other.log_in(&app.provider, &user).await).await;
    assert!(app.is_logged_in(first).await && app.is_logged_in(elsewhere).await);

    browser.log_out_at(&app.provider, tokens["id_token"].as_str().expect("an ID token")).await;

    assert!(!app.is_logged_in(first).await);
    assert!(app.is_logged_in(elsewhere).await, "another browser's is not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn the_bff_ends_a_login_that_keycloak_has_ended() {
    let provider = Provider::keycloak().await;
    let user = provider.new_user().await;
    let (provider, bff) = bff_of_a_client(&provider, Router::new()).await;
    let (browser, other) = (Browser::new(), Browser::new());
    let claims = claims_of(&log_in_at(&bff, &browser, &user).await);
    log_in_at(&bff, &other, &user).await;

    provider.admin().end_session(claims["sid"].as_str().expect("a session")).await;
    until_refused(&bff, &browser).await;

    let expires_at = UNIX_EPOCH + Duration::from_secs(claims["exp"].as_u64().expect("a time"));
    assert!(
        expires_at > Clock::system().now() + Duration::from_secs(120),
        "the token itself is good for long"
    );
    let no_refresh = Refreshes { granted: 0, refused: 0 };
    assert_eq!(provider.refreshes(&user).await, no_refresh, "and nobody has tried to refresh it");
    assert_eq!(other.get(&orders(&bff)).await.status(), 200, "the other browser's login lives");
}

/// Where an application will listen for log outs.
async fn address() -> (TcpListener, String) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let url = format!("http://{}/back-channel", listener.local_addr().expect("an address"));
    (listener, url)
}

/// The bff with a client of its own, and that is told of log outs.
pub async fn bff_of_a_client(provider: &Provider, api: Router) -> (Provider, Running) {
    let url = bff::free_url();
    let told_at = format!("{url}/auth/back-channel-logout");
    let provider = provider.with_back_channel_client(&told_at).await;
    let settings = [("INDEX_KEY", INDEX_KEY), ("CLIENT_SECRET", provider.client_secret())];
    let (program, api) = (bff::build(&[]), api::serve(api).await);
    let (issuer, id) = (&provider.issuer_url, provider.client_id());
    let bff = Running::start_at(&url, &program, issuer, id, &api, &settings).await;
    (provider, bff)
}

fn orders(bff: &Running) -> String {
    format!("{}/api/orders", bff.url)
}

/// Gives the access token that the API is then called with.
async fn log_in_at(bff: &Running, browser: &Browser, user: &User) -> String {
    let login = format!("{}/auth/login?return_to=/api/orders", bff.url).parse().expect("a URL");
    let page = browser.follow_until(login, &orders(bff), user).await;
    let answer = browser.get(page.as_str()).await;
    assert_eq!(answer.status(), 200, "logged in");
    answer.text().await.expect("a token")
}

/// Keycloak calls the application before it answers the administrator, but nowhere promises to.
async fn until_refused(bff: &Running, browser: &Browser) {
    let refused = async {
        loop {
            match browser.get(&orders(bff)).await.status().as_u16() {
                200 => sleep(Duration::from_millis(100)).await,
                status => return status,
            }
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(30), refused).await;
    assert_eq!(status.expect("the application knows of it"), 401);
}

fn claims_of(token: &str) -> Value {
    let claims = token.split('.').nth(1).expect("a JWT");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).expect("base64url"))
        .expect("JSON")
}
