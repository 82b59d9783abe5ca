//! axum-login over the refresher's session layer, while a refresh is under way in the background.

use axum::{Router, http::StatusCode, routing};
use axum_login::{AuthManagerLayerBuilder, AuthUser, AuthnBackend, UserId};
use support::{
    World, at_every_gate,
    browser::{Cookie, cookie_of, get},
    on_every_store,
    variants::session_at,
};
use tower_sessions::session::Id;
use tower_token_refresh::{Logout, RefreshErrorKind, TokenRefresher, tower_sessions};

#[derive(Debug, Clone)]
struct Alice;

impl AuthUser for Alice {
    type Id = u8;

    fn id(&self) -> u8 {
        1
    }

    fn session_auth_hash(&self) -> &[u8] {
        b"hash"
    }
}

#[derive(Clone)]
struct Users;

impl AuthnBackend for Users {
    type User = Alice;
    type Credentials = ();
    type Error = std::convert::Infallible;

    async fn authenticate(&self, (): ()) -> Result<Option<Alice>, Self::Error> {
        Ok(Some(Alice))
    }

    async fn get_user(&self, _id: &UserId<Self>) -> Result<Option<Alice>, Self::Error> {
        Ok(Some(Alice))
    }
}

type Auth = axum_login::AuthSession<Users>;

fn app(refresher: &TokenRefresher) -> Router {
    let layer = AuthManagerLayerBuilder::new(Users, refresher.session_layer()).build();
    let refresher = refresher.clone();
    let leave_all = move |mut auth: Auth| async move {
        refresher.log_out(&auth.session, Logout::EndSession).await.expect("logged out");
        auth.logout().await.expect("logged out");
    };
    Router::new()
        .route(
            "/login",
            routing::get(
                |mut auth: Auth| async move { auth.login(&Alice).await.expect("logged in") },
            ),
        )
        .route(
            "/logout",
            routing::get(|mut auth: Auth| async move {
                auth.logout().await.expect("logged out");
            }),
        )
        .route("/leave_all", routing::get(leave_all))
        .route(
            "/who",
            routing::get(|auth: Auth| async move {
                auth.user.map_or(StatusCode::UNAUTHORIZED, |_| StatusCode::OK)
            }),
        )
        .layer(layer)
}

/// Logged in with both: our tokens and axum-login's user.
async fn logged_in(world: &World, app: &Router) -> Id {
    let id = world.log_in("alice").await;
    match cookie_of(&get(app, "/login", Some(id)).await) {
        Cookie::Set(id) => id,
        other => panic!("a new id, not {other:?}"),
    }
}

async fn is_somebody(app: &Router, id: Id) -> bool {
    get(app, "/who", Some(id)).await.status() == StatusCode::OK
}

at_every_gate! {
    // axum-login changes the session's id.
    async fn a_login_during_a_flight_takes_the_newest_tokens_along(world: World, at: Station) {
        let app = app(&world.refresher);
        let id = world.log_in("alice").await;
        let flight = world.flight_at(at, id).await;

        let answer = get(&app, "/login", Some(id)).await;
        flight.land().await.expect("refreshed");
        let Cookie::Set(new) = cookie_of(&answer) else { panic!("a new id") };

        assert_ne!(new, id);
        assert_eq!(world.held_by("alice").await, [(new, 2)]);
        assert!(is_somebody(&app, new).await);
        world.refresh(new).await;
        world.assert_logged_in(new).await;
    }

    // axum-login flushes the session: that ends it here. Only our own log out ends the tokens.
    async fn a_logout_during_a_flight_leaves_no_session(world: World, at: Station) {
        let app = app(&world.refresher);
        let id = logged_in(&world, &app).await;
        let slow = world.request(id).await;
        let flight = world.flight_at(at, id).await;

        let answer = get(&app, "/logout", Some(id)).await;
        flight.land().await.expect("its own session still points to the login");
        assert_eq!(cookie_of(&answer), Cookie::Removed);
        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        assert_eq!(world.stored(id).await, None);
        assert_eq!(world.held_by("alice").await, []);
        assert_eq!(world.issuer.revocations(), 0);
        assert!(!is_somebody(&app, id).await);
    }

    async fn both_log_outs_in_one_handler_leave_nothing_anywhere(world: World, at: Station) {
        let app = app(&world.refresher);
        let id = logged_in(&world, &app).await;
        let mut flight = world.flight_at(at, id).await;

        let answer = get(&app, "/leave_all", Some(id)).await;
        let error = flight.answer_meanwhile().await.expect_err("logged out");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        flight.land_alone().await;
        assert_eq!(cookie_of(&answer), Cookie::Removed);

        assert_eq!(world.stored(id).await, None);
        assert_eq!(world.held_by("alice").await, []);
        world.assert_dead_at_the_provider();
    }
}

on_every_store! {
    async fn a_slow_request_brings_neither_the_user_nor_the_tokens_back(world: World) {
        let app = app(&world.refresher);
        let id = logged_in(&world, &app).await;
        let slow = world.request(id).await;

        get(&app, "/logout", Some(id)).await;
        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        assert!(!is_somebody(&app, id).await);
        assert_eq!(world.held_by("alice").await, []);
    }

    // RACES row 25: another tab has given the session a new id beside the logout.
    async fn a_log_out_that_ends_the_session_ends_its_user_in_every_copy(world: World) {
        let app = app(&world.refresher);
        let id = logged_in(&world, &app).await;
        let (cycling, leaving) = (world.request(id).await, world.request(id).await);
        cycling.cycle_id().await.unwrap();
        cycling.save().await.unwrap();
        let moved = cycling.id().unwrap();
        assert!(is_somebody(&app, moved).await);

        world.refresher.log_out(&leaving, Logout::EndSession).await.expect("logged out");

        assert!(!is_somebody(&app, moved).await);
        assert_eq!(world.held_by("alice").await, []);
    }

    // Another process does not know of the end, until a token is asked for.
    async fn in_another_process_the_user_ends_where_a_token_is_next_asked_for(world: World) {
        let here = app(&world.refresher);
        let id = logged_in(&world, &here).await;
        let record = world.stored(id).await.unwrap();
        world.refresher.log_out(&world.session(id), Logout::EndSession).await.expect("logged out");
        world.sessions.overwrite(&record).await;
        assert!(!is_somebody(&here, id).await, "here at once");

        let elsewhere = world.restarted();
        let there = app(&elsewhere);
        let session = session_at(&elsewhere, id);
        let error = elsewhere.valid_token(&session).await.expect_err("logged out");

        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        assert!(!is_somebody(&there, id).await);
        assert_eq!(world.stored(id).await, None);
    }
}
