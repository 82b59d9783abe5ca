//! The three rules of the guarded store (promise 6, RACES rows 24 and 25).

use serde_json::json;
use support::{
    KEY, Op, StoredTokens, World, log::Log, on_every_store, settle, shown_pointer, value,
};
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
};
use tower_token_refresh::{
    Logout::{EndSession, KeepSession},
    RefreshErrorKind, tower_sessions,
};

on_every_store! {
    // Rule 1: a save of a session that is no longer in the store is dropped.

    async fn a_flushed_session_stays_deleted_whoever_saves_it_late(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        world.request(id).await.flush().await.unwrap();

        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        assert_eq!(world.stored(id).await, None);
        let error = world.refresher.valid_token(&world.session(id)).await.unwrap_err();
        assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
    }

    async fn a_deleted_session_stays_deleted_whoever_saves_it_late(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        world.request(id).await.delete().await.unwrap();

        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        assert_eq!(world.stored(id).await, None);
    }

    async fn a_save_under_an_id_that_nobody_has_is_dropped(world: World) {
        let mut record = world.stored(world.log_in("alice").await).await.unwrap();
        record.id = Id::default();
        world.refresher.session_store().save(&record).await.unwrap();
        assert_eq!(world.stored(record.id).await, None);
    }

    // It has looked, and is about to write.
    async fn a_deletion_waits_for_a_save_that_is_under_way(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        slow.insert("cart", 3).await.unwrap();
        let under_way = world.sessions.gate_before(Op::Save);
        let save = tokio::spawn(async move { slow.save().await });
        under_way.reached().await;

        let leaving = world.request(id).await;
        let flush = tokio::spawn(async move { leaving.flush().await });
        settle().await;
        assert!(!flush.is_finished());
        under_way.open();
        save.await.unwrap().unwrap();
        flush.await.unwrap().unwrap();

        assert_eq!(world.stored(id).await, None);
    }

    // Its client disconnects: the write goes on, and nobody else's may get in before it.
    async fn a_dropped_request_does_not_let_its_save_land_on_top_of_a_later_one(world: World) {
        let id = world.log_in("alice").await;
        let (early, late) = (world.request(id).await, world.request(id).await);
        early.insert("cart", 3).await.unwrap();
        let under_way = world.sessions.gate_before(Op::Save);
        let request = tokio::spawn(async move { early.save().await });
        under_way.reached().await;
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());

        late.insert("cart", 4).await.unwrap();
        let save = tokio::spawn(async move { late.save().await });
        settle().await;
        assert!(!save.is_finished(), "it waits for the save that is under way");
        under_way.open();
        save.await.unwrap().unwrap();

        assert_eq!(world.stored(id).await.unwrap().data["cart"], json!(4));
    }

    // Rule 2: a create always takes a new id.

    // tower-sessions 0.14 would create it again under the old id, where a slow save finds it.
    async fn a_session_that_is_flushed_and_used_again_gets_a_fresh_id(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        let session = world.request(id).await;

        session.flush().await.unwrap();
        session.insert("language", "sv").await.unwrap();
        session.save().await.unwrap();
        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        let fresh = session.id().unwrap();
        assert_ne!(fresh, id);
        assert_eq!(world.stored(id).await, None);
        assert_eq!(world.stored_tokens(fresh).await, StoredTokens::NoPointer);
    }

    async fn create_never_takes_the_id_it_is_given(world: World) {
        let mut record = world.stored(world.log_in("alice").await).await.unwrap();
        let given = record.id;
        world.sessions.vanish(given).await;

        world.refresher.session_store().create(&mut record).await.unwrap();

        assert_ne!(record.id, given);
        assert!(world.stored(record.id).await.is_some());
        assert_eq!(world.stored(given).await, None);
    }

    // Rule 3: a session whose login ended with it is empty to whoever loads or writes it.

    async fn a_session_whose_login_ended_with_it_is_loaded_empty(world: World) {
        let id = world.log_in("alice").await;
        let copy = copy_with_a_user(&world, id).await;

        world.log_out(&world.session(id), EndSession).await.unwrap().unwrap();

        let session = world.session(copy);
        assert_eq!(session.get_value("user").await.unwrap(), None);
        assert_eq!(shown_pointer(&session).await, None);
        let error = world.refresher.valid_token(&session).await.unwrap_err();
        assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
    }

    async fn a_save_of_such_a_session_stores_nothing_of_it(world: World) {
        let id = world.log_in("alice").await;
        let copy = copy_with_a_user(&world, id).await;
        let slow = world.request(copy).await;

        world.log_out(&world.session(id), EndSession).await.unwrap().unwrap();
        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        assert!(world.stored(copy).await.unwrap().data.is_empty());
    }

    // RACES row 25: log out beside a `cycle_id`.
    async fn a_new_id_that_is_made_after_log_out_takes_nothing_along(world: World) {
        let id = world.log_in("alice").await;
        let cycling = world.request(copy_with_a_user(&world, id).await).await;
        cycling.cycle_id().await.unwrap();

        world.log_out(&world.session(id), EndSession).await.unwrap().unwrap();
        cycling.save().await.unwrap();

        let new = cycling.id().unwrap();
        assert!(world.stored(new).await.expect("a session like any new one").data.is_empty());
        assert_eq!(cycling.get_value("user").await.unwrap(), None, "to its own request, too");
        cycling.insert("notice", "you have logged out").await.unwrap();
        cycling.save().await.unwrap();
        assert!(world.stored(new).await.unwrap().data.contains_key("notice"));
    }

    async fn a_session_whose_login_ended_without_it_keeps_the_rest(world: World) {
        let id = world.log_in("alice").await;
        let copy = copy_with_a_user(&world, id).await;

        world.log_out(&world.session(id), KeepSession).await.unwrap().unwrap();

        let session = world.session(copy);
        assert_eq!(session.get_value("user").await.unwrap(), Some(value("alice")));
        session.insert("cart", 3).await.unwrap();
        session.save().await.unwrap();
        assert_eq!(world.stored(copy).await.unwrap().data["cart"], json!(3));
    }

    async fn only_the_login_that_ended_takes_its_sessions_along(world: World) {
        let (alices, bobs) = (world.log_in("alice").await, world.log_in("bob").await);
        world.log_out(&world.session(alices), EndSession).await.unwrap().unwrap();
        assert!(shown_pointer(&world.session(bobs)).await.is_some());
        world.refresher.valid_token(&world.session(bobs)).await.expect("logged in");
    }
}

/// Another session with the same pointer, which also says who is logged in, as axum-login's does.
async fn copy_with_a_user(world: &World, id: Id) -> Id {
    let mut copy = world.stored(id).await.unwrap();
    copy.data.insert("user".into(), value("alice"));
    world.refresher.session_store().create(&mut copy).await.unwrap();
    copy.id
}

// Where they lie in the session store, whoever comes with the id of one for a cookie gets nothing.
#[tokio::test]
async fn a_token_record_is_no_session() {
    for world in [World::on_memory(), World::on_memory_sealed(), World::on_sqlite().await] {
        let id = world.log_in("alice").await;
        let guarded = world.refresher.session_store();
        let [before] = &world.sessions.token_records().await[..] else {
            panic!("one token record")
        };

        assert_eq!(guarded.load(&before.id).await.unwrap(), None);
        let forged = Record { data: [("a".into(), 1.into())].into(), ..before.clone() };
        guarded.save(&forged).await.unwrap();
        let session = world.session(before.id);
        assert_eq!(shown_pointer(&session).await, None);
        let error = world.refresher.valid_token(&session).await.unwrap_err();
        assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
        world.refresher.log_out(&session, EndSession).await.unwrap();
        session.insert("key", 1).await.unwrap();
        session.save().await.unwrap();

        assert_ne!(session.id(), Some(before.id), "it gets an id of its own");
        assert_eq!(
            world.sessions.peek(before.id).await.as_ref(),
            Some(before),
            "and harms nothing"
        );
        world.assert_logged_in(id).await;
    }
}

#[tokio::test]
async fn the_first_save_that_is_dropped_is_logged_and_no_other() {
    let world = World::on_memory();
    let mut record = world.stored(world.log_in("alice").await).await.unwrap();
    let guarded = world.refresher.session_store();
    let log = Log::of_this_thread();
    for _ in 0..3 {
        record.id = Id::default();
        guarded.save(&record).await.unwrap();
    }
    let lines = log.lines_at("WARN");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("use `create`"), "{lines:?}");
    assert!(!lines[0].contains(&record.id.to_string()));
}

#[tokio::test]
async fn an_entry_under_the_key_that_is_no_pointer_is_left_alone() {
    let world = World::on_memory();
    let session = world.session_with(None, None);
    session.insert(KEY, json!({ "left": "by another program" })).await.unwrap();
    session.save().await.unwrap();
    let ended = world.log_in("alice").await;
    world.log_out(&world.session(ended), EndSession).await.unwrap().unwrap();

    let again = world.session(session.id().unwrap());

    assert_eq!(again.get_value(KEY).await.unwrap(), Some(json!({ "left": "by another program" })));
}
