//! The keys change, are missing or come late, and nobody is logged out by that.


use axum::{Router, routing::get};
use support::{
    World, http,
    races::Station,
    seal::{
        OTHER_KEY, SEAL_KEY, ask, assert_shows_no_token, entry_text, kind_of, open, open_with,
        rotated, sealed_on_every_store,
    },
    variants::session_at,
};
use tower_token_refresh::{
    AccessToken, Logout, RefreshErrorKind, Revocation, token_store::SealKeys, TokenRefreshLayer,
};

sealed_on_every_store! {
    async fn a_new_key_logs_nobody_out_and_seals_the_next_generation(world: World) {
        let id = world.log_in("alice").await;
        let old = entry_text(&world, id).await;
        let rotated = world.restarted_with(|builder| builder.seal_with(rotated()));

        let token = ask(&rotated, id).await.expect("the old key still opens");
        assert_eq!(token.secret(), open(&old)["access_token"]);
        world.expire();
        ask(&rotated, id).await.expect("refreshed");

        let new = entry_text(&world, id).await;
        assert!(open_with(&OTHER_KEY, &new).is_some() && open_with(&SEAL_KEY, &new).is_none());
        let without_the_old = world.restarted_with(|builder| builder.seal_with(token_store::SealKeys::new(OTHER_KEY)));
        ask(&without_the_old, id).await.expect("nobody needs the old key any more");
        world.assert_logged_in(id).await;
    }

    async fn any_save_of_a_session_seals_its_entry_with_the_first_key(world: World) {
        let id = world.log_in("alice").await;
        let before = entry_text(&world, id).await;
        let rotated = world.restarted_with(|builder| builder.seal_with(rotated()));

        let session = session_at(&rotated, id);
        session.insert("cart", 3).await.unwrap();
        session.save().await.unwrap();

        let saved = entry_text(&world, id).await;
        assert_eq!(open_with(&OTHER_KEY, &saved), open_with(&SEAL_KEY, &before));
        session.insert("cart", 4).await.unwrap();
        session.save().await.unwrap();
        assert_eq!(entry_text(&world, id).await, saved, "once is enough");

        let cycled = session_at(&world.restarted_with(|builder| builder.seal_with(token_store::SealKeys::new(SEAL_KEY).also_open(OTHER_KEY))), id);
        cycled.cycle_id().await.unwrap();
        cycled.save().await.unwrap();
        let carried = entry_text(&world, cycled.id().unwrap()).await;
        assert_eq!(open_with(&SEAL_KEY, &carried), open_with(&SEAL_KEY, &before));
        assert_eq!(world.held_by("alice").await, [(cycled.id().unwrap(), 1)]);
    }

    async fn without_its_key_an_entry_is_kept_for_those_who_have_it(world: World) {
        let id = world.log_in("alice").await;
        let entry = entry_text(&world, id).await;
        let strangers = [
            world.restarted_with(|builder| builder.seal_with(token_store::SealKeys::new(OTHER_KEY))),
            world.restarted_with(|builder| builder),
        ];
        for expired in [false, true] {
            for stranger in &strangers {
                assert_eq!(kind_of(ask(stranger, id).await), RefreshErrorKind::SessionExpired);
                // A handler of that process saves the session all the same.
                let session = session_at(stranger, id);
                session.insert("seen", expired).await.unwrap();
                session.save().await.unwrap();
                assert_eq!(entry_text(&world, id).await, entry, "kept as it was");
            }
            world.expire();
        }
        assert_eq!(world.issuer.refresh_requests(), 0);
        ask(&world.refresher, id).await.expect("who has the key reads and refreshes it");
        world.assert_logged_in(id).await;
    }

    async fn an_id_cycled_without_the_key_carries_the_entry_as_it_is(world: World) {
        let id = world.log_in("alice").await;
        let entry = entry_text(&world, id).await;
        let stranger = world.restarted_with(|builder| builder.seal_with(token_store::SealKeys::new(OTHER_KEY)));

        let session = session_at(&stranger, id);
        session.insert("basket", 3).await.unwrap();
        session.cycle_id().await.unwrap();
        session.save().await.unwrap();

        let new = session.id().unwrap();
        assert_eq!(entry_text(&world, new).await, entry);
        world.expire();
        let restarted = world.restarted();
        ask(&restarted, new).await.expect("who has the key goes on");
        world.assert_logged_in(new).await;
    }

    async fn log_out_needs_no_key_to_end_a_session(world: World) {
        for how in [Logout::EndSession, Logout::KeepSession] {
            let id = world.log_in("alice").await;
            let stranger = world.restarted_with(|builder| builder.seal_with(token_store::SealKeys::new(OTHER_KEY)));
            let done = stranger.log_out(&session_at(&stranger, id), how).await.expect("logged out");
            assert!(matches!(done.revocation, Revocation::NothingToRevoke), "it cannot know what: {done:?}");
            assert_eq!(world.held_by("alice").await, []);
        }
    }

    async fn plain_entries_are_read_and_sealed_by_the_next_write(world: World) {
        let plain = world.restarted_with(|builder| builder);
        let world = World { refresher: plain, ..world };
        let (id, saved) = (world.log_in("alice").await, world.log_in("bob").await);
        assert!(entry_text(&world, id).await.starts_with("s1."));
        let world = World { refresher: world.restarted(), ..world };

        let token = ask(&world.refresher, id).await.expect("still logged in");
        assert!(world.issuer.is_access_token_live(token.secret()));
        world.refresh(id).await;
        let session = world.request(saved).await;
        session.insert("cart", 3).await.unwrap();
        session.save().await.unwrap();

        for id in [id, saved] {
            let entry = entry_text(&world, id).await;
            assert!(entry.starts_with("s2."), "{entry}");
            assert_shows_no_token(&world, &entry);
            world.assert_logged_in(id).await;
        }
    }
}

/// The process with the older key has the set in memory; the store holds a newer one that it cannot read.
#[tokio::test]
async fn a_process_with_an_older_key_destroys_nothing_that_a_newer_one_wrote() {
    let world = World::on_memory_sealed();
    let id = world.log_in("alice").await;
    let newer = world.restarted_with(|builder| builder.seal_with(rotated()));
    let slow = world.request(id).await;
    world.expire();
    ask(&newer, id).await.expect("refreshed");
    let entry = entry_text(&world, id).await;

    assert_eq!(kind_of(world.refresher.valid_token(&slow).await), RefreshErrorKind::SessionExpired);
    assert_eq!(kind_of(ask(&world.refresher, id).await), RefreshErrorKind::SessionExpired);

    assert_eq!(entry_text(&world, id).await, entry);
    ask(&newer, id).await.expect("still logged in there");
    world.assert_logged_in(id).await;
}

/// Both processes present the refresh token; the one that loses re-reads the store and finds what it cannot open.
#[tokio::test]
async fn losing_a_race_against_a_newer_key_is_no_end_of_the_login() {
    let world = World::on_memory_sealed();
    let id = world.log_in("alice").await;
    let newer = world.restarted_with(|builder| builder.seal_with(rotated()));
    let flight = world.flight_at(Station::BeforePost, id).await;
    ask(&newer, id).await.expect("refreshed");
    let entry = entry_text(&world, id).await;

    assert_eq!(kind_of(flight.land().await), RefreshErrorKind::SessionExpired);

    assert_eq!(entry_text(&world, id).await, entry, "no tombstone over the winner's tokens");
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
    assert!(
        answer.header(axum::http::header::SET_COOKIE).is_none(),
        "the cookie is good elsewhere"
    );
}
