//! The keys change, are missing or come late, and nobody is logged out by that.

use std::time::Duration;

use axum::{Router, http::header::SET_COOKIE, routing::get};
use support::{
    World, http,
    races::Station,
    seal::{OTHER_KEY, SEAL_KEY, ask, assert_shows_no_token, kind_of, open, open_with, rotated},
    sealed_on_every_store, settle,
    variants::session_at,
};
use tower_token_refresh::{
    AccessToken, Logout, RefreshErrorKind, Revocation, TokenRefreshLayer, TokenRefresher,
    token_store::SealKeys,
};

use crate::{key_of, record, record_text};

/// Processes that cannot open what the world's own seals.
fn strangers(world: &World) -> [TokenRefresher; 2] {
    let other_key = SealKeys::new(OTHER_KEY);
    [
        world.restarted_with(|builder| builder.seal_with(other_key)),
        world.restarted_with(|builder| builder),
    ]
}

sealed_on_every_store! {
    async fn a_new_key_logs_nobody_out_and_seals_the_next_generation(world: World) {
        let id = world.log_in("alice").await;
        let key = key_of(&world, id).await;
        let old = record(&world, key).await;
        let rotated = world.restarted_with(|builder| builder.seal_with(rotated()));

        let token = ask(&rotated, id).await.expect("the old key still opens");
        assert_eq!(token.secret(), open(key, &old)["access_token"]);
        world.expire();
        ask(&rotated, id).await.expect("refreshed");

        let new = record(&world, key).await;
        assert!(open_with(&OTHER_KEY, key, &new).is_some());
        assert!(open_with(&SEAL_KEY, key, &new).is_none());
        let only_the_new = SealKeys::new(OTHER_KEY);
        let without_the_old = world.restarted_with(|builder| builder.seal_with(only_the_new));
        ask(&without_the_old, id).await.expect("nobody needs the old key any more");
        world.assert_logged_in(id).await;
    }

    async fn without_its_key_a_record_is_kept_for_those_who_have_it(world: World) {
        let id = world.log_in("alice").await;
        let key = key_of(&world, id).await;
        let before = record_text(&world, key).await;
        for expired in [false, true] {
            for stranger in &strangers(&world) {
                assert_eq!(kind_of(ask(stranger, id).await), RefreshErrorKind::SessionExpired);
                // A handler of that process saves the session all the same.
                let session = session_at(stranger, id);
                session.insert("seen", expired).await.unwrap();
                session.save().await.unwrap();
                assert_eq!(record_text(&world, key).await, before, "kept as it was");
            }
            world.expire();
        }
        assert_eq!(world.issuer.refresh_requests(), 0);
        ask(&world.refresher, id).await.expect("who has the key reads and refreshes it");
        world.assert_logged_in(id).await;
    }

    async fn a_session_whose_id_is_cycled_without_the_key_keeps_its_login(world: World) {
        let id = world.log_in("alice").await;
        let [stranger, _] = strangers(&world);
        let session = session_at(&stranger, id);
        session.insert("basket", 3).await.unwrap();
        session.cycle_id().await.unwrap();
        session.save().await.unwrap();

        let new = session.id().expect("saved");
        world.expire();
        ask(&world.restarted(), new).await.expect("who has the key goes on");
        world.assert_logged_in(new).await;
    }

    async fn log_out_needs_no_key_to_end_a_login(world: World) {
        for how in [Logout::EndSession, Logout::KeepSession] {
            for stranger in strangers(&world) {
                let id = world.log_in("alice").await;
                let late = world.restarted();
                let late_session = session_at(&late, id);
                late_session.get_value(support::KEY).await.expect("it loads");

                let session = session_at(&stranger, id);
                let done = stranger.log_out(&session, how).await.expect("logged out");

                let nothing = matches!(done.revocation, Revocation::NothingToRevoke);
                assert!(nothing, "it cannot know what: {done:?}");
                let answer = late.valid_token(&late_session).await;
                assert_eq!(kind_of(answer), RefreshErrorKind::LoggedOut);
                assert_eq!(world.held_by("alice").await, []);
            }
        }
    }

    async fn plain_records_are_read_and_sealed_by_the_next_refresh(world: World) {
        let plain = World { refresher: world.restarted_with(|builder| builder), keys: None, ..world };
        let id = plain.log_in("alice").await;
        let key = key_of(&plain, id).await;
        assert!(record(&plain, key).await["tokens"].is_object());
        let world = World { keys: Some(support::seal::keys()), ..plain };
        let world = World { refresher: world.restarted(), ..world };

        let token = ask(&world.refresher, id).await.expect("still logged in");
        assert!(world.issuer.is_access_token_live(token.secret()));
        world.refresh(id).await;

        let sealed = record_text(&world, key).await;
        assert!(record(&world, key).await["sealed"].is_string());
        assert_shows_no_token(&world, &sealed);
        world.assert_logged_in(id).await;
    }
}

/// The process with the older key has the token in memory; the store holds a newer record that it
/// cannot read.
#[tokio::test]
async fn a_process_with_an_older_key_destroys_nothing_that_a_newer_one_wrote() {
    let world = World::on_memory_sealed();
    let id = world.log_in("alice").await;
    let key = key_of(&world, id).await;
    let newer = world.restarted_with(|builder| builder.seal_with(rotated()));
    ask(&world.refresher, id).await.expect("a token");
    world.expire();
    ask(&newer, id).await.expect("refreshed");
    let before = record_text(&world, key).await;

    for _ in 0..2 {
        let error = kind_of(ask(&world.refresher, id).await);
        assert_eq!(error, RefreshErrorKind::SessionExpired);
    }

    assert_eq!(record_text(&world, key).await, before);
    ask(&newer, id).await.expect("still logged in there");
    world.assert_logged_in(id).await;
}

/// The process with the older key hangs in its request, until another has taken the refresh over.
/// What the provider then refuses is not the login that it finds and cannot open.
#[tokio::test(start_paused = true)]
async fn losing_a_race_against_a_newer_key_is_no_end_of_the_login() {
    let world = World::on_memory_sealed();
    let id = world.log_in("alice").await;
    let key = key_of(&world, id).await;
    let newer = world.restarted_with(|builder| builder.seal_with(rotated()));
    let flight = world.flight_at(Station::BeforePost, id).await;
    world.clock.advance(Duration::from_secs(30));
    let taking_over = tokio::spawn({
        let newer = newer.clone();
        async move { ask(&newer, id).await }
    });
    settle().await;
    world.clock.advance(Duration::from_secs(5));
    taking_over.await.unwrap().expect("refreshed");
    let before = record_text(&world, key).await;
    world.issuer.fail_next_oauth(400, "invalid_grant");

    assert_eq!(kind_of(flight.land().await), RefreshErrorKind::SessionExpired);

    assert_eq!(record_text(&world, key).await, before, "the winner's tokens have not ended");
    ask(&newer, id).await.expect("still logged in there");
}

#[tokio::test]
async fn a_request_without_the_key_is_answered_401_as_an_expired_session() {
    let world = World::on_memory_sealed();
    let id = world.log_in("alice").await;
    let stranger = world.restarted_with(|builder| builder);
    let app = Router::new()
        .route("/", get(async |_: AccessToken| "hello"))
        .layer(TokenRefreshLayer::new(&stranger))
        .layer(stranger.session_layer());
    let answer = http::ask(&app, http::get("/", Some(id))).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["code"], "session_expired");
    assert!(answer.header(SET_COOKIE).is_none(), "the cookie is good elsewhere");
}
