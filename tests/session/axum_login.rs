//! axum-login over the refresher's session layer, while a refresh is under way in the background.


use axum::{Router, http::StatusCode, routing};
use axum_login::{AuthManagerLayerBuilder, AuthUser, AuthnBackend, UserId};
use support::{
    StoredTokens, World,
    browser::{Cookie, cookie_of, get},
    on_every_store,
    races::at_every_gate,
    settle,
};
use tower_token_refresh::{Logout, RefreshErrorKind};

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

fn app(world: &World) -> Router {
    let refresher = world.refresher.clone();
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
        .layer(AuthManagerLayerBuilder::new(Users, world.refresher.session_layer()).build())
}

/// Logged in with both: our tokens and axum-login's user.
async fn logged_in(
    world: &World,
    app: &Router,
) -> tower_token_refresh::tower_sessions::session::Id {
    let id = world.log_in("alice").await;
    match cookie_of(&get(app, "/login", Some(id)).await) {
        Cookie::Set(id) => id,
        other => panic!("a new id, not {other:?}"),
    }
}

at_every_gate! {
    async fn a_login_during_a_flight_takes_the_newest_tokens_along(world: World, at: Station) {
        let app = app(&world);
        let id = world.log_in("alice").await;
        let flight = world.flight_at(at, id).await;

        let login = tokio::spawn({
            let app = app.clone();
            async move { get(&app, "/login", Some(id)).await }
        });
        settle().await;
        let _ = flight.land().await;
        let Cookie::Set(new) = cookie_of(&login.await.unwrap()) else { panic!("a new id") };

        assert_ne!(new, id);
        let presented = world.issuer.refresh_requests() as u64;
        assert_eq!(world.held_by("alice").await, [(new, 1 + presented)]);
        world.assert_logged_in(new).await;
        assert_eq!(get(&app, "/who", Some(new)).await.status(), StatusCode::OK);
        world.refresh(new).await;
        world.assert_logged_in(new).await;
    }

    // axum-login flushes the session: that ends it here. Only our own log out revokes.
    async fn a_logout_during_a_flight_leaves_no_session(world: World, at: Station) {
        let app = app(&world);
        let id = logged_in(&world, &app).await;
        let slow = world.request(id).await;
        let flight = world.flight_at(at, id).await;

        let logout = tokio::spawn({
            let app = app.clone();
            async move { get(&app, "/logout", Some(id)).await }
        });
        settle().await;
        let _ = flight.land().await;
        assert_eq!(cookie_of(&logout.await.unwrap()), Cookie::Removed);
        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
        assert_eq!(world.held_by("alice").await, []);
        assert_eq!(world.issuer.revocations(), 0);
        assert_eq!(get(&app, "/who", Some(id)).await.status(), StatusCode::UNAUTHORIZED);
    }

    async fn both_log_outs_in_one_handler_leave_nothing_anywhere(world: World, at: Station) {
        let app = app(&world);
        let id = logged_in(&world, &app).await;
        let mut flight = world.flight_at(at, id).await;

        let leave = tokio::spawn({
            let app = app.clone();
            async move { get(&app, "/leave_all", Some(id)).await }
        });
        let error = flight.answer_meanwhile().await.expect_err("logged out");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        flight.land_alone().await;
        assert_eq!(cookie_of(&leave.await.unwrap()), Cookie::Removed);

        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
        assert_eq!(world.held_by("alice").await, []);
        world.assert_dead_at_the_provider();
    }
}

on_every_store! {
    async fn a_slow_request_brings_neither_the_user_nor_the_tokens_back(world: World) {
        let app = app(&world);
        let id = logged_in(&world, &app).await;
        let slow = world.request(id).await;

        get(&app, "/logout", Some(id)).await;
        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        assert_eq!(get(&app, "/who", Some(id)).await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(world.held_by("alice").await, []);
    }
}
