//! What log out says: what became of the tokens at the provider, and that the session store failed.


use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;

use support::{
    KEY, StoredTokens, World,
    browser::{Cookie, cookie_of, get},
    on_every_store,
    Op,
    variants::session_at,
};
use tower_sessions::{MemoryStore, Session};
use tower_token_refresh::{
    ClientAuth,
    Logout::{self, EndSession, KeepSession},
    RefreshErrorKind, RefreshPolicy, Revocation, TokenEndpoint, TokenRefresher, Transport,
    testing::Endpoint,
    tower_sessions,
};

on_every_store! {
    async fn log_out_says_that_the_tokens_are_revoked_and_gives_the_id_token(world: World) {
        let id = world.log_in("alice").await;
        let done = world.log_out(&world.session(id), EndSession).await.unwrap().unwrap();
        assert!(matches!(done.revocation, Revocation::Revoked));
        assert!(world.issuer.every_secret().iter().any(|token| Some(token.as_str()) == done.id_token()));
    }

    async fn log_out_of_a_session_without_tokens_ends_the_session(world: World) {
        let session = world.session_with(None, None);
        session.insert("cart", 3).await.unwrap();
        session.save().await.unwrap();
        let id = session.id().unwrap();

        let done = world.log_out(&world.session(id), EndSession).await.unwrap().unwrap();

        assert!(matches!(done.revocation, Revocation::NothingToRevoke));
        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
        assert_eq!(world.issuer.revocations(), 0);
    }

    async fn log_out_of_nobody_makes_no_session(world: World) {
        let session = world.session_with(None, None);
        for how in [EndSession, KeepSession] {
            let done = world.log_out(&session, how).await.unwrap().unwrap();
            assert!(matches!(done.revocation, Revocation::NothingToRevoke));
        }
        assert_eq!(world.sessions.calls(Op::Create), 0);
    }

    async fn log_out_succeeds_when_the_provider_refuses_to_revoke(world: World) {
        let id = world.log_in("alice").await;
        world.issuer.fail_next_at(Endpoint::Revocation, 503, "down for maintenance");

        let done = world.log_out(&world.session(id), EndSession).await.unwrap().expect("logged out here");

        let Revocation::Failed(error) = done.revocation else { panic!("it was not revoked") };
        assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
    }

    async fn log_out_succeeds_when_the_provider_cannot_be_reached(world: World) {
        let id = world.log_in("alice").await;
        world.issuer.drop_request_next_at(Endpoint::Revocation);

        let done = world.log_out(&world.session(id), EndSession).await.unwrap().expect("logged out here");

        assert!(matches!(done.revocation, Revocation::Failed(_)));
        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
    }

    async fn the_set_that_is_revoked_is_the_newest_stored_one(world: World) {
        let id = world.log_in("alice").await;
        let old = world.request(id).await;
        world.refresh(id).await;
        world.forget_sets().await;

        let newest = world.stored_refresh_token(id).await.unwrap();
        let done = world.log_out(&old, EndSession).await.unwrap().unwrap();

        assert!(matches!(done.revocation, Revocation::Revoked));
        assert!(!world.issuer.is_refresh_token_live(&newest));
    }

    async fn a_store_that_fails_once_does_not_stop_log_out(world: World) {
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        world.sessions.fail_next(Op::Delete);

        world.log_out(&leaving, EndSession).await.unwrap().expect("tried again");

        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
        world.assert_dead_at_the_provider();
    }
}

/// Another process has refreshed since this one looked.
#[tokio::test]
async fn what_is_revoked_is_what_the_store_holds_now() {
    let world = World::on_memory();
    let sent = Arc::new(Mutex::new(Vec::new()));
    let (issuer, forms) = (world.issuer.clone(), sent.clone());
    let transport = Transport::new(tower::service_fn(move |request: ::http::Request<Bytes>| {
        forms.lock().unwrap().push(request.body().clone());
        let issuer = issuer.clone();
        async move {
            Ok::<_, std::io::Error>(issuer.exchange(request).await?.map(http_body_util::Full::new))
        }
    }));
    let endpoint = TokenEndpoint::new(world.issuer.token_url(), ClientAuth::basic("web", "secret"))
        .issuer(world.issuer.issuer_url())
        .revocation_url(world.issuer.revocation_url())
        .transport(transport);
    let world = world.asking(endpoint);
    let id = world.log_in("alice").await;
    let leaving = world.request(id).await;
    world.expire();
    let elsewhere = world.restarted();
    elsewhere.valid_token(&session_at(&elsewhere, id)).await.expect("refreshed there");
    let newest = world.stored_refresh_token(id).await.unwrap();

    world.log_out(&leaving, EndSession).await.unwrap().expect("logged out");

    let sent = sent.lock().unwrap();
    let [form] = &sent[..] else { panic!("one revocation and nothing else: {}", sent.len()) };
    let mut fields = url::form_urlencoded::parse(form);
    assert!(fields.any(|(name, value)| name == "token" && value == newest));
}

#[tokio::test]
async fn nothing_is_revoked_where_that_is_turned_off() {
    let world = World::with(|builder| builder.revoke_on_log_out(false));
    let id = world.log_in("alice").await;
    let leaving = world.request(id).await;
    let mut flight = world.flight_at(support::races::Station::AfterPost, id).await;

    let done = world.log_out(&leaving, EndSession).await.unwrap().unwrap();
    flight.answer_meanwhile().await.expect_err("logged out");
    flight.land_alone().await;

    assert!(matches!(done.revocation, Revocation::TurnedOff));
    assert_eq!(world.issuer.revocations(), 0, "neither by log out nor by the flight");
    assert_eq!(world.held_by("alice").await, []);
}

#[tokio::test]
async fn a_provider_without_a_revocation_endpoint_is_not_supported() {
    let mut world = World::on_memory();
    let endpoint = TokenEndpoint::new(world.issuer.token_url(), ClientAuth::basic("web", "secret"))
        .transport(world.issuer.transport());
    world.refresher = TokenRefresher::builder(endpoint, world.sessions.clone())
        .clock(world.clock.clock())
        .build()
        .unwrap();
    let id = world.log_in("alice").await;

    let done = world.log_out(&world.session(id), EndSession).await.unwrap().unwrap();

    assert!(matches!(done.revocation, Revocation::NotSupported));
    assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
}

/// The tokens are gone from it, and whatever else says who is logged in may still be there.
#[tokio::test]
async fn a_session_that_could_not_be_ended_is_told() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let delete = world.sessions.gate_before(Op::Delete);
    let leaving = world.log_out(&world.session(id), EndSession);
    delete.reached().await;
    world.sessions.fail_next(Op::Delete);
    delete.open();
    assert_eq!(leaving.await.unwrap().unwrap_err().kind(), RefreshErrorKind::Unavailable);
    world.assert_dead_at_the_provider();
}

// The store neither deletes nor writes: the caller is told, and still nobody gets a token from this process.
#[tokio::test(start_paused = true)]
async fn log_out_over_a_failing_store_revokes_the_tokens_and_hides_them() {
    for how in [EndSession, KeepSession] {
        let policy = RefreshPolicy::default().store_timeout(Duration::from_secs(2));
        let world = World::on(MemoryStore::default(), |builder| builder.policy(policy));
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        world.sessions.refuse(Op::Delete);
        world.sessions.refuse(Op::Save);

        let error =
            world.log_out(&world.session(id), how).await.unwrap().expect_err("the store fails");

        assert_eq!(error.kind(), RefreshErrorKind::Unavailable, "{how:?}");
        world.assert_dead_at_the_provider();
        let error = world.refresher.valid_token(&slow).await.expect_err("logged out");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut, "{how:?}");
        assert_eq!(
            world.request(id).await.get_value(KEY).await.unwrap(),
            None,
            "{how:?}: nobody is shown them"
        );
        let error = world.refresher.valid_token(&world.session(id)).await.expect_err("logged out");
        assert_eq!(error.kind(), RefreshErrorKind::NoTokens, "{how:?}");
    }
}

// The record has moved, and the answer that tells the browser so is still on its way.
#[tokio::test]
async fn log_out_with_the_cookie_of_before_ends_the_login_where_it_lives_now() {
    for how in [EndSession, KeepSession] {
        let world = World::on_memory();
        let id = world.log_in("alice").await;
        let cycling = world.request(id).await;
        cycling.cycle_id().await.expect("cycled");
        cycling.save().await.expect("saved");

        let done = world.log_out(&world.session(id), how).await.unwrap().expect("logged out");

        assert!(matches!(done.revocation, Revocation::Revoked), "{how:?}");
        assert_eq!(world.held_by("alice").await, [], "{how:?}");
        world.assert_dead_at_the_provider();
    }
}

#[tokio::test]
async fn a_store_that_panics_does_not_stop_the_revocation() {
    for step in [Op::Load, Op::Delete] {
        let world = World::on_memory();
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        world.sessions.panic_next(step);

        let error =
            world.log_out(&leaving, EndSession).await.unwrap().expect_err("the store panics");

        assert_eq!(error.kind(), RefreshErrorKind::Internal, "{step:?}");
        world.assert_dead_at_the_provider();
    }
}

async fn log_out_by_http(how: Logout) -> (World, tower_sessions::session::Id, Cookie) {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let refresher = world.refresher.clone();
    let leave = move |session: Session| async move {
        refresher.log_out(&session, how).await.expect("logged out");
    };
    let app = axum::Router::new()
        .route("/leave", axum::routing::get(leave))
        .layer(world.refresher.session_layer());
    let cookie = cookie_of(&get(&app, "/leave", Some(id)).await);
    (world, id, cookie)
}

#[tokio::test]
async fn the_browser_loses_its_cookie_with_the_session() {
    let (world, id, cookie) = log_out_by_http(EndSession).await;
    assert_eq!(cookie, Cookie::Removed);
    assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
}

#[tokio::test]
async fn the_browser_gets_a_new_cookie_with_the_session_it_keeps() {
    let (world, id, cookie) = log_out_by_http(KeepSession).await;
    let Cookie::Set(kept) = cookie else { panic!("a new cookie, not {cookie:?}") };
    assert_ne!(kept, id);
    assert_eq!(world.stored_tokens(kept).await, StoredTokens::NoEntry);
}

// The record was left with live tokens in it. A save that has kept them from before must not leave them there for good.
#[tokio::test(start_paused = true)]
async fn a_store_that_failed_at_log_out_loses_the_tokens_with_the_next_save() {
    for shows_tokens in [true, false] {
        let policy = RefreshPolicy::default().store_timeout(Duration::from_secs(2));
        let world = World::on(MemoryStore::default(), |builder| builder.policy(policy));
        let id = world.log_in("alice").await;
        let slow = world.session(id);
        if shows_tokens {
            slow.get_value(KEY).await.unwrap();
        }
        world.sessions.refuse(Op::Delete);
        world.log_out(&world.session(id), EndSession).await.unwrap().expect_err("the store fails");
        world.sessions.accept(Op::Delete);

        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        assert!(
            matches!(world.stored_tokens(id).await, StoredTokens::Tombstone { .. }),
            "shown {shows_tokens}"
        );
    }
}
