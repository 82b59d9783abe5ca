//! Of two token sets of one login the newer one stays, whoever saves a whole session late.


use support::{
    KEY, StoredTokens, on_every_store,
    races::Station::{AfterPost, BeforePost, BeforeWriteBack},
    settle, shown_generation,
    Op,
};
use serde_json::json;
use tower_token_refresh::{RefreshErrorKind, tower_sessions::SessionStore};

on_every_store! {
    async fn a_request_that_saves_late_keeps_the_newer_tokens_and_its_own_changes(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        world.refresh(id).await;

        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        assert_eq!(world.stored(id).await.unwrap().data["cart"], json!(3));
        world.assert_logged_in(id).await;
    }

    async fn a_save_between_the_post_and_the_write_back_does_not_stop_the_new_tokens(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        let flight = world.flight_at(AfterPost, id).await;

        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();
        assert!(flight.land().await.is_ok());

        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        assert_eq!(world.stored(id).await.unwrap().data["cart"], json!(3), "the write-back keeps it");
        world.assert_logged_in(id).await;
    }

    async fn a_save_that_arrives_during_the_write_back_waits_for_it(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        let flight = world.flight_at(BeforeWriteBack, id).await;

        slow.insert("cart", 3).await.unwrap();
        let save = tokio::spawn({ let slow = slow.clone(); async move { slow.save().await } });
        settle().await;
        assert!(!save.is_finished());
        assert!(flight.land().await.is_ok());
        save.await.unwrap().unwrap();

        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        assert_eq!(world.stored(id).await.unwrap().data["cart"], json!(3));
    }

    // The save has compared and stands before the store when its client disconnects.
    async fn a_dropped_request_whose_save_is_under_way_does_not_undo_the_refresh(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        slow.insert("cart", 3).await.unwrap();
        let flight = world.flight_at(BeforePost, id).await;
        let under_way = world.sessions.gate_before(Op::Save);
        let request = tokio::spawn(async move { slow.save().await });
        under_way.reached().await;
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());

        let write_back = world.sessions.gate_before(Op::Save);
        let landing = tokio::spawn(flight.land());
        settle().await;
        assert_eq!(world.sessions.calls(Op::Save), 1, "the write-back waits for the save that is under way");
        under_way.open();
        write_back.reached().await;
        assert_eq!(world.stored(id).await.unwrap().data["cart"], json!(3), "the save has landed");
        write_back.open();

        assert!(landing.await.unwrap().is_ok());
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        world.assert_logged_in(id).await;
    }

    async fn a_request_that_waited_shows_what_others_changed_and_saves_nothing(world: World) {
        let id = world.log_in("alice").await;
        let flight = world.flight_at(BeforePost, id).await;
        let session = flight.session.clone();
        let other = world.request(id).await;
        other.insert("cart", 3).await.unwrap();
        other.save().await.unwrap();

        assert!(flight.land().await.is_ok());

        assert_eq!(session.get::<u32>("cart").await.unwrap(), Some(3));
        assert_eq!(shown_generation(&session).await, Some(2));
        assert!(!session.is_modified(), "its response saves nothing");
        assert_eq!(world.stored(id).await.unwrap().data["cart"], json!(3));
    }

    // Something earlier in the request has changed the session: reading it again would lose that change.
    async fn a_request_that_changed_its_session_before_it_waited_keeps_its_changes(world: World) {
        let id = world.log_in("alice").await;
        let session = world.request(id).await;
        session.insert("language", "sv").await.unwrap();
        world.expire();
        let flight = world.flight_of(BeforePost, session.clone()).await;

        assert!(flight.land().await.is_ok());

        assert_eq!(session.get::<String>("language").await.unwrap().as_deref(), Some("sv"));
        assert_eq!(shown_generation(&session).await, Some(2));
        session.save().await.unwrap();
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        assert_eq!(world.stored(id).await.unwrap().data["language"], json!("sv"));
        world.assert_logged_in(id).await;
    }

    async fn a_store_that_fell_back_gets_the_newer_tokens_from_the_next_save(world: World) {
        let id = world.log_in("alice").await;
        let old = world.stored(id).await.unwrap();
        world.refresh(id).await;
        let session = world.request(id).await;
        world.sessions.overwrite(&old).await;

        session.insert("cart", 3).await.unwrap();
        session.save().await.unwrap();

        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        world.assert_logged_in(id).await;
    }

    async fn a_store_that_fell_back_is_brought_up_to_date_without_presenting_the_old_token(world: World) {
        let id = world.log_in("alice").await;
        let old = world.stored(id).await.unwrap();
        world.refresh(id).await;
        world.sessions.overwrite(&old).await;

        world.refresh(id).await;

        assert_eq!(world.stored_tokens(id).await.generation(), Some(3));
        world.assert_logged_in(id).await;
    }

    async fn a_save_over_a_deleted_session_is_dropped(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        world.request(id).await.flush().await.unwrap();

        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
    }

    // What a process without this crate may leave behind: a session of the same id that nobody is logged in to.
    async fn a_save_over_a_record_without_tokens_leaves_them_out(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        let mut record = world.stored(id).await.unwrap();
        record.data.remove(KEY);
        world.sessions.overwrite(&record).await;

        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoEntry);
        assert_eq!(world.stored(id).await.unwrap().data["cart"], json!(3), "the rest is saved as ever");
    }

    // As above, with a flight in the place of the save.
    async fn a_flight_writes_no_tokens_into_a_record_that_has_none(world: World) {
        let id = world.log_in("alice").await;
        let flight = world.flight_at(AfterPost, id).await;
        let mut record = world.stored(id).await.unwrap();
        record.data.remove(KEY);
        world.sessions.overwrite(&record).await;

        let error = flight.land().await.expect_err("nobody is logged in to this session");

        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoEntry);
        world.assert_dead_at_the_provider();
    }

    async fn the_tokens_of_another_login_in_the_store_stay(world: World) {
        let (id, bobs) = (world.log_in("alice").await, world.log_in("bob").await);
        world.refresh(id).await;
        let slow = world.request(id).await;
        let mut record = world.stored(id).await.unwrap();
        record.data.insert(KEY.into(), world.stored(bobs).await.unwrap().data[KEY].clone());
        world.sessions.overwrite(&record).await;

        slow.insert("cart", 3).await.unwrap();
        slow.save().await.unwrap();

        assert_eq!(world.stored_tokens(id).await, world.stored_tokens(bobs).await);
    }

    async fn a_flight_does_not_write_over_the_tokens_of_another_login(world: World) {
        let (id, bobs) = (world.log_in("alice").await, world.log_in("bob").await);
        let flight = world.flight_at(AfterPost, id).await;
        let mut record = world.stored(id).await.unwrap();
        record.data.insert(KEY.into(), world.stored(bobs).await.unwrap().data[KEY].clone());
        world.sessions.overwrite(&record).await;

        assert_eq!(flight.land().await.expect_err("replaced").kind(), RefreshErrorKind::LoggedOut);
        assert_eq!(world.stored_tokens(id).await, world.stored_tokens(bobs).await);
    }

    // tower-sessions would create it again under the old id, where a slow request's save finds it.
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
        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
        assert_eq!(world.stored_tokens(fresh).await, StoredTokens::NoEntry);
    }

    async fn create_never_takes_the_id_it_is_given(world: World) {
        let id = world.log_in("alice").await;
        let mut record = world.stored(id).await.unwrap();
        record.data.clear();
        world.sessions.vanish(id).await;

        world.refresher.session_store().create(&mut record).await.unwrap();

        assert_ne!(record.id, id);
        assert!(world.stored(record.id).await.is_some());
        assert_eq!(world.stored(id).await, None);
    }
}
