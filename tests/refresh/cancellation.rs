//! A caller that goes away neither cancels the work nor harms the others.

use support::{
    Gate, Op, StoredTokens, TokenOp, World, at_every_gate, on_every_store, settle, variants::leave,
};
use tokio::task::JoinHandle;
use tower_sessions::{Expiry, Session, session::Id};
use tower_token_refresh::{Logout, RefreshError, testing::Endpoint, tower_sessions};

async fn assert_landed(world: &World, id: Id) {
    assert_eq!(world.issuer.refresh_requests(), 1);
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
    assert!(world.stored_tokens(id).await.is_live());
    world.assert_logged_in(id).await;
}

at_every_gate! {
    async fn the_leader_leaves_and_the_follower_is_served(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let follower = world.request(id).await;
        let mut flight = world.flight_at(at, id).await;
        let following = world.ask(&follower);
        settle().await;

        flight.client_leaves().await;
        flight.land_alone().await;

        let token = following.await.unwrap().expect("served");
        assert!(world.issuer.is_access_token_live(token.secret()));
        assert_landed(&world, id).await;
    }

    async fn all_callers_leave_and_the_store_holds_the_new_tokens(world: World, at: Station) {
        let id = world.log_in("alice").await;
        let other = world.request(id).await;
        let mut flight = world.flight_at(at, id).await;
        let follower = world.ask(&other);
        settle().await;

        flight.client_leaves().await;
        leave(follower).await;
        flight.land_alone().await;

        assert_landed(&world, id).await;
        assert!(world.refresher.valid_token(&world.session(id)).await.is_ok());
        assert_eq!(world.issuer.refresh_requests(), 1);
    }
}

#[tokio::test]
async fn the_leader_leaves_while_its_own_session_is_prolonged() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let follower = world.request(id).await;
    let idle = Expiry::OnInactivity(time::Duration::hours(1));
    let leader = world.session_with(Some(id), Some(idle));
    leader.load().await.expect("the session loads");
    world.expire();
    let load = world.sessions.gate_before(Op::Load);
    let leading = world.ask(&leader);
    load.reached().await;

    leave(leading).await;
    load.open();

    assert!(world.ask(&follower).await.unwrap().is_ok());
    assert_landed(&world, id).await;
}

#[tokio::test]
async fn of_a_hundred_callers_all_but_one_leave_and_that_one_is_served() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    let post = world.issuer.gate_before(Endpoint::Token);
    let mut callers: Vec<_> = (0..100).map(|_| world.ask(&world.session(id))).collect();
    post.reached().await;
    settle().await;
    let stays = callers.remove(57);
    for caller in callers {
        leave(caller).await;
    }
    post.open();
    assert!(stays.await.unwrap().is_ok());
    assert_landed(&world, id).await;
}

/// A request that waits for its token record to be read, and leaves.
#[tokio::test]
async fn a_caller_leaves_while_the_record_is_read_and_the_next_one_gets_what_the_read_shows() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    let elsewhere = World { refresher: world.restarted(), ..world };
    let loads = elsewhere.tokens.calls(TokenOp::Load);
    let load = elsewhere.tokens.gate_before(TokenOp::Load);
    let first = elsewhere.ask(&elsewhere.session(id));
    load.reached().await;
    let second = elsewhere.ask(&elsewhere.session(id));
    settle().await;

    leave(first).await;
    load.open();

    assert!(second.await.unwrap().is_ok());
    assert_eq!(elsewhere.tokens.calls(TokenOp::Load), loads + 1, "one read for both");
    assert_eq!(elsewhere.issuer.refresh_requests(), 0);
}

/// A call that stops before or after one of the stores does it.
type Stop = (&'static str, fn(&World) -> Gate);

/// The steps of a login.
const LOG_IN: [Stop; 4] = [
    ("before the token record", |world| world.tokens.gate_before(TokenOp::Create)),
    ("after the token record", |world| world.tokens.gate_after(TokenOp::Create)),
    ("before the session", |world| world.sessions.gate_before(Op::Create)),
    ("after the session", |world| world.sessions.gate_after(Op::Create)),
];

/// Those of one on a session that points to a login.
const LOG_IN_AGAIN: [Stop; 5] = [
    ("before the token record", |world| world.tokens.gate_before(TokenOp::Create)),
    ("before the end of the earlier login", |world| world.tokens.gate_before(TokenOp::End)),
    ("after the end of the earlier login", |world| world.tokens.gate_after(TokenOp::End)),
    ("before the earlier session goes", |world| world.sessions.gate_before(Op::Delete)),
    ("before the session", |world| world.sessions.gate_before(Op::Create)),
];

const LOG_OUT: [Stop; 5] = [
    ("before the session is read", |world| world.sessions.gate_before(Op::Load)),
    ("before the ending", |world| world.tokens.gate_before(TokenOp::End)),
    ("after the ending", |world| world.tokens.gate_after(TokenOp::End)),
    ("before the session goes", |world| world.sessions.gate_before(Op::Delete)),
    ("after the session has gone", |world| world.sessions.gate_after(Op::Delete)),
];

const LOG_OUT_AND_KEEP: [Stop; 5] = [
    ("before the ending", |world| world.tokens.gate_before(TokenOp::End)),
    ("after the ending", |world| world.tokens.gate_after(TokenOp::End)),
    ("before the earlier session goes", |world| world.sessions.gate_before(Op::Delete)),
    ("before the session", |world| world.sessions.gate_before(Op::Create)),
    ("after the session", |world| world.sessions.gate_after(Op::Create)),
];

fn log_in(world: &World, session: &Session) -> JoinHandle<Result<(), RefreshError>> {
    let set = world.token_set("alice");
    let (refresher, session) = (world.refresher.clone(), session.clone());
    tokio::spawn(async move { refresher.log_in(&session, set).await })
}

/// The caller goes away while its work stands at `stop`; the work goes on.
async fn leave_at<T>(world: &World, stop: Stop, begin: impl FnOnce() -> JoinHandle<T>) {
    let gate = stop.1(world);
    let caller = begin();
    gate.reached().await;
    leave(caller).await;
    gate.open();
    settle().await;
}

on_every_store! {
    async fn the_caller_of_log_in_leaves_and_the_log_in_is_complete(world: World) {
        for stop in LOG_IN {
            let session = world.session_with(None, None);

            leave_at(&world, stop, || log_in(&world, &session)).await;

            let id = session.id().unwrap_or_else(|| panic!("left {}: it was saved", stop.0));
            world.assert_logged_in(id).await;
            let token = world.refresher.valid_token(&world.session(id)).await;
            assert!(token.is_ok(), "left {}", stop.0);
        }
    }

    async fn the_caller_of_a_second_log_in_leaves_and_the_first_login_is_over(world: World) {
        for stop in LOG_IN_AGAIN {
            let first = world.log_in("bob").await;
            let grant = world.pointer(first).await.expect("a login");
            let session = world.request(first).await;

            leave_at(&world, stop, || log_in(&world, &session)).await;

            let second = session.id().unwrap_or_else(|| panic!("left {}: it was saved", stop.0));
            let token = world.refresher.valid_token(&world.session(second)).await.expect("alice's");
            let alice = world.issuer.subject_of("alice");
            assert_eq!(token.subject(), Some(alice.as_str()), "left {}", stop.0);
            assert!(world.tokens_of(&grant).await.is_ended(), "left {}", stop.0);
            assert_eq!(world.stored(first).await, None, "left {}", stop.0);
        }
    }

    async fn the_caller_of_log_out_leaves_and_the_user_is_logged_out(world: World) {
        for stop in LOG_OUT {
            let id = world.log_in("alice").await;
            let grant = world.pointer(id).await.expect("a login");
            let refresh_token = world.stored_refresh_token(id).await.expect("a refresh token");
            let session = world.session(id);

            leave_at(&world, stop, || world.log_out(&session, Logout::EndSession)).await;

            assert_eq!(world.stored(id).await, None, "left {}", stop.0);
            assert!(world.tokens_of(&grant).await.is_ended(), "left {}", stop.0);
            assert!(!world.issuer.session_alive(&refresh_token), "left {}", stop.0);
        }
    }

    async fn the_caller_of_a_log_out_that_keeps_the_session_leaves_and_the_session_stays(
        world: World
    ) {
        for stop in LOG_OUT_AND_KEEP {
            let id = world.log_in("alice").await;
            let grant = world.pointer(id).await.expect("a login");
            let refresh_token = world.stored_refresh_token(id).await.expect("a refresh token");
            let session = world.session(id);
            session.insert("basket", "3 apples").await.expect("the session loads");

            leave_at(&world, stop, || world.log_out(&session, Logout::KeepSession)).await;

            let kept = session.id().expect("saved under a new id");
            let record = world.stored(kept).await.expect("saved");
            assert_eq!(record.data["basket"], "3 apples", "left {}", stop.0);
            assert_eq!(world.stored_tokens(kept).await, StoredTokens::NoPointer, "left {}", stop.0);
            assert_eq!(world.stored(id).await, None, "left {}", stop.0);
            assert!(world.tokens_of(&grant).await.is_ended(), "left {}", stop.0);
            assert!(!world.issuer.session_alive(&refresh_token), "left {}", stop.0);
        }
    }
}

#[tokio::test]
async fn the_caller_of_log_out_leaves_while_the_provider_is_asked_and_the_tokens_are_revoked() {
    for how in [Logout::EndSession, Logout::KeepSession] {
        let world = World::on_memory();
        let id = world.log_in("alice").await;
        let grant = world.pointer(id).await.expect("a login");
        let refresh_token = world.stored_refresh_token(id).await.expect("a refresh token");
        let gate = world.issuer.gate_before(Endpoint::Revocation);
        let caller = world.log_out(&world.session(id), how);
        gate.reached().await;
        assert!(world.tokens_of(&grant).await.is_ended(), "the store comes first");
        assert_eq!(world.stored(id).await, None, "and the session");
        leave(caller).await;
        gate.open();
        settle().await;
        assert!(!world.issuer.session_alive(&refresh_token));
    }
}
