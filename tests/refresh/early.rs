//! The refresh before it is needed: in the last minute of a token's life, in the background, seen by nobody.


use std::time::Duration;

use support::{StoredTokens, World, on_every_store, settle, Op};
use tower_sessions::{Expiry, session::Id};
use tower_token_refresh::{
    AccessToken, Logout, RefreshErrorKind, RefreshPolicy, TokenSet, testing::Endpoint,
    tower_sessions,
};

/// Longer than the window's later half is from the end of a 60 s token: half its life, all of it begun by now.
const EARLY: Duration = Duration::from_secs(46);

impl World {
    async fn asked(&self, id: Id) -> AccessToken {
        let token = self.refresher.valid_token(&self.session(id)).await.expect("served");
        settle().await;
        token
    }
}

on_every_store! {
    #[doc = "The request goes on with its token; the next one has the new one."]
    async fn a_token_near_its_end_is_refreshed_behind_the_request(world: World) {
        let id = world.log_in("alice").await;
        world.clock.advance(EARLY);
        let answer = world.issuer.gate_after(Endpoint::Token);

        let first = world.refresher.valid_token(&world.session(id)).await.expect("at once");
        answer.reached().await;
        for _ in 0..10 {
            let served = world.refresher.valid_token(&world.session(id)).await.expect("at once");
            assert_eq!(served.secret(), first.secret(), "nobody waits for it");
        }
        answer.open();
        settle().await;

        let next = world.asked(id).await;
        assert_ne!(next.secret(), first.secret());
        assert!(world.issuer.is_access_token_live(next.secret()));
        assert_eq!(world.issuer.refresh_requests(), 1);
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
        world.assert_logged_in(id).await;
    }

    #[doc = "Whoever finds the token expired waits for the flight that was started early."]
    async fn who_comes_after_the_expiry_joins_the_early_flight(world: World) {
        let id = world.log_in("alice").await;
        world.clock.advance(EARLY);
        let post = world.issuer.gate_before(Endpoint::Token);
        world.refresher.valid_token(&world.session(id)).await.expect("at once");
        post.reached().await;
        world.clock.advance(Duration::from_secs(20));
        let late = world.ask(&world.session(id));
        settle().await;
        assert!(!late.is_finished());
        post.open();

        assert!(world.issuer.is_access_token_live(late.await.unwrap().unwrap().secret()));
        assert_eq!(world.issuer.refresh_requests(), 1);
    }
}

#[tokio::test]
async fn a_young_token_is_left_alone() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.clock.advance(Duration::from_secs(29));
    world.asked(id).await;
    assert_eq!(world.issuer.refresh_requests(), 0, "never more than half of its life");
}

/// Logins made together are not refreshed together: each begins its window at a moment of its own.
#[tokio::test]
async fn the_windows_of_many_logins_begin_at_different_moments() {
    let world = World::on_memory();
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(world.log_in("alice").await);
    }
    let mut begun = Vec::new();
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(if begun.is_empty() { 35 } else { 5 }));
        for id in &ids {
            world.asked(*id).await;
        }
        begun.push(world.issuer.refresh_requests());
    }
    assert!(begun[0] > 10 && begun[0] < 60, "{begun:?}");
    assert!(begun[1] > begun[0] + 10 && begun[1] < 95, "{begun:?}");
    assert_eq!(begun[2], 100, "all in the first half of the window");
}

/// Nor do the tokens of one login: a user who is unlucky once is not so each time.
#[tokio::test]
async fn the_windows_of_one_login_begin_at_different_moments() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let mut early = 0;
    for _ in 0..40 {
        let before = world.issuer.refresh_requests();
        world.clock.advance(Duration::from_secs(38));
        world.asked(id).await;
        early += world.issuer.refresh_requests() - before;
        world.refresh(id).await;
    }
    assert!((5..=35).contains(&early), "{early}");
}

#[tokio::test]
async fn a_window_of_zero_turns_it_off() {
    let policy = RefreshPolicy::default().refresh_ahead(Duration::ZERO);
    let world = World::with(|builder| builder.policy(policy));
    let id = world.log_in("alice").await;
    world.clock.advance(EARLY);
    world.asked(id).await;
    assert_eq!(world.issuer.refresh_requests(), 0);
}

/// Lets the flight that a request has started come to its end, pauses between its attempts included.
async fn asked_and_settled(world: &World, id: Id) -> AccessToken {
    let token = world.refresher.valid_token(&world.session(id)).await.expect("served");
    tokio::time::sleep(Duration::from_secs(60)).await;
    token
}

/// Whatever the provider says but `invalid_grant`: nobody notices, and it is asked again only after a pause.
#[tokio::test(start_paused = true)]
async fn failures_stay_invisible_and_are_tried_again_after_a_pause() {
    for name in ["down", "a client that is refused", "a firewall"] {
        let world = World::on_memory();
        let id = world.log_in("alice").await;
        world.clock.advance(EARLY);
        match name {
            "down" => world.issuer.set_down(true),
            "a firewall" => world.issuer.fail_next(403, "<html>"),
            _ => world.issuer.fail_next_oauth(400, "invalid_client"),
        }
        let first = asked_and_settled(&world, id).await;
        let asked_of_provider = world.issuer.refresh_requests();
        world.issuer.set_down(false);
        for _ in 0..20 {
            assert_eq!(asked_and_settled(&world, id).await.secret(), first.secret(), "{name}");
        }
        assert_eq!(
            world.issuer.refresh_requests(),
            asked_of_provider,
            "not before the pause is over: {name}"
        );
        assert_eq!(world.stored_tokens(id).await.generation(), Some(1), "{name}");
        world.clock.advance(Duration::from_secs(2));
        asked_and_settled(&world, id).await;
        assert_eq!(world.issuer.refresh_requests(), asked_of_provider + 1, "{name}");
        assert_eq!(world.stored_tokens(id).await.generation(), Some(2), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_pause_after_failures_doubles() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.clock.advance(EARLY);
    let mut attempts = Vec::new();
    for _ in 0..9 {
        // No outage, which would open the breaker: each answer is clear.
        world.issuer.fail_next_oauth(400, "invalid_client");
        asked_and_settled(&world, id).await;
        world.issuer.clear_script();
        attempts.push(world.issuer.refresh_requests());
        world.clock.advance(Duration::from_secs(1));
    }
    let (at_3, at_9) = (attempts[2], attempts[8]);
    assert!((2..=3).contains(&at_3), "{attempts:?}");
    assert!((3..=5).contains(&at_9), "1, 2 and 4 s, each less up to half: {attempts:?}");
}

/// The breaker would refuse the request, after a flight had read the session for nothing.
#[tokio::test(start_paused = true)]
async fn no_flight_is_started_before_the_time_that_the_provider_named() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.clock.advance(EARLY);
    let busy = ::http::Response::builder()
        .status(503)
        .header("retry-after", "20")
        .body("".into())
        .unwrap();
    world.issuer.answer_next_at(Endpoint::Token, busy);
    asked_and_settled(&world, id).await;
    assert_eq!(world.issuer.refresh_requests(), 1);
    let loads = world.sessions.calls(Op::Load);
    for _ in 0..4 {
        world.clock.advance(Duration::from_secs(2));
        asked_and_settled(&world, id).await;
    }
    assert_eq!(world.sessions.calls(Op::Load) - loads, 4, "one for each request");
}

#[tokio::test]
async fn a_flight_that_could_not_read_the_session_is_tried_again_after_a_pause() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let session = world.request(id).await;
    world.clock.advance(EARLY);
    world.sessions.fail_next(Op::Load);
    world.refresher.valid_token(&session).await.expect("served");
    settle().await;
    world.asked(id).await;
    assert_eq!(world.issuer.refresh_requests(), 0, "not at once");
    world.clock.advance(Duration::from_secs(1));
    world.asked(id).await;
    assert_eq!(world.issuer.refresh_requests(), 1);
}

#[tokio::test]
async fn without_a_refresh_token_there_is_nothing_to_start() {
    let world = World::on_memory();
    let session = world.session_with(None, None);
    let mut response = world.issuer.log_in("alice");
    response.as_object_mut().unwrap().remove("refresh_token");
    world
        .refresher
        .log_in(&session, TokenSet::from_response(response).unwrap())
        .await
        .expect("logged in");
    world.clock.advance(EARLY);
    let loads = world.sessions.calls(Op::Load);
    world.asked(session.id().unwrap()).await;
    assert_eq!(world.sessions.calls(Op::Load) - loads, 1, "the request's own");
}

#[tokio::test(start_paused = true)]
async fn a_refused_refresh_token_ends_the_login_for_the_next_request() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.clock.advance(EARLY);
    world.issuer.end_session("alice");
    world.asked(id).await;
    // The flight looks a while for the set of another process that was faster.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let error = world.refresher.valid_token(&world.session(id)).await.expect_err("refused");
    assert_eq!(error.kind(), RefreshErrorKind::NoTokens, "the tombstone is in place");
    assert!(matches!(world.stored_tokens(id).await, StoredTokens::Tombstone { .. }));
}

#[tokio::test]
async fn a_log_out_during_the_early_flight_revokes_what_it_brings() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.clock.advance(EARLY);
    let answer = world.issuer.gate_after(Endpoint::Token);
    world.refresher.valid_token(&world.session(id)).await.expect("at once");
    answer.reached().await;
    world.refresher.log_out(&world.session(id), Logout::EndSession).await.expect("logged out");
    answer.open();
    settle().await;
    assert_eq!(world.stored_tokens(id).await, StoredTokens::NoRecord);
    for token in world.issuer.every_secret() {
        assert!(
            !world.issuer.is_refresh_token_live(&token)
                && !world.issuer.is_access_token_live(&token)
        );
    }
}

#[tokio::test]
async fn the_request_that_starts_it_counts_as_activity() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.clock.advance(EARLY);
    let inactivity = Expiry::OnInactivity(tower_sessions::cookie::time::Duration::days(30));
    let session = world.session_with(Some(id), Some(inactivity));
    let before = world.stored(id).await.expect("a record").expiry_date;
    world.refresher.valid_token(&session).await.expect("at once");
    settle().await;
    assert!(session.is_modified(), "its cookie is set again");
    assert!(world.stored(id).await.expect("a record").expiry_date > before);
}

#[tokio::test]
async fn a_request_that_joins_it_sets_no_cookie() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.clock.advance(EARLY);
    let inactivity = Expiry::OnInactivity(tower_sessions::cookie::time::Duration::days(30));
    let [starts, joins] = [0; 2].map(|_| world.session_with(Some(id), Some(inactivity)));
    joins.load().await.expect("a record");
    starts.load().await.expect("a record");
    let re_read = world.sessions.gate_before(Op::Load);
    world.refresher.valid_token(&starts).await.expect("at once");
    re_read.reached().await;
    world.refresher.valid_token(&joins).await.expect("at once");
    assert!(starts.is_modified() && !joins.is_modified());
}
