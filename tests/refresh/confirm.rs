//! How long a cached token is served before its record is read again: `confirm_after`.

use std::time::Duration;

use support::{TokenOp, World, races::Station::BeforePost, settle, variants::session_at};
use tokio::task::JoinHandle;
use tower_sessions::{MemoryStore, Session, session::Id};
use tower_token_refresh::{
    AccessToken, Logout, RefreshErrorKind, RefreshPolicy, TokenRefresher, testing::Endpoint,
    tower_sessions,
};

const CONFIRM_AFTER: Duration = Duration::from_secs(20);
const MOMENT: Duration = Duration::from_millis(1);

/// Nothing is refreshed ahead of its time, so that only these reads reach the store.
fn policy() -> RefreshPolicy {
    RefreshPolicy::default().confirm_after(CONFIRM_AFTER).refresh_ahead(Duration::ZERO)
}

fn worlds_with(policy: &RefreshPolicy) -> [World; 2] {
    [
        World::on(MemoryStore::default(), |builder| builder.policy(policy.clone())),
        World::swapping_with(|builder| builder.policy(policy.clone())),
    ]
}

fn worlds() -> [World; 2] {
    worlds_with(&policy())
}

async fn ask(world: &World, id: Id) -> AccessToken {
    world.refresher.valid_token(&world.session(id)).await.expect("a token")
}

async fn kind_of(world: &World, session: &Session) -> RefreshErrorKind {
    world.refresher.valid_token(session).await.expect_err("no token").kind()
}

async fn log_out_at(elsewhere: &TokenRefresher, id: Id) {
    let out = elsewhere.log_out(&session_at(elsewhere, id), Logout::KeepSession).await;
    out.expect("logged out");
}

#[tokio::test]
async fn a_token_confirmed_lately_is_served_without_the_store() {
    for world in worlds() {
        let id = world.log_in("alice").await;
        let loads = world.tokens.calls(TokenOp::Load);
        world.clock.advance(CONFIRM_AFTER / 2);
        world.tokens.refuse_everything(true);
        ask(&world, id).await;
        settle().await;
        assert_eq!(world.tokens.calls(TokenOp::Load), loads);
    }
}

#[tokio::test]
async fn from_half_of_the_time_on_the_record_is_read_again_in_the_background() {
    for world in worlds() {
        let id = world.log_in("alice").await;
        let loads = world.tokens.calls(TokenOp::Load);
        world.clock.advance(CONFIRM_AFTER / 2 + MOMENT);
        let read = world.tokens.gate_before(TokenOp::Load);
        for _ in 0..10 {
            ask(&world, id).await;
        }
        read.reached().await;
        read.open();
        settle().await;
        assert_eq!(world.tokens.calls(TokenOp::Load), loads + 1, "one read for all of them");

        world.clock.advance(CONFIRM_AFTER / 2);
        ask(&world, id).await;
        settle().await;
        assert_eq!(world.tokens.calls(TokenOp::Load), loads + 1, "confirmed anew");
    }
}

#[tokio::test]
async fn after_all_of_it_a_request_waits_for_the_read() {
    for world in worlds() {
        let id = world.log_in("alice").await;
        let loads = world.tokens.calls(TokenOp::Load);
        world.clock.advance(CONFIRM_AFTER + MOMENT);
        let read = world.tokens.gate_before(TokenOp::Load);
        let requests: Vec<_> = (0..10).map(|_| world.ask(&world.session(id))).collect();
        read.reached().await;
        settle().await;
        assert!(requests.iter().all(|request| !request.is_finished()));
        read.open();
        for request in requests {
            assert!(request.await.unwrap().is_ok());
        }
        assert_eq!(world.tokens.calls(TokenOp::Load), loads + 1, "one read for all of them");
    }
}

#[tokio::test]
async fn a_log_out_elsewhere_is_noticed_within_that_time() {
    for world in worlds() {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        log_out_at(&world.restarted(), id).await;
        world.clock.advance(CONFIRM_AFTER);
        world.refresher.valid_token(&slow).await.expect("not known here yet");
        settle().await;

        assert_eq!(kind_of(&world, &slow).await, RefreshErrorKind::LoggedOut, "read behind it");
    }
}

/// The first request after hours.
#[tokio::test]
async fn an_idle_process_serves_nothing_that_ended_elsewhere() {
    let life = Duration::from_secs(24 * 60 * 60);
    let policy = policy();
    let world = World::configured(
        |issuer| issuer.access_token_lifetime(life),
        |builder| builder.policy(policy),
    );
    let id = world.log_in("alice").await;
    let slow = world.request(id).await;
    log_out_at(&world.restarted(), id).await;
    world.clock.advance(life / 2);
    assert_eq!(kind_of(&world, &slow).await, RefreshErrorKind::LoggedOut);
}

#[tokio::test]
async fn with_a_time_of_zero_the_record_is_read_before_each_request() {
    for world in worlds_with(&policy().confirm_after(Duration::ZERO)) {
        let id = world.log_in("alice").await;
        let loads = world.tokens.calls(TokenOp::Load);
        let slow = world.request(id).await;
        for reads in 1..4 {
            world.clock.advance(MOMENT);
            ask(&world, id).await;
            assert_eq!(world.tokens.calls(TokenOp::Load), loads + reads);
        }
        log_out_at(&world.restarted(), id).await;
        world.clock.advance(MOMENT);
        assert_eq!(kind_of(&world, &slow).await, RefreshErrorKind::LoggedOut);
    }
}

/// The read has seen the login live, and its answer takes long; the login ends elsewhere meanwhile.
#[tokio::test]
async fn the_age_counts_from_when_the_read_began() {
    for world in worlds() {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        world.clock.advance(CONFIRM_AFTER / 2 + MOMENT);
        let read = world.tokens.gate_after(TokenOp::Load);
        ask(&world, id).await;
        read.reached().await;
        log_out_at(&world.restarted(), id).await;
        world.clock.advance(CONFIRM_AFTER + MOMENT);
        read.open();
        settle().await;

        assert_eq!(kind_of(&world, &slow).await, RefreshErrorKind::LoggedOut);
    }
}

/// A machine's monotonic clock may stand still while it sleeps.
#[tokio::test]
async fn the_age_counts_by_the_wall_clock_as_well() {
    for world in worlds() {
        let id = world.log_in("alice").await;
        let slow = world.request(id).await;
        log_out_at(&world.restarted(), id).await;
        world.clock.jump_wall(30);
        assert_eq!(kind_of(&world, &slow).await, RefreshErrorKind::LoggedOut);
    }
}

#[tokio::test]
async fn a_store_that_is_down_or_panics_at_that_read_ends_nothing() {
    let troubles: [fn(&World); 2] = [
        |world| world.tokens.refuse_everything(true),
        |world| (0..9).for_each(|_| world.tokens.panic_next(TokenOp::Load)),
    ];
    for trouble in troubles {
        for world in worlds() {
            let id = world.log_in("alice").await;
            let loads = world.tokens.calls(TokenOp::Load);
            trouble(&world);
            for _ in 0..2 {
                world.clock.advance(CONFIRM_AFTER + MOMENT);
                let token = ask(&world, id).await;
                assert!(world.issuer.is_access_token_live(token.secret()));
            }
            assert_eq!(world.tokens.calls(TokenOp::Load), loads + 2);
        }
    }
}

/// Until its access token has expired: then nobody can say what the store holds.
#[tokio::test]
async fn a_store_that_is_down_is_the_end_of_serving_when_the_token_expires() {
    for world in worlds() {
        let id = world.log_in("alice").await;
        world.tokens.refuse_everything(true);
        world.expire();
        assert_eq!(kind_of(&world, &world.session(id)).await, RefreshErrorKind::Unavailable);
        assert_eq!(world.issuer.refresh_requests(), 0);
        world.tokens.refuse_everything(false);
        ask(&world, id).await;
    }
}

/// The store answers no more: one request in a while waits for it, not each of them.
#[tokio::test(start_paused = true)]
async fn of_the_requests_of_an_outage_few_wait_for_the_store() {
    for world in worlds() {
        let id = world.log_in("alice").await;
        world.clock.advance(CONFIRM_AFTER + MOMENT);
        let _stuck = [(); 3].map(|()| world.tokens.gate_before(TokenOp::Load));
        let waits = Duration::from_millis(10_100);
        let first = tokio::time::timeout(waits, ask(&world, id)).await;
        assert!(first.is_ok(), "no longer than the store may take");

        for _ in 0..10 {
            let next = tokio::time::timeout(MOMENT, ask(&world, id)).await;
            assert!(next.is_ok(), "at once");
        }
    }
}

/// A refresh under way somewhere is no reason to refuse a valid token.
#[tokio::test]
async fn whoever_is_no_refresh_reads_a_marked_record_as_live() {
    for world in worlds() {
        let id = world.log_in("alice").await;
        let session = world.session(id);
        let rejected = ask(&world, id).await;
        let post = world.issuer.gate_before(Endpoint::Token);
        let refresh: JoinHandle<_> = tokio::spawn({
            let refresher = world.refresher.clone();
            async move { refresher.newer_token(&session, &rejected).await }
        });
        post.reached().await;
        assert!(world.stored_tokens(id).await.is_presenting());

        let elsewhere = world.restarted();
        let theirs = elsewhere.valid_token(&session_at(&elsewhere, id)).await.expect("served");
        assert!(world.issuer.is_access_token_live(theirs.secret()));

        world.clock.advance(CONFIRM_AFTER + MOMENT);
        ask(&world, id).await;
        let loads = world.tokens.calls(TokenOp::Load);
        ask(&world, id).await;
        settle().await;
        assert_eq!(world.tokens.calls(TokenOp::Load), loads, "that read has confirmed it");
        post.open();
        assert!(refresh.await.unwrap().is_ok());
    }
}

/// An expired token is read again first, and another process may have refreshed it.
#[tokio::test]
async fn an_expired_token_that_was_refreshed_elsewhere_is_found_by_the_read() {
    for world in worlds() {
        let id = world.log_in("alice").await;
        world.expire();
        let elsewhere = world.restarted();
        let theirs = elsewhere.valid_token(&session_at(&elsewhere, id)).await.expect("refreshed");
        let loads = world.tokens.calls(TokenOp::Load);

        let ours = ask(&world, id).await;

        assert_eq!(ours.secret(), theirs.secret());
        assert_eq!(world.tokens.calls(TokenOp::Load), loads + 1, "and no flight");
        assert_eq!(world.issuer.refresh_requests(), 1);
    }
}

/// A read that began before a refresh does not put the older token back.
#[tokio::test]
async fn a_slow_read_undoes_no_refresh() {
    for world in worlds() {
        let id = world.log_in("alice").await;
        world.clock.advance(CONFIRM_AFTER / 2 + MOMENT);
        let read = world.tokens.gate_after(TokenOp::Load);
        ask(&world, id).await;
        read.reached().await;
        let flight = {
            let session = world.request(id).await;
            world.clock.advance(CONFIRM_AFTER / 2 - MOMENT);
            let rejected = ask(&world, id).await;
            let refresher = world.refresher.clone();
            tokio::spawn(async move { refresher.newer_token(&session, &rejected).await })
        };
        let newer = flight.await.unwrap().expect("refreshed");
        read.open();
        settle().await;

        assert_eq!(ask(&world, id).await.secret(), newer.secret());
        assert_eq!(world.issuer.refresh_requests(), 1);
    }
}

/// What a flight brings is confirmed by its own write.
#[tokio::test]
async fn a_refresh_confirms_its_tokens() {
    for world in worlds() {
        let id = world.log_in("alice").await;
        world.flight_at(BeforePost, id).await.land().await.expect("refreshed");
        let loads = world.tokens.calls(TokenOp::Load);
        world.clock.advance(CONFIRM_AFTER / 2);
        ask(&world, id).await;
        settle().await;
        assert_eq!(world.tokens.calls(TokenOp::Load), loads);
    }
}
