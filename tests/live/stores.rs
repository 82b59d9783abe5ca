//! The promises that depend on the session store, on the servers that keep sessions in production.
//!
//! The other test groups prove them in memory and on SQLite. Here the provider is our own strict
//! one, whose time stands still until a test moves it.

use futures_util::future::join_all;
use support::{
    KEY, StoredTokens, TokenOp, World, settle, shown_pointer, stores, value, variants::session_at,
};
use tower_sessions::session::Id;
use tower_token_refresh::{Logout, RefreshErrorKind, tower_sessions};

/// Runs each test on Redis and on PostgreSQL, with the tokens as they are and sealed.
macro_rules! on_every_server {
    ($(async fn $name:ident($world:ident: World) $body:block)*) => {$(
        async fn $name($world: World) $body

        mod $name {
            use super::*;

            #[tokio::test]
            #[ignore = "needs Redis: see tests/services/run"]
            async fn on_redis() {
                super::$name(World::on(stores::redis().await, |builder| builder)).await;
            }

            #[tokio::test]
            #[ignore = "needs Redis: see tests/services/run"]
            async fn on_redis_sealed() {
                super::$name(World::sealed_on(stores::redis().await)).await;
            }

            #[tokio::test]
            #[ignore = "needs PostgreSQL: see tests/services/run"]
            async fn on_postgres() {
                super::$name(World::on(stores::postgres().await, |builder| builder)).await;
            }

            #[tokio::test]
            #[ignore = "needs PostgreSQL: see tests/services/run"]
            async fn on_postgres_sealed() {
                super::$name(World::sealed_on(stores::postgres().await)).await;
            }
        }
    )*};
}

/// The session under `id` gets a value of the application.
async fn write(world: &World, id: Id, text: &str) {
    let session = world.session(id);
    session.insert_value("basket", value(text)).await.expect("the session loads");
    session.save().await.expect("the session is saved");
}

/// A second session that points to the same login.
async fn copy(world: &World, id: Id) -> Id {
    let pointer = shown_pointer(&world.session(id)).await.expect("a pointer");
    let copy = world.session_with(None, None);
    copy.insert_value(KEY, value(&pointer)).await.expect("a new session");
    copy.save().await.expect("the session is saved");
    copy.id().expect("saved")
}

on_every_server! {
    async fn requests_go_on_when_the_store_has_the_new_tokens(world: World) {
        let id = world.log_in("alice").await;
        world.expire();
        let put = world.tokens.gate_before(TokenOp::Put);
        let requests: Vec<_> = (0..50).map(|_| world.ask(&world.session(id))).collect();
        put.reached().await;
        settle().await;
        assert!(requests.iter().all(|request| !request.is_finished()), "the store has them not yet");
        put.open();

        let tokens = join_all(requests).await.into_iter();
        let tokens: Vec<_> = tokens.map(|token| token.expect("no panic").expect("a token")).collect();
        assert!(tokens.iter().all(|token| token.secret() == tokens[0].secret()));
        assert_eq!(world.issuer.refreshes(), 1);
        world.assert_logged_in(id).await;
    }

    async fn a_process_that_starts_later_finds_the_newest_tokens(world: World) {
        let id = world.log_in("alice").await;
        world.expire();
        let newest = world.refresher.valid_token(&world.session(id)).await.expect("refreshed");

        let restarted = world.restarted();
        let token = restarted.valid_token(&session_at(&restarted, id)).await.expect("a token");
        assert_eq!(token.secret(), newest.secret());
        assert_eq!(world.issuer.refreshes(), 1);
        world.expire();
        restarted.valid_token(&session_at(&restarted, id)).await.expect("refreshed again");
        world.assert_logged_in(id).await;
    }

    async fn a_late_save_of_a_session_undoes_no_tokens(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        world.expire();
        world.refresher.valid_token(&world.session(id)).await.expect("refreshed");

        slow.insert_value("basket", value("late")).await.expect("it is loaded");
        slow.save().await.expect("the session is saved");

        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        world.expire();
        world.refresher.valid_token(&world.session(id)).await.expect("refreshed again");
        world.assert_logged_in(id).await;
    }

    async fn a_login_follows_its_session_to_a_new_id(world: World) {
        let old = world.log_in("alice").await;
        let session = world.request(old).await;
        session.cycle_id().await.expect("a new id");
        session.save().await.expect("the session is saved");
        let new = session.id().expect("saved");
        assert_ne!(new, old);

        world.expire();
        world.refresher.valid_token(&world.session(new)).await.expect("refreshed");
        world.assert_logged_in(new).await;
        assert_eq!(world.stored(old).await, None);
    }

    async fn a_deleted_session_stays_deleted(world: World) {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        world.refresher.log_out(&world.session(id), Logout::EndSession).await.expect("logged out");

        slow.insert_value("basket", value("late")).await.expect("it is loaded");
        slow.save().await.expect("the save is dropped");

        assert_eq!(world.stored(id).await, None);
        let refused = world.refresher.valid_token(&world.session(id)).await.unwrap_err();
        assert_eq!(refused.kind(), RefreshErrorKind::NoTokens);
    }

    async fn a_log_out_ends_the_login_in_every_session_and_process(world: World) {
        let id = world.log_in("alice").await;
        let grant = world.pointer(id).await.expect("logged in");
        let copy = copy(&world, id).await;
        let secret = world.stored_refresh_token(id).await.expect("a refresh token");

        world.refresher.log_out(&world.session(id), Logout::KeepSession).await.expect("logged out");

        assert!(world.tokens_of(&grant).await.is_ended());
        let restarted = world.restarted();
        for refresher in [&world.refresher, &restarted] {
            let refused = refresher.valid_token(&session_at(refresher, copy)).await.unwrap_err();
            assert_eq!(refused.kind(), RefreshErrorKind::LoggedOut);
        }
        assert!(!world.issuer.is_refresh_token_live(&secret), "revoked");
    }

    async fn a_log_out_beats_the_refresh_that_it_meets(world: World) {
        let id = world.log_in("alice").await;
        let grant = world.pointer(id).await.expect("logged in");
        world.expire();
        let put = world.tokens.gate_before(TokenOp::Put);
        let waiting = world.ask(&world.session(id));
        put.reached().await;
        world.refresher.log_out(&world.session(id), Logout::EndSession).await.expect("logged out");
        put.open();

        let refused = waiting.await.expect("no panic").unwrap_err();
        assert_eq!(refused.kind(), RefreshErrorKind::LoggedOut);
        assert!(world.tokens_of(&grant).await.is_ended());
        world.refresher.shutdown(std::time::Duration::from_secs(10)).await.expect("all is done");
        let secrets = world.issuer.every_secret();
        assert!(!secrets.iter().any(|secret| world.issuer.is_refresh_token_live(secret)));
    }

    async fn a_second_log_in_ends_the_first(world: World) {
        let session = world.session_with(None, None);
        world.log_in_on(&session, "alice").await;
        let first = world.pointer(session.id().expect("saved")).await.expect("logged in");
        world.log_in_on(&session, "bob").await;

        let ended = StoredTokens::Ended { why: "replaced".into(), revoke: false, with_session: false };
        assert_eq!(world.tokens_of(&first).await, ended);
        world.assert_logged_in(session.id().expect("saved")).await;
    }

    async fn a_session_of_the_application_is_kept_beside_the_login(world: World) {
        let id = world.log_in("alice").await;
        write(&world, id, "seven").await;
        world.expire();
        world.refresher.valid_token(&world.session(id)).await.expect("refreshed");
        let stored = world.stored(id).await.expect("a session");
        assert_eq!(stored.data["basket"], value("seven"));
        assert!(!format!("{:?}", stored.data).contains("ey"), "no token lies in a session");
    }
}
