//! The refresh before it is needed: in the last minute of a token's life, in the background, seen
//! by nobody.

use std::{io, time::Duration};

use support::{StoredTokens, TokenOp, World, log::Log, on_every_store, settle};
use tower_sessions::{Expiry, session::Id};
use tower_token_refresh::{
    AccessToken, Logout, RefreshErrorKind, RefreshPolicy, TokenSet, Transport, testing::Endpoint,
    tower_sessions,
};

use super::{refused, served};

/// Half of a 60 s token's life is the window, and by now every window has begun.
const EARLY: Duration = Duration::from_secs(46);

/// What a request gets, and its early flight has come to its end.
async fn served_and_settled(world: &World, id: Id) -> AccessToken {
    let token = served(world, id).await;
    settle().await;
    token
}

/// The same, with the pauses between the attempts of that flight.
async fn served_and_waited(world: &World, id: Id) -> AccessToken {
    let token = served(world, id).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    token
}

on_every_store! {
    #[doc = "The request goes on with its token; the next one has the new one."]
    async fn a_token_near_its_end_is_refreshed_behind_the_request(world: World) {
        let id = world.log_in("alice").await;
        world.clock.advance(EARLY);
        let answer = world.issuer.gate_after(Endpoint::Token);

        let first = served(&world, id).await;
        answer.reached().await;
        for _ in 0..10 {
            assert_eq!(served(&world, id).await.secret(), first.secret(), "nobody waits for it");
        }
        answer.open();
        settle().await;

        let next = served_and_settled(&world, id).await;
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
        served(&world, id).await;
        post.reached().await;
        world.clock.advance(Duration::from_secs(20));
        let late = world.ask(&world.session(id));
        settle().await;
        assert!(!late.is_finished());
        post.open();

        assert!(world.issuer.is_access_token_live(late.await.unwrap().unwrap().secret()));
        assert_eq!(world.issuer.refresh_requests(), 1);
    }

    async fn a_log_out_during_the_early_flight_revokes_what_it_brings(world: World) {
        let id = world.log_in("alice").await;
        let grant = world.pointer(id).await.expect("logged in");
        world.clock.advance(EARLY);
        let answer = world.issuer.gate_after(Endpoint::Token);
        served(&world, id).await;
        answer.reached().await;
        world.refresher.log_out(&world.session(id), Logout::EndSession).await.expect("logged out");
        answer.open();
        settle().await;
        assert_eq!(world.stored_tokens(id).await, StoredTokens::NoPointer);
        assert!(world.tokens_of(&grant).await.is_ended());
        world.assert_dead_at_the_provider();
    }
}

#[tokio::test]
async fn a_young_token_is_left_alone() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.clock.advance(Duration::from_secs(29));
    served_and_settled(&world, id).await;
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
            served_and_settled(&world, *id).await;
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
        served_and_settled(&world, id).await;
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
    served_and_settled(&world, id).await;
    assert_eq!(world.issuer.refresh_requests(), 0);
}

/// Whatever the provider says but `invalid_grant`: nobody notices, and it is asked again only after
/// a pause.
#[tokio::test(start_paused = true)]
async fn failures_stay_invisible_and_are_tried_again_after_a_pause() {
    for name in ["down", "a client that is refused", "a firewall"] {
        for world in [World::on_memory(), World::on_swapping()] {
            let id = world.log_in("alice").await;
            world.clock.advance(EARLY);
            match name {
                "down" => world.issuer.set_down(true),
                "a firewall" => world.issuer.fail_next(403, "<html>"),
                _ => world.issuer.fail_next_oauth(400, "invalid_client"),
            }
            let first = served_and_waited(&world, id).await;
            let sent = world.issuer.refresh_requests();
            world.issuer.set_down(false);
            for _ in 0..20 {
                let next = served_and_waited(&world, id).await;
                assert_eq!(next.secret(), first.secret(), "{name}");
            }
            assert_eq!(world.issuer.refresh_requests(), sent, "before the pause is over: {name}");
            assert_eq!(world.stored_tokens(id).await.generation(), Some(1), "{name}");
            world.clock.advance(Duration::from_secs(2));
            served_and_waited(&world, id).await;
            assert_eq!(world.issuer.refresh_requests(), sent + 1, "{name}");
            assert_eq!(world.stored_tokens(id).await.generation(), Some(2), "{name}");
        }
    }
}

/// The token may be used up: it is not presented again while the access token is good.
#[tokio::test]
async fn a_panic_behind_a_request_is_seen_by_nobody() {
    let transport = |_: &_| {
        Transport::new(tower::service_fn(async |_| -> Result<http::Response<String>, io::Error> {
            panic!("on purpose")
        }))
    };
    let world = World::reached_by(transport);
    let id = world.log_in("alice").await;
    world.clock.advance(EARLY);
    let first = served_and_settled(&world, id).await;
    for _ in 0..10 {
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(served_and_settled(&world, id).await.secret(), first.secret());
    }
    assert_eq!(world.tokens.calls(TokenOp::Swap), 1, "no second flight");
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
        served_and_waited(&world, id).await;
        world.issuer.clear_script();
        attempts.push(world.issuer.refresh_requests());
        world.clock.advance(Duration::from_secs(1));
    }
    let (at_3, at_9) = (attempts[2], attempts[8]);
    assert!((2..=3).contains(&at_3), "{attempts:?}");
    assert!((3..=5).contains(&at_9), "1, 2 and 4 s, each less up to half: {attempts:?}");
}

/// The breaker would refuse the request, after a flight had read the token record for nothing.
#[tokio::test(start_paused = true)]
async fn no_flight_is_started_before_the_time_that_the_provider_named() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.clock.advance(EARLY);
    let busy = http::Response::builder().status(503).header("retry-after", "20");
    world.issuer.answer_next_at(Endpoint::Token, busy.body("".into()).unwrap());
    served_and_waited(&world, id).await;
    assert_eq!(world.issuer.refresh_requests(), 1);
    let loads = world.tokens.calls(TokenOp::Load);
    for _ in 0..4 {
        world.clock.advance(Duration::from_secs(2));
        served_and_waited(&world, id).await;
    }
    assert_eq!(world.tokens.calls(TokenOp::Load), loads);
}

#[tokio::test]
async fn a_flight_that_could_not_read_the_record_is_tried_again_after_a_pause() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.clock.advance(EARLY);
    world.tokens.fail_next(TokenOp::Load);
    served_and_settled(&world, id).await;
    served_and_settled(&world, id).await;
    assert_eq!(world.issuer.refresh_requests(), 0, "not at once");
    world.clock.advance(Duration::from_secs(1));
    served_and_settled(&world, id).await;
    assert_eq!(world.issuer.refresh_requests(), 1);
}

#[tokio::test]
async fn without_a_refresh_token_there_is_nothing_to_start() {
    let world = World::on_memory();
    let session = world.session_with(None, None);
    let mut response = world.issuer.log_in("alice");
    response.as_object_mut().unwrap().remove("refresh_token");
    let set = TokenSet::from_response(response).unwrap();
    world.refresher.log_in(&session, set).await.expect("logged in");
    world.clock.advance(EARLY);
    let loads = world.tokens.calls(TokenOp::Load);
    served_and_settled(&world, session.id().unwrap()).await;
    assert_eq!(world.tokens.calls(TokenOp::Load), loads);
}

#[tokio::test(start_paused = true)]
async fn a_refused_refresh_token_ends_the_login_for_the_next_request() {
    for world in [World::on_memory(), World::on_swapping()] {
        let id = world.log_in("alice").await;
        world.clock.advance(EARLY);
        world.issuer.end_session("alice");
        // The flight looks a while for the set of another process that was faster.
        served_and_waited(&world, id).await;
        assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::SessionExpired);
        let ended = world.stored_tokens(id).await;
        let StoredTokens::Ended { why, revoke, with_session } = ended else { panic!("{ended:?}") };
        assert_eq!((why.as_str(), revoke, with_session), ("expired", false, false));
    }
}

#[tokio::test]
async fn tokens_of_another_user_end_the_login_for_the_next_request() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.clock.advance(EARLY);
    world.issuer.switch_user_next("mallory");
    served_and_settled(&world, id).await;
    assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::SubjectChanged);
    assert!(world.stored_tokens(id).await.is_ended());
    for token in world.issuer.every_secret() {
        assert!(!world.issuer.is_refresh_token_live(&token), "what came was revoked");
    }
}

/// Another process is about to bring the tokens: nothing to warn of.
#[tokio::test]
async fn an_early_flight_gives_way_to_that_of_another_process_without_a_word() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    world.clock.advance(EARLY);
    let other = world.restarted();
    let post = world.issuer.gate_before(Endpoint::Token);
    other.valid_token(&support::variants::session_at(&other, id)).await.expect("served");
    post.reached().await;
    let log = Log::of_this_thread();

    let token = served_and_settled(&world, id).await;

    assert!(world.issuer.is_access_token_live(token.secret()));
    assert_eq!(log.lines_at("WARN"), Vec::<String>::new());
    post.open();
    settle().await;
    assert_eq!(world.issuer.refresh_requests(), 1);
    assert_eq!(world.stored_tokens(id).await.generation(), Some(2));
}

#[tokio::test]
async fn the_request_that_starts_it_counts_as_activity_and_one_that_joins_it_does_not() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.clock.advance(EARLY);
    let inactivity = Expiry::OnInactivity(tower_sessions::cookie::time::Duration::days(30));
    let [starts, joins] = [0; 2].map(|_| world.session_with(Some(id), Some(inactivity)));
    let before = world.stored(id).await.expect("a record").expiry_date;
    let post = world.issuer.gate_before(Endpoint::Token);
    world.refresher.valid_token(&starts).await.expect("at once");
    post.reached().await;
    world.refresher.valid_token(&joins).await.expect("at once");
    assert!(starts.is_modified() && !joins.is_modified(), "one of them sets the cookie again");
    starts.save().await.expect("saved");
    assert!(world.stored(id).await.expect("a record").expiry_date > before);
}
