//! What is sealed, and what opens it.

use futures_util::future::join_all;
use serde_json::Value;
use support::{
    World,
    seal::{ask, assert_shows_no_token, kind_of, open},
    sealed_on_every_store,
    variants::session_at,
};
use tower_token_refresh::{Logout, RefreshErrorKind, Revocation};

use crate::{key_of, put, record, record_text};

sealed_on_every_store! {
    async fn a_log_in_and_each_refresh_store_a_sealed_record(world: World) {
        let id = world.log_in("alice").await;
        let key = key_of(&world, id).await;
        let first = record(&world, key).await;
        world.expire();

        let requests: Vec<_> = (0..20).map(|_| world.ask(&world.session(id))).collect();
        let tokens = join_all(requests).await;
        let tokens: Vec<_> = tokens.into_iter().map(|token| token.unwrap().unwrap()).collect();

        assert_eq!(world.issuer.refresh_requests(), 1);
        let second = record(&world, key).await;
        assert_eq!(open(key, &second)["access_token"], tokens[0].secret());
        assert_eq!(second["generation"], 2);
        for record in [&first, &second] {
            assert!(record["sealed"].is_string() && record["tokens"].is_null(), "{record}");
            assert_shows_no_token(&world, &record.to_string());
        }
        world.assert_logged_in(id).await;
    }

    async fn a_record_is_sealed_while_its_token_is_presented(world: World) {
        let id = world.log_in("alice").await;
        let flight = world.flight_at(support::races::Station::BeforePost, id).await;
        let marked = record(&world, key_of(&world, id).await).await;
        assert_eq!(marked["state"], "presenting");
        assert_shows_no_token(&world, &marked.to_string());
        flight.land().await.expect("refreshed");
    }

    async fn a_session_shows_no_token_printed_or_stored(world: World) {
        let session = world.session_with(None, None);
        world.log_in_on(&session, "alice").await;
        assert_shows_no_token(&world, &format!("{session:?} {session:#?}"));
        let id = session.id().expect("saved");
        world.refresh(id).await;
        let stored = world.stored(id).await.expect("a session");
        assert_shows_no_token(&world, &format!("{stored:?}"));
    }

    async fn log_out_revokes_what_only_the_sealed_record_tells(world: World) {
        for how in [Logout::EndSession, Logout::KeepSession] {
            let id = world.log_in("alice").await;
            let restarted = world.restarted();
            let session = session_at(&restarted, id);
            let done = restarted.log_out(&session, how).await.expect("logged out");
            assert!(matches!(done.revocation, Revocation::Revoked), "{done:?}");
            assert!(done.id_token().is_some());
        }
        world.assert_dead_at_the_provider();
    }

    async fn a_restart_with_the_same_keys_goes_on(world: World) {
        let id = world.log_in("alice").await;
        let restarted = world.restarted();
        let before = ask(&world.refresher, id).await.expect("a token");
        assert_eq!(ask(&restarted, id).await.expect("a token").secret(), before.secret());
        world.expire();
        ask(&restarted, id).await.expect("refreshed");
        world.assert_logged_in(id).await;
    }

    async fn an_ending_holds_no_secret_and_needs_no_key(world: World) {
        let id = world.log_in("alice").await;
        let key = key_of(&world, id).await;
        let keyless = world.restarted_with(|builder| builder);
        let late = session_at(&keyless, id);
        late.get_value(support::KEY).await.expect("it loads");
        let session = world.session(id);
        world.refresher.log_out(&session, Logout::KeepSession).await.expect("logged out");

        let ended = record(&world, key).await;
        assert!(ended["sealed"].is_null() && ended["tokens"].is_null(), "{ended}");
        assert_eq!(kind_of(keyless.valid_token(&late).await), RefreshErrorKind::LoggedOut);
    }

    async fn a_byte_changed_in_the_sealed_part_opens_nothing_and_crashes_nobody(world: World) {
        let id = world.log_in("alice").await;
        let key = key_of(&world, id).await;
        let good = record(&world, key).await;
        let sealed = good["sealed"].as_str().expect("a text").to_owned();
        let dot = sealed.find('.').expect("a key id");
        for at in [0, dot - 1, dot, dot + 1, sealed.len() / 2, sealed.len() - 1] {
            for byte in [b'0', b'A', b'.', b'~'] {
                if sealed.as_bytes()[at] == byte {
                    continue;
                }
                let mut changed = sealed.clone().into_bytes();
                changed[at] = byte;
                let changed = String::from_utf8(changed).expect("ASCII");
                assert_stays_shut(&world, id, "sealed", changed.into()).await;
            }
        }
        put(&world, key, &good).await;
        ask(&world.restarted(), id).await.expect("the login itself was never touched");
        world.assert_logged_in(id).await;
    }

    async fn a_field_changed_beside_the_sealed_part_opens_nothing(world: World) {
        let id = world.log_in("alice").await;
        let good = record(&world, key_of(&world, id).await).await;
        let much_later = |field: &str| (good[field].as_u64().expect("a time") + 3_600_000).into();
        for (field, value) in [
            ("generation", 2.into()),
            ("nonce", "00000000000000aa".into()),
            ("issuer", "https://other.example".into()),
            ("expires_at", much_later("expires_at")),
            ("keep_until", much_later("keep_until")),
        ] {
            assert_stays_shut(&world, id, field, value).await;
            put(&world, key_of(&world, id).await, &good).await;
        }
        let mut marked = good.clone();
        marked["since"] = good["expires_at"].clone();
        put(&world, key_of(&world, id).await, &marked).await;
        assert_stays_shut(&world, id, "state", "presenting".into()).await;
        put(&world, key_of(&world, id).await, &good).await;
        ask(&world.restarted(), id).await.expect("as it was");
    }

    async fn payloads_cannot_be_swapped_between_logins_or_generations(world: World) {
        let (alices, bobs) = (world.log_in("alice").await, world.log_in("bob").await);
        let key = key_of(&world, alices).await;
        let older = record(&world, key).await;
        let bob = record(&world, key_of(&world, bobs).await).await;
        world.refresh(alices).await;
        let newer = record(&world, key).await;
        for (place, content) in [(&newer, &older), (&older, &newer), (&newer, &bob)] {
            put(&world, key, place).await;
            assert_stays_shut(&world, alices, "sealed", content["sealed"].clone()).await;
        }
        put(&world, key, &bob).await;
        assert_eq!(kind_of(ask(&world.restarted(), alices).await), RefreshErrorKind::SessionExpired);
        put(&world, key, &newer).await;
        ask(&world.restarted(), alices).await.expect("in its own place it opens");
        world.assert_logged_in(alices).await;
    }
}

/// A process that has not read the record yet meets this change of it, and leaves it as it is.
async fn assert_stays_shut(
    world: &World,
    id: tower_token_refresh::tower_sessions::session::Id,
    field: &str,
    value: Value,
) {
    let key = key_of(world, id).await;
    let mut changed = record(world, key).await;
    changed[field] = value;
    put(world, key, &changed).await;
    let restarted = world.restarted();
    let error = kind_of(ask(&restarted, id).await);
    assert_eq!(error, RefreshErrorKind::SessionExpired, "{field}: {changed}");
    assert_eq!(record_text(world, key).await, changed.to_string(), "kept as it is");
}

/// What a process has opened it serves from memory: here it could not open it again.
#[tokio::test]
async fn a_record_that_was_read_is_not_opened_for_every_request() {
    let world = World::on_memory_sealed();
    let id = world.log_in("alice").await;
    let restarted = world.restarted();
    ask(&restarted, id).await.expect("opened");
    let key = key_of(&world, id).await;
    let mut changed = record(&world, key).await;
    changed["sealed"] = format!("{}AAAA", changed["sealed"].as_str().expect("a text")).into();
    put(&world, key, &changed).await;

    ask(&restarted, id).await.expect("from memory");
    assert_eq!(kind_of(ask(&world.restarted(), id).await), RefreshErrorKind::SessionExpired);
}
