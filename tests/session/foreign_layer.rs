//! The refresher works with any session layer over any store: the session holds only a pointer.
//!
//! What is the refresher's own stays: one refresh, no older tokens over newer ones, an ended login
//! that stays ended. Of promise 6 ("a session that is deleted stays deleted") these sentences are
//! tower-sessions' own there, and hold as far as it and the store keep them:
//!
//! - "a `save` over nothing is dropped": tower-sessions saves, and most stores write it;
//! - "`create` always takes a new id": after `flush`, tower-sessions 0.14 creates the old one
//!   again.
//!
//! "A session whose login ended with its session is emptied" holds, but only where a token is next
//! asked for: nobody looks when it is loaded.

use std::sync::Arc;

use axum::{Router, http::StatusCode, routing};
use support::{
    KEY, LIFE,
    browser::{Cookie, cookie_of, get},
    endpoint, value,
};
use tower_sessions::{
    CachingSessionStore, MemoryStore, Session, SessionManagerLayer, SessionStore, session::Id,
};
use tower_token_refresh::{
    AccessToken,
    Logout::EndSession,
    RefreshErrorKind, TokenRefreshLayer, TokenRefresher, TokenSet,
    testing::{Endpoint, ManualClock, StrictIssuer},
    token_store::InSessions,
    tower_sessions,
};

/// An application whose sessions come from a layer of its own.
struct Foreign<Store> {
    issuer: StrictIssuer,
    clock: ManualClock,
    refresher: TokenRefresher,
    store: Store,
}

fn over_the_bare_store() -> Foreign<MemoryStore> {
    let (clock, store) = (ManualClock::new(), MemoryStore::default());
    let issuer = StrictIssuer::builder().clock(clock.clock()).access_token_lifetime(LIFE).build();
    let refresher = TokenRefresher::builder(endpoint(&issuer), store.clone())
        .clock(clock.clock())
        .build()
        .unwrap();
    Foreign { issuer, clock, refresher, store }
}

type Cached = CachingSessionStore<MemoryStore, MemoryStore>;

/// Two processes with a cache of sessions each, over one store. Only the sessions go through it.
fn two_with_caches() -> (Foreign<Cached>, Foreign<Cached>) {
    let (clock, bare) = (ManualClock::new(), MemoryStore::default());
    let issuer = StrictIssuer::builder().clock(clock.clock()).access_token_lifetime(LIFE).build();
    let process = || {
        let store = CachingSessionStore::new(MemoryStore::default(), bare.clone());
        let refresher = TokenRefresher::builder(endpoint(&issuer), store.clone())
            .token_store(InSessions::new(bare.clone()))
            .clock(clock.clock())
            .build()
            .unwrap();
        Foreign { issuer: issuer.clone(), clock: clock.clone(), refresher, store }
    };
    (process(), process())
}

impl<Store: SessionStore + Clone> Foreign<Store> {
    fn session(&self, id: Option<Id>) -> Session {
        Session::new(id, Arc::new(self.store.clone()), None)
    }

    async fn request(&self, id: Id) -> Session {
        let session = self.session(Some(id));
        session.get_value(KEY).await.unwrap();
        session
    }

    async fn log_in(&self, user: &str) -> Id {
        let session = self.session(None);
        let set = TokenSet::from_response(self.issuer.log_in(user)).unwrap();
        self.refresher.log_in(&session, set).await.expect("logged in");
        session.id().unwrap()
    }

    async fn token(&self, id: Id) -> Result<AccessToken, RefreshErrorKind> {
        let session = self.session(Some(id));
        self.refresher.valid_token(&session).await.map_err(|error| error.kind())
    }

    /// A page that needs a token, a login and a logout, below the application's own session
    /// layer.
    fn app(&self) -> Router {
        let (refresher, set) = (self.refresher.clone(), self.issuer.log_in("alice"));
        let log_in = move |session: Session| async move {
            let set = TokenSet::from_response(set).unwrap();
            refresher.log_in(&session, set).await.expect("logged in");
        };
        let refresher = self.refresher.clone();
        let log_out = move |session: Session| async move {
            refresher.log_out(&session, EndSession).await.expect("logged out");
        };
        Router::new()
            .route(
                "/page",
                routing::get(|token: AccessToken| async move { token.secret().to_owned() }),
            )
            .layer(TokenRefreshLayer::new(&self.refresher))
            .route("/login", routing::get(log_in))
            .route("/logout", routing::get(log_out))
            .layer(SessionManagerLayer::new(self.store.clone()))
    }
}

async fn one_refresh_for_a_storm_and_an_end_that_stays<Store>(foreign: Foreign<Store>)
where
    Store: SessionStore + Clone,
{
    let app = foreign.app();
    let Cookie::Set(id) = cookie_of(&get(&app, "/login", None).await) else { panic!("a session") };
    foreign.clock.advance(LIFE);
    let storm: Vec<_> = (0..20)
        .map(|_| {
            let app = app.clone();
            tokio::spawn(async move { get(&app, "/page", Some(id)).await.status() })
        })
        .collect();
    for answer in storm {
        assert_eq!(answer.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(foreign.issuer.refresh_requests(), 1);

    let answer = get(&app, "/logout", Some(id)).await;
    assert_eq!(cookie_of(&answer), Cookie::Removed);
    assert_eq!(get(&app, "/page", Some(id)).await.status(), StatusCode::UNAUTHORIZED);
    for token in foreign.issuer.every_secret() {
        assert!(!foreign.issuer.is_access_token_live(&token));
        assert!(!foreign.issuer.is_refresh_token_live(&token));
    }
}

#[tokio::test]
async fn with_a_session_manager_layer_over_the_bare_store() {
    one_refresh_for_a_storm_and_an_end_that_stays(over_the_bare_store()).await;
}

#[tokio::test]
async fn with_a_caching_session_store_beside_a_token_store_over_the_bare_one() {
    one_refresh_for_a_storm_and_an_end_that_stays(two_with_caches().0).await;
}

// RACES row 1 needs no guard.
#[tokio::test]
async fn a_late_save_over_the_bare_store_undoes_no_refresh() {
    let foreign = over_the_bare_store();
    let id = foreign.log_in("alice").await;
    let slow = foreign.request(id).await;
    foreign.clock.advance(LIFE);
    let newest = foreign.token(id).await.expect("refreshed");

    slow.insert("cart", 3).await.unwrap();
    slow.save().await.unwrap();
    slow.cycle_id().await.unwrap();
    slow.save().await.unwrap();

    let same = foreign.token(slow.id().unwrap()).await.expect("logged in");
    assert_eq!(same.secret(), newest.secret());
    assert_eq!(foreign.issuer.refresh_requests(), 1);
}

// That the session comes back is tower-sessions' own; that nobody is logged in to it is ours.
#[tokio::test]
async fn a_late_save_brings_the_session_back_and_not_the_login() {
    let foreign = over_the_bare_store();
    let id = foreign.log_in("alice").await;
    let slow = foreign.request(id).await;
    slow.insert("user", "alice").await.unwrap();
    let leaving = foreign.session(Some(id));
    foreign.refresher.log_out(&leaving, EndSession).await.expect("logged out");

    slow.save().await.unwrap();
    let back = foreign.session(Some(id));
    assert_eq!(back.get_value("user").await.unwrap(), Some(value("alice")), "it is back, in full");

    let error = foreign.refresher.valid_token(&back).await.expect_err("logged out");
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    assert_eq!(back.get_value("user").await.unwrap(), None, "emptied where a token is asked for");
    assert_eq!(foreign.store.load(&id).await.unwrap(), None, "and ended with its login");
}

// tower-sessions' own, and the reason why log out comes before `flush`.
#[tokio::test]
async fn a_late_save_after_a_flush_without_log_out_is_logged_in() {
    let foreign = over_the_bare_store();
    let id = foreign.log_in("alice").await;
    let slow = foreign.request(id).await;
    foreign.session(Some(id)).flush().await.unwrap();
    assert_eq!(foreign.token(id).await.unwrap_err(), RefreshErrorKind::NoTokens);

    slow.save().await.unwrap();

    foreign.token(id).await.expect("a flush ends no login");
}

// tower-sessions 0.14's own.
#[tokio::test]
async fn a_session_that_is_flushed_and_used_again_is_created_under_its_old_id() {
    let foreign = over_the_bare_store();
    let id = foreign.log_in("alice").await;
    let session = foreign.request(id).await;
    session.flush().await.unwrap();
    session.insert("language", "sv").await.unwrap();
    session.save().await.unwrap();
    assert_eq!(session.id(), Some(id));
    assert_eq!(foreign.token(id).await.unwrap_err(), RefreshErrorKind::NoTokens);
}

// The cache of the one knows nothing of the other's refresh; the token record does.
#[tokio::test]
async fn two_processes_with_caches_of_sessions_share_the_newest_tokens() {
    let (one, other) = two_with_caches();
    let id = one.log_in("alice").await;
    other.token(id).await.expect("logged in");
    for presented in 1..=3 {
        one.clock.advance(LIFE);
        let newest = one.token(id).await.expect("refreshed");
        let same = other.token(id).await.expect("the same login");
        assert_eq!(same.secret(), newest.secret());
        assert_eq!(one.issuer.refresh_requests(), presented);
    }
    assert!(one.issuer.max_presented() <= 1);
}

// That its cache serves a deleted session on is tower-sessions' own; the login has ended.
#[tokio::test]
async fn a_session_that_a_cache_keeps_points_to_a_login_that_has_ended() {
    let (one, other) = two_with_caches();
    let id = one.log_in("alice").await;
    other.token(id).await.expect("logged in");
    let leaving = one.session(Some(id));
    one.refresher.log_out(&leaving, EndSession).await.expect("logged out");
    assert!(other.session(Some(id)).get_value(KEY).await.unwrap().is_some(), "its cache has it");

    one.clock.advance(LIFE);

    assert_eq!(other.token(id).await.unwrap_err(), RefreshErrorKind::LoggedOut);
    assert_eq!(
        other.token(id).await.unwrap_err(),
        RefreshErrorKind::NoTokens,
        "and has been emptied"
    );
    assert_eq!(other.issuer.refresh_requests(), 0);
}

// Token records past the cache: through it, the other process would not see the mark.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_waits_in_one_process_is_seen_by_the_other() {
    let (one, other) = two_with_caches();
    let id = one.log_in("alice").await;
    other.token(id).await.expect("logged in");
    one.clock.advance(LIFE);
    let post = one.issuer.gate_before(Endpoint::Token);
    let waiting = tokio::spawn({
        let (refresher, session) = (one.refresher.clone(), one.session(Some(id)));
        async move { refresher.valid_token(&session).await }
    });
    post.reached().await;
    let elsewhere = tokio::spawn({
        let (refresher, session) = (other.refresher.clone(), other.session(Some(id)));
        async move { refresher.valid_token(&session).await }
    });
    support::settle().await;
    post.open();

    let (here, there) = (waiting.await.unwrap().unwrap(), elsewhere.await.unwrap().unwrap());
    assert_eq!(here.secret(), there.secret());
    assert_eq!(one.issuer.refresh_requests(), 1);
}
