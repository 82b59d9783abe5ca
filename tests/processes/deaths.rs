//! A process dies in the middle of a refresh. What the others may do, and when.

use std::time::Duration;

use http::StatusCode;
use support::{Gate, StoredTokens, TokenOp, World, log::Log};
use tower_sessions::session::Id;
use tower_token_refresh::{
    RefreshErrorKind, RefreshPolicy,
    testing::{self, Endpoint},
    tower_sessions,
};

use super::{DEADLINE, Pair, SECOND, ask, refused, served, watch};

/// Where a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    AfterMark,
    /// The provider has used the refresh token up, and nobody has its answer.
    AfterPost,
}

enum AnyGate {
    Store(Gate),
    Issuer(testing::Gate),
}

/// A process of its own, on a runtime of its own, begins a refresh and dies: nothing of it goes on.
fn dies(world: &World, id: Id, death: Death) {
    dies_with(world, id, death, RefreshPolicy::default());
}

fn dies_with(world: &World, id: Id, death: Death, policy: RefreshPolicy) {
    let way = world.tokens.another_way();
    let process = world.restarted_with(|builder| builder.token_store(way.clone()).policy(policy));
    let gate = match death {
        Death::AfterMark => AnyGate::Store(way.gate_after(TokenOp::Swap)),
        Death::AfterPost => AnyGate::Issuer(world.issuer.gate_after(Endpoint::Token)),
    };
    let life = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let _asked = ask(&process, id);
            match &gate {
                AnyGate::Store(gate) => gate.reached().await,
                AnyGate::Issuer(gate) => gate.reached().await,
            }
        });
    };
    std::thread::scope(|threads| threads.spawn(life).join()).expect("it has lived");
}

async fn nonce(world: &World, id: Id) -> String {
    match world.stored_tokens(id).await {
        StoredTokens::Live { nonce, .. } => nonce,
        other => panic!("{other:?}"),
    }
}

/// Rules 5 and 6. The restarted process is no better off: it does not know its own mark any more.
#[tokio::test(start_paused = true)]
async fn its_mark_holds_everybody_off_until_the_deadline_and_then_one_request_is_made() {
    for world in [World::on_swapping(), World::on_memory()] {
        let id = world.log_in("alice").await;
        world.expire();
        dies(&world, id, Death::AfterMark);
        assert!(world.stored_tokens(id).await.is_presenting());
        let dead = nonce(&world, id).await;
        let restarted = world.restarted();

        for second in 0..DEADLINE.as_secs() {
            let error = refused(&restarted, id).await;
            assert_eq!(error.kind().status(), StatusCode::SERVICE_UNAVAILABLE);
            let rest = error.retry_after().expect("when to come back");
            assert_eq!(rest, DEADLINE - second as u32 * SECOND);
            assert_eq!(world.issuer.refresh_requests(), 0);
            assert_eq!(nonce(&world, id).await, dead);
            world.clock.advance(SECOND);
        }

        let requests: Vec<_> = (0..10).map(|_| ask(&restarted, id)).collect();
        for request in requests {
            request.await.unwrap().expect("refreshed");
        }
        assert_eq!(world.issuer.refresh_requests(), 1);
        assert_ne!(nonce(&world, id).await, dead);
        world.assert_logged_in(id).await;
    }
}

/// The login is lost: presenting its token again is punished. It is done once, and never ends
/// anything that was good.
#[tokio::test(start_paused = true)]
async fn a_token_that_was_used_up_is_presented_once_more_and_the_login_ends_quietly() {
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    world.expire();
    dies(&world, id, Death::AfterPost);
    let log = Log::of_this_thread();
    let other = world.restarted();

    assert_eq!(refused(&other, id).await.kind(), RefreshErrorKind::WaitTimeout);
    watch(&world, DEADLINE - SECOND).await;
    assert_eq!(world.issuer.refresh_requests(), 1);
    watch(&world, 2 * SECOND).await;

    for process in [&other, &world.refresher, &world.restarted()] {
        assert_eq!(refused(process, id).await.kind(), RefreshErrorKind::SessionExpired);
    }
    assert_eq!(world.issuer.refresh_requests(), 2);
    let ended = world.stored_tokens(id).await;
    assert!(matches!(&ended, StoredTokens::Ended { why, revoke: false, .. } if why == "expired"));
    assert_eq!(world.issuer.revocations(), 0);
    let replays = log.lines_at("WARN").into_iter().filter(|line| line.contains("presented again"));
    assert_eq!(replays.count(), 1);
}

/// Rule 6: the punishment for the used token would kill the access token that is still good.
#[tokio::test(start_paused = true)]
async fn nothing_is_presented_again_while_the_old_access_token_is_good() {
    let ahead = RefreshPolicy::default().refresh_ahead(Duration::from_secs(240));
    let pair = Pair::with(Duration::from_secs(600), ahead.clone());
    let world = &pair.world;
    let id = pair.logged_in().await;
    world.clock.advance(Duration::from_secs(480));
    // Its request is answered at once; the refresh goes on in the background.
    dies_with(world, id, Death::AfterPost, ahead);
    assert!(world.stored_tokens(id).await.is_presenting());
    assert_eq!(pair.posts(), 1);

    let good = served(&pair.other, id).await;
    for _ in 0..119 {
        assert_eq!(served(&pair.other, id).await.secret(), good.secret());
        watch(world, SECOND).await;
        assert!(world.issuer.is_access_token_live(good.secret()));
    }
    let newer = pair.other.newer_token(&pair.session(id), &good).await;
    let error = newer.expect_err("not even for an API's 401");
    assert_eq!(error.kind().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(pair.posts(), 1);

    // Nobody had to look at the mark while the token was good, so it is watched first.
    let asked = ask(&pair.other, id);
    watch(world, 6 * SECOND).await;
    assert!(asked.await.unwrap().is_err());
    assert_eq!(refused(&pair.other, id).await.kind(), RefreshErrorKind::SessionExpired);
    assert_eq!(pair.posts(), 2, "now there is nothing left to lose");
}
