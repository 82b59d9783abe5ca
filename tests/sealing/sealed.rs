//! Sealed at rest: nobody reads a token in the store, and no payload opens but in its own place.


use support::{
    KEY, StoredTokens, World,
    seal::{
        ask, assert_shows_no_token, entry_text, kind_of, open, put_entry, sealed_on_every_store,
    },
    shown_generation,
    variants::session_at,
};
use futures_util::future::join_all;
use tower_token_refresh::{Logout, RefreshErrorKind, Revocation};

sealed_on_every_store! {
    async fn log_in_stores_a_sealed_entry_and_a_storm_at_expiry_another(world: World) {
        let id = world.log_in("alice").await;
        let first = entry_text(&world, id).await;
        assert!(first.starts_with("s2."), "{first}");
        world.expire();

        let requests: Vec<_> = (0..20).map(|_| world.ask(&world.session(id))).collect();
        let tokens: Vec<_> = join_all(requests).await.into_iter().map(|token| token.unwrap().unwrap()).collect();

        assert_eq!(world.issuer.refresh_requests(), 1);
        let second = entry_text(&world, id).await;
        assert_eq!(open(&second)["access_token"], tokens[0].secret());
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        world.assert_logged_in(id).await;
        for entry in [&first, &second] {
            assert_shows_no_token(&world, entry);
        }
    }

    async fn a_printed_session_shows_no_token(world: World) {
        let session = world.session_with(None, None);
        world.log_in_on(&session, "alice").await;
        assert_shows_no_token(&world, &format!("{session:?}"));
        let (untouched, modified) = (world.request(session.id().unwrap()).await, world.request(session.id().unwrap()).await);
        modified.insert("cart", 3).await.unwrap();
        world.expire();

        for session in [&untouched, &modified] {
            world.refresher.valid_token(session).await.expect("refreshed");
            assert_eq!(shown_generation(session).await, Some(2));
            assert_shows_no_token(&world, &format!("{session:?} {session:#?}"));
        }
    }

    async fn the_set_that_cycle_id_carries_stays_sealed(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        world.refresh(id).await;

        slow.cycle_id().await.unwrap();
        slow.save().await.unwrap();

        let new = slow.id().unwrap();
        assert!(entry_text(&world, new).await.starts_with("s2."));
        assert_eq!(world.held_by("alice").await, [(new, 2)]);
        world.refresh(new).await;
        world.assert_logged_in(new).await;
    }

    async fn log_out_revokes_what_only_the_sealed_entry_tells(world: World) {
        for how in [Logout::EndSession, Logout::KeepSession] {
            let id = world.log_in("alice").await;
            let restarted = world.restarted();
            let done = restarted.log_out(&session_at(&restarted, id), how).await.expect("logged out");
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

    async fn a_tombstone_holds_no_secret_and_needs_no_key(world: World) {
        let id = world.log_in("alice").await;
        let session = world.request(id).await;
        session.remove_value(KEY).await.unwrap();
        session.save().await.unwrap();
        assert!(matches!(world.stored_tokens(id).await, StoredTokens::Tombstone { .. }));
        assert_eq!(kind_of(ask(&world.restarted_with(|builder| builder), id).await), RefreshErrorKind::NoTokens);
    }

    async fn a_byte_changed_in_any_part_opens_nothing_and_crashes_nobody(world: World) {
        let id = world.log_in("alice").await;
        let entry = entry_text(&world, id).await;
        // One byte in each part, and the dots between them.
        let dots: Vec<_> = entry.match_indices('.').map(|(at, _)| at).collect();
        assert_eq!(dots.len(), 5);
        let within = dots.iter().flat_map(|dot| [*dot, dot + 1]).chain([entry.len() - 1]).skip(1);
        for at in within {
            for byte in [b'0', b'A', b'.', b'~'] {
                if entry.as_bytes()[at] == byte {
                    continue;
                }
                let mut changed = entry.clone().into_bytes();
                changed[at] = byte;
                let changed = String::from_utf8(changed).unwrap();
                put_entry(&world, id, changed.clone()).await;
                let restarted = world.restarted();
                assert_eq!(kind_of(ask(&restarted, id).await), RefreshErrorKind::SessionExpired, "{changed}");
                assert_eq!(entry_text(&world, id).await, changed, "kept as it is");
            }
        }
        put_entry(&world, id, entry).await;
        ask(&world.restarted(), id).await.expect("the login itself was never touched");
        world.assert_logged_in(id).await;
    }

    async fn payloads_cannot_be_swapped_between_logins_or_generations(world: World) {
        let (alices, bobs) = (world.log_in("alice").await, world.log_in("bob").await);
        let (alice, bob) = (entry_text(&world, alices).await, entry_text(&world, bobs).await);
        world.refresh(alices).await;
        let newer = entry_text(&world, alices).await;
        let head = |entry: &str| entry[..=entry.rfind('.').unwrap()].to_owned();
        let payload = |entry: &str| entry[entry.rfind('.').unwrap() + 1..].to_owned();
        let swaps = [(&alice, &bob), (&bob, &alice), (&newer, &alice), (&alice, &newer)];
        for (place, content) in swaps {
            put_entry(&world, alices, head(place) + &payload(content)).await;
            assert_eq!(kind_of(ask(&world.restarted(), alices).await), RefreshErrorKind::SessionExpired);
        }
        put_entry(&world, alices, newer).await;
        ask(&world.restarted(), alices).await.expect("in its own place it opens");
    }
}

/// Once a generation was read, its entry is not opened again: here it could not be.
#[tokio::test]
async fn a_generation_is_opened_once() {
    let world = World::on_memory_sealed();
    let id = world.log_in("alice").await;
    let restarted = world.restarted();
    ask(&restarted, id).await.expect("opened");
    let entry = entry_text(&world, id).await;
    put_entry(&world, id, format!("{entry}AAAA")).await;

    ask(&restarted, id).await.expect("from memory");
    assert_eq!(kind_of(ask(&world.restarted(), id).await), RefreshErrorKind::SessionExpired);
}
