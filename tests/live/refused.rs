//! Keycloak refuses what it took before: a user is disabled, a session ended, the client has
//! another secret.

use std::{sync::Arc, time::Duration};

use support::providers::{Browser, CLIENT_SECRET, Provider, User};
use tower_sessions::{MemoryStore, Session, session::Id};
use tower_token_refresh::{
    ClientAuth, RefreshErrorKind, TokenEndpoint, TokenRefresher, TokenSet, testing::ManualClock,
    tower_sessions,
};

/// An application of its own client, with a user who is logged in.
struct App {
    provider: Provider,
    clock: ManualClock,
    refresher: TokenRefresher,
    user: User,
    sid: String,
    id: Id,
}

impl App {
    async fn start() -> Self {
        let nobody = "http://127.0.0.1:9/nobody";
        let provider = Provider::keycloak().await.with_back_channel_client(nobody).await;
        let auth = ClientAuth::basic(provider.client_id(), provider.client_secret());
        let endpoint = TokenEndpoint::discover(&provider.issuer_url, auth);
        let clock = ManualClock::new();
        let refresher =
            TokenRefresher::builder(endpoint.await.expect("found"), MemoryStore::default())
                .clock(clock.clock())
                .build()
                .expect("the settings agree");

        let user = provider.new_user().await;
        let tokens = Browser::new().log_in(&provider, &user).await;
        let session = Session::new(None, Arc::new(refresher.session_store()), None);
        let set = TokenSet::from_response(&tokens).expect("a token response");
        refresher.log_in(&session, set).await.expect("logged in");
        let id = session.id().expect("saved");
        let sid = tokens["session_state"].as_str().expect("a session").to_owned();
        Self { provider, clock, refresher, user, sid, id }
    }

    /// What the next refresh comes to.
    async fn refreshed(&self) -> Result<String, RefreshErrorKind> {
        self.clock.advance(Duration::from_secs(3600));
        let session = Session::new(Some(self.id), Arc::new(self.refresher.session_store()), None);
        match self.refresher.valid_token(&session).await {
            Ok(token) => Ok(token.secret().to_owned()),
            Err(error) => Err(error.kind()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn a_user_who_is_disabled_is_logged_out_with_the_next_refresh() {
    let app = App::start().await;
    app.provider.admin().disable(&app.user.subject).await;
    assert_eq!(app.refreshed().await, Err(RefreshErrorKind::SessionExpired));
    assert_eq!(app.refreshed().await, Err(RefreshErrorKind::SessionExpired), "and stays so");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn a_session_that_was_ended_is_over_with_the_next_refresh() {
    let app = App::start().await;
    app.provider.admin().end_session(&app.sid).await;
    assert_eq!(app.refreshed().await, Err(RefreshErrorKind::SessionExpired));
    assert_eq!(app.refreshed().await, Err(RefreshErrorKind::SessionExpired), "and stays so");
}

/// That is ours to mend, and nobody is logged out meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn another_client_secret_logs_nobody_out() {
    let app = App::start().await;
    let client = app.provider.client_id();
    app.provider.admin().set_secret(client, "another").await;
    assert_eq!(app.refreshed().await, Err(RefreshErrorKind::Misconfigured));
    app.provider.admin().set_secret(client, CLIENT_SECRET).await;
    let token = app.refreshed().await.expect("as before");
    assert!(app.provider.is_live(&token).await);
}
