//! Keycloak ends a session and says so: the sessions here that belong to it are over, and no others.

mod providers;

use std::sync::Arc;

use axum::Router;
use providers::{Browser, Provider};
use serde_json::Value;
use tokio::net::TcpListener;
use tower_sessions::{MemoryStore, Session, session::Id};
use tower_token_refresh::{
    ClientAuth, RefreshErrorKind, TokenEndpoint, TokenRefresher, TokenSet, tower_sessions,
};
use uuid::Uuid;

const SECRET: &str = "secret";

/// An application that Keycloak tells who has logged out.
struct App {
    provider: Provider,
    refresher: TokenRefresher,
}

impl App {
    /// `by_session`: whether Keycloak is to name the session, or the user alone.
    async fn start(by_session: bool) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let url = format!("http://{}/back-channel", listener.local_addr().expect("an address"));
        let id: &'static str = format!("told-{}", Uuid::new_v4().simple()).leak();
        let keycloak = Provider::keycloak().await;
        keycloak.admin().create_told_client(id, SECRET, &url, by_session).await;

        let auth = ClientAuth::basic(id, SECRET);
        let endpoint = TokenEndpoint::discover(&keycloak.issuer_url, auth).await.expect("found");
        let store = MemoryStore::default();
        let refresher = TokenRefresher::builder(endpoint, store.clone())
            .back_channel_logout(store, [7; 32])
            .build()
            .expect("the settings agree");
        let route = refresher.back_channel_logout().expect("it is turned on");
        let router = Router::new().route("/back-channel", route);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { provider: keycloak.with_client(id, Some(SECRET)), refresher }
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
                assert!(self.provider.is_live(token.secret()).await, "and Keycloak takes it");
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
#[ignore = "needs Keycloak: tests/services/run keycloak -- cargo test --test live_back_channel -- --include-ignored"]
async fn a_session_that_an_administrator_ends_is_over_here() {
    let app = App::start(true).await;
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

/// Keycloak 26.4 tells a client once per such log out, whichever of the user's sessions it then names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Keycloak: tests/services/run keycloak -- cargo test --test live_back_channel -- --include-ignored"]
async fn a_user_whom_an_administrator_logs_out_is_out_here() {
    let app = App::start(false).await;
    let (user, other) = (app.provider.new_user().await, app.provider.new_user().await);
    let first = app.log_in(&Browser::new().log_in(&app.provider, &user).await).await;
    let second = app.log_in(&Browser::new().log_in(&app.provider, &user).await).await;
    let stranger = app.log_in(&Browser::new().log_in(&app.provider, &other).await).await;

    app.provider.admin().log_user_out(&user.subject).await;

    assert!(!app.is_logged_in(first).await);
    assert!(!app.is_logged_in(second).await);
    assert!(app.is_logged_in(stranger).await);
}
