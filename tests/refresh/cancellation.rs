//! A caller that goes away neither cancels the work nor harms the others.


use support::{StoredTokens, World, settle, shown_generation, Op, variants::leave};
use tokio::task::JoinHandle;
use tower_sessions::{Session, session::Id};
use tower_token_refresh::{Logout, RefreshError, TokenSet, testing::Endpoint, tower_sessions};

/// A user whose token has expired, and two requests that hold it.
async fn expired(world: &World) -> (Id, Session, Session) {
    let id = world.log_in("alice").await;
    let requests = (world.request(id).await, world.request(id).await);
    world.expire();
    (id, requests.0, requests.1)
}

async fn assert_served(
    world: &World,
    id: Id,
    request: JoinHandle<Result<impl Sized, RefreshError>>,
) {
    assert!(request.await.unwrap().is_ok());
    assert_landed(world, id).await;
}

async fn assert_landed(world: &World, id: Id) {
    assert_eq!(world.issuer.refresh_requests(), 1);
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
    world.assert_logged_in(id).await;
}

#[tokio::test]
async fn the_leader_leaves_before_the_post_and_the_flight_lands() {
    let world = World::on_memory();
    let (id, leader, follower) = expired(&world).await;
    let re_read = world.sessions.gate_before(Op::Load);
    let leading = world.ask(&leader);
    re_read.reached().await;
    let following = world.ask(&follower);
    settle().await;
    leave(leading).await;
    assert_eq!(world.issuer.refresh_requests(), 0);
    re_read.open();
    assert_served(&world, id, following).await;
}

#[tokio::test]
async fn the_leader_leaves_while_the_post_is_on_its_way_and_the_flight_lands() {
    let world = World::on_memory();
    let (id, leader, follower) = expired(&world).await;
    let post = world.issuer.gate_before(Endpoint::Token);
    let leading = world.ask(&leader);
    post.reached().await;
    let following = world.ask(&follower);
    settle().await;
    leave(leading).await;
    post.open();
    assert_served(&world, id, following).await;
}

#[tokio::test]
async fn the_leader_leaves_while_the_answer_is_on_its_way_and_the_flight_lands() {
    let world = World::on_memory();
    let (id, leader, follower) = expired(&world).await;
    let answer = world.issuer.gate_after(Endpoint::Token);
    let leading = world.ask(&leader);
    answer.reached().await;
    let following = world.ask(&follower);
    settle().await;
    leave(leading).await;
    answer.open();
    assert_served(&world, id, following).await;
}

#[tokio::test]
async fn the_leader_leaves_during_the_write_back_and_the_flight_lands() {
    let world = World::on_memory();
    let (id, leader, follower) = expired(&world).await;
    let write_back = world.sessions.gate_before(Op::Save);
    let leading = world.ask(&leader);
    write_back.reached().await;
    let following = world.ask(&follower);
    settle().await;
    leave(leading).await;
    write_back.open();
    assert_served(&world, id, following).await;
}

#[tokio::test]
async fn the_leader_leaves_while_its_own_session_is_brought_up_to_date() {
    let world = World::on_memory();
    let (id, leader, follower) = expired(&world).await;
    let saved = world.sessions.gate_after(Op::Save);
    let leading = world.ask(&leader);
    saved.reached().await;
    let update = world.sessions.gate_before(Op::Load);
    saved.open();
    update.reached().await;
    leave(leading).await;
    update.open();
    assert_served(&world, id, world.ask(&follower)).await;
    assert_eq!(shown_generation(&follower).await, Some(2));
}

#[tokio::test]
async fn all_callers_leave_at_any_step_and_the_store_holds_the_new_set() {
    for step in 0..4 {
        let world = World::on_memory();
        let (id, one, another) = expired(&world).await;
        let landed = world.sessions.gate_after(Op::Save);
        let re_read = world.sessions.gate_before(Op::Load);
        let post = world.issuer.gate_before(Endpoint::Token);
        let answer = world.issuer.gate_after(Endpoint::Token);
        let write_back = world.sessions.gate_before(Op::Save);
        let callers = [world.ask(&one), world.ask(&another)];

        re_read.reached().await;
        if step > 0 {
            re_read.open();
            post.reached().await;
        }
        if step > 1 {
            post.open();
            answer.reached().await;
        }
        if step > 2 {
            answer.open();
            write_back.reached().await;
        }
        for caller in callers {
            leave(caller).await;
        }
        drop((re_read, post, answer, write_back));

        landed.reached().await;
        assert_landed(&world, id).await;
        landed.open();
        assert!(world.refresher.valid_token(&world.session(id)).await.is_ok());
        assert_eq!(world.issuer.refresh_requests(), 1);
    }
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
    assert_served(&world, id, stays).await;
}

fn log_in(world: &World, session: &Session) -> JoinHandle<Result<(), RefreshError>> {
    let set = TokenSet::from_response(world.issuer.log_in("alice")).unwrap();
    let (refresher, session) = (world.refresher.clone(), session.clone());
    tokio::spawn(async move { refresher.log_in(&session, set).await })
}

fn log_out(world: &World, session: &Session, how: Logout) -> JoinHandle<()> {
    let (refresher, session) = (world.refresher.clone(), session.clone());
    tokio::spawn(async move {
        let _ = refresher.log_out(&session, how).await;
    })
}

#[tokio::test]
async fn the_caller_of_log_in_leaves_at_any_step_and_the_log_in_is_complete() {
    for step in [Op::Load, Op::Delete, Op::Create] {
        let world = World::on_memory();
        let session = world.session_with(None, None);
        let gate = world.sessions.gate_before(step);
        let caller = log_in(&world, &session);
        gate.reached().await;
        leave(caller).await;
        gate.open();
        settle().await;

        let id = session.id().unwrap_or_else(|| panic!("left at {step:?}: the session was saved"));
        world.assert_logged_in(id).await;
        assert!(world.refresher.valid_token(&world.session(id)).await.is_ok(), "left at {step:?}");
    }
}

#[tokio::test]
async fn the_caller_of_a_second_log_in_leaves_and_the_first_grant_is_gone() {
    for step in [Op::Save, Op::Delete, Op::Create] {
        let world = World::on_memory();
        let first = world.log_in("bob").await;
        let session = world.request(first).await;
        let gate = world.sessions.gate_before(step);
        let caller = log_in(&world, &session);
        gate.reached().await;
        leave(caller).await;
        gate.open();
        settle().await;

        let second =
            session.id().unwrap_or_else(|| panic!("left at {step:?}: the session was saved"));
        let token = world.refresher.valid_token(&world.session(second)).await.unwrap();
        assert_eq!(
            token.subject(),
            Some(world.issuer.subject_of("alice").as_str()),
            "left at {step:?}"
        );
        assert_eq!(world.stored_tokens(first).await, StoredTokens::NoRecord, "left at {step:?}");
    }
}

#[tokio::test]
async fn the_caller_of_log_out_leaves_at_any_step_of_the_store_and_the_user_is_logged_out() {
    let load = |nth| (Op::Load, nth);
    for (step, nth) in [load(0), (Op::Delete, 0), load(1), (Op::Delete, 1)] {
        let world = World::on_memory();
        let id = world.log_in("alice").await;
        let refresh_token = world.stored_refresh_token(id).await.unwrap();
        let session = world.request(id).await;
        let gates: Vec<_> = (0..=nth).map(|_| world.sessions.gate_before(step)).collect();
        let caller = log_out(&world, &session, Logout::EndSession);
        for gate in &gates[..nth] {
            gate.reached().await;
            gate.open();
        }
        gates[nth].reached().await;
        leave(caller).await;
        drop(gates);
        settle().await;

        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord, "left at {step:?} {nth}");
        assert!(!world.issuer.session_alive(&refresh_token), "left at {step:?} {nth}");
    }
}

#[tokio::test]
async fn the_caller_of_log_out_leaves_while_the_provider_is_asked_and_the_tokens_are_revoked() {
    for how in [Logout::EndSession, Logout::KeepSession] {
        let world = World::on_memory();
        let id = world.log_in("alice").await;
        let refresh_token = world.stored_refresh_token(id).await.unwrap();
        let gate = world.issuer.gate_before(Endpoint::Revocation);
        let caller = log_out(&world, &world.session(id), how);
        gate.reached().await;
        assert_eq!(world.stored_refresh_token(id).await, None, "the store comes first");
        leave(caller).await;
        gate.open();
        settle().await;
        assert!(!world.issuer.session_alive(&refresh_token));
    }
}

#[tokio::test]
async fn the_caller_of_a_log_out_that_keeps_the_session_leaves_and_the_session_stays_without_tokens()
 {
    for step in [Op::Save, Op::Delete, Op::Create] {
        let world = World::on_memory();
        let id = world.log_in("alice").await;
        let refresh_token = world.stored_refresh_token(id).await.unwrap();
        let session = world.session(id);
        session.insert("basket", "3 apples").await.unwrap();
        let gate = world.sessions.gate_before(step);
        let caller = log_out(&world, &session, Logout::KeepSession);
        gate.reached().await;
        leave(caller).await;
        gate.open();
        settle().await;

        let kept = world.stored(session.id().expect("saved under a new id")).await.unwrap();
        assert_eq!(kept.data["basket"], "3 apples", "left at {step:?}");
        assert_eq!(StoredTokens::of(&kept), StoredTokens::NoEntry, "left at {step:?}");
        assert_eq!(world.stored_refresh_token(id).await, None, "left at {step:?}");
        assert!(!world.issuer.session_alive(&refresh_token), "left at {step:?}");
    }
}
