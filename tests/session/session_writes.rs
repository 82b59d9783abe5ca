//! No session write of any kind touches tokens (promise 4): the session holds a pointer that is set
//! at log in and never changes, so that whoever saves, copies, deletes or brings back a session can
//! only lose or repeat a pointer that is still true (RACES row 1).

use std::sync::Arc;

use serde_json::json;
use support::{
    KEY, TokenOp, World, at_every_gate, on_every_store, races::Station::BeforePost, shown_pointer,
};
use tower_sessions::{
    Session, SessionStore,
    session::{Id, Record},
};
use tower_token_refresh::tower_sessions;

/// Writes a copy of the stored session under an id of its own, and gives that.
async fn copy(world: &World, id: Id) -> Id {
    let mut copy = world.stored(id).await.expect("there is a session");
    world.refresher.session_store().create(&mut copy).await.expect("created");
    copy.id
}

/// What a process writes that knows nothing of this crate.
async fn bring_back(world: &World, record: &Record) {
    world.sessions.overwrite(record).await;
}

at_every_gate! {
    async fn a_stale_save_during_a_flight_touches_no_tokens(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        let flight = world.flight_at(at, id).await;

        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();
        let token = flight.land().await.expect("refreshed");

        assert_eq!(world.held_by("alice").await, [(id, 2)]);
        assert_eq!(world.stored(id).await.unwrap().data["cart"], json!(3));
        let next = world.refresher.valid_token(&world.session(id)).await.expect("logged in");
        assert_eq!(next.secret(), token.secret());
        world.assert_logged_in(id).await;
    }

    // `flush` is no logout: the tokens stay with whoever else points to them, and nothing is
    // revoked.
    async fn a_flush_during_a_flight_deletes_a_session_and_no_tokens(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let (leaving, slow) = (world.request(id).await, world.request(id).await);
        let grant = world.pointer(id).await.unwrap();
        let flight = world.flight_at(at, id).await;

        leaving.flush().await.unwrap();
        flight.land().await.expect("its own session still points to the login");
        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        assert_eq!(world.stored(id).await, None, "and the late save does not bring it back");
        assert_eq!(world.tokens_of(&grant).await.generation(), Some(2));
        assert_eq!(world.issuer.revocations(), 0);
    }

    async fn a_session_cleared_during_a_flight_loses_its_pointer_only(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let leaving = world.request(id).await;
        let grant = world.pointer(id).await.unwrap();
        let flight = world.flight_at(at, id).await;

        leaving.clear().await;
        leaving.save().await.unwrap();
        flight.land().await.expect("refreshed");

        assert_eq!(world.pointer(id).await, None, "the flight does not put it back");
        assert_eq!(world.tokens_of(&grant).await.generation(), Some(2));
    }

    async fn a_copy_made_during_a_flight_has_the_newest_tokens(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let flight = world.flight_at(at, id).await;

        let copy = copy(&world, id).await;
        let token = flight.land().await.expect("refreshed");

        let same = world.refresher.valid_token(&world.session(copy)).await.expect("logged in");
        assert_eq!(same.secret(), token.secret());
        assert_eq!(world.issuer.refresh_requests(), 1);
        world.assert_logged_in(copy).await;
    }

    async fn a_session_brought_back_during_a_flight_has_the_newest(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let old = world.stored(id).await.unwrap();
        let flight = world.flight_at(at, id).await;

        world.sessions.vanish(id).await;
        bring_back(&world, &old).await;
        let token = flight.land().await.expect("refreshed");

        let same = world.refresher.valid_token(&world.session(id)).await.expect("logged in");
        assert_eq!(same.secret(), token.secret());
        assert_eq!(world.issuer.refresh_requests(), 1);
        world.assert_logged_in(id).await;
    }
}

on_every_store! {
    async fn the_pointer_stays_the_same_through_every_refresh(world: World) {
        let id = world.log_in("alice").await;
        let before = world.stored(id).await.unwrap();
        for _ in 0..3 {
            world.refresh(id).await;
        }
        assert_eq!(world.stored(id).await.unwrap(), before, "the session is what it was");
        assert_eq!(world.held_by("alice").await, [(id, 4)]);
    }

    async fn a_session_shows_a_pointer_and_no_token(world: World) {
        let id = world.log_in("alice").await;
        let shown = serde_json::to_string(&world.stored(id).await.unwrap().data).unwrap();
        assert_eq!(world.stored(id).await.unwrap().data.len(), 1);
        assert_eq!(shown_pointer(&world.session(id)).await.unwrap().len(), "g1.".len() + 32);
        for secret in world.issuer.every_secret() {
            assert!(!shown.contains(&secret));
        }
    }

    async fn no_session_write_asks_the_token_store_for_anything(world: World) {
        let id = world.log_in("alice").await;
        let ops = [
            TokenOp::Load,
            TokenOp::Create,
            TokenOp::Swap,
            TokenOp::Put,
            TokenOp::End,
            TokenOp::Find,
        ];
        let calls = || ops.map(|op| world.tokens.calls(op));
        let before = calls();

        copy(&world, id).await;
        let session = world.request(id).await;
        session.insert("cart", 3).await.unwrap();
        session.save().await.unwrap();
        session.cycle_id().await.unwrap();
        session.save().await.unwrap();
        session.clear().await;
        session.save().await.unwrap();
        session.flush().await.unwrap();
        world.request(id).await.delete().await.unwrap();

        assert_eq!(calls(), before);
    }

    async fn a_request_that_saves_late_keeps_the_newer_tokens_and_its_own_changes(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        world.refresh(id).await;

        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        assert_eq!(world.held_by("alice").await, [(id, 2)]);
        assert_eq!(world.stored(id).await.unwrap().data["cart"], json!(3));
        world.refresh(id).await;
        world.assert_logged_in(id).await;
    }

    // Something earlier in the request has changed the session: reading it again would lose that.
    async fn a_request_that_changed_its_session_before_it_waited_keeps_its_changes(world: World) {
        let id = world.log_in("alice").await;
        let session = world.request(id).await;
        session.insert("language", "sv").await.unwrap();
        world.expire();
        let flight = world.flight_of(BeforePost, session.clone()).await;

        flight.land().await.expect("refreshed");

        assert_eq!(session.get::<String>("language").await.unwrap().as_deref(), Some("sv"));
        session.save().await.unwrap();
        assert_eq!(world.stored(id).await.unwrap().data["language"], json!("sv"));
        assert_eq!(world.held_by("alice").await, [(id, 2)]);
        world.assert_logged_in(id).await;
    }

    // The pointers of two logins lie in two sessions, and somebody swaps them.
    async fn a_pointer_that_is_put_into_another_session_leads_to_the_same_login(world: World) {
        let (alices, bobs) = (world.log_in("alice").await, world.log_in("bob").await);
        let mut record = world.stored(alices).await.unwrap();
        let bobs_pointer = world.stored(bobs).await.unwrap().data[KEY].clone();
        record.data.insert(KEY.into(), bobs_pointer);
        bring_back(&world, &record).await;

        let token = world.refresh(alices).await;

        assert_eq!(token.subject(), Some(world.issuer.subject_of("bob").as_str()));
        let mut held = world.held_by("bob").await;
        held.sort_by_key(|(id, _)| *id != alices);
        assert_eq!(held, [(alices, 2), (bobs, 2)]);
    }

    async fn a_session_that_came_back_late_goes_on_with_the_newest_tokens(world: World) {
        let id = world.log_in("alice").await;
        let old = world.stored(id).await.unwrap();
        for _ in 0..3 {
            world.refresh(id).await;
        }
        world.sessions.vanish(id).await;
        bring_back(&world, &old).await;

        let elsewhere = world.restarted();
        let session = Session::new(Some(id), Arc::new(elsewhere.session_store()), None);
        elsewhere.valid_token(&session).await.expect("logged in, in another process");

        assert_eq!(world.held_by("alice").await, [(id, 4)]);
        world.assert_logged_in(id).await;
    }
}
