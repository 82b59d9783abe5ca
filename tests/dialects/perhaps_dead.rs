//! Answers that may mean a dead token, or a provider in trouble.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use support::World;
use tower_sessions::session::Id;
use tower_token_refresh::RefreshErrorKind;

use crate::stage::{Director, kind, response, world, world_of};

const SECOND: Duration = Duration::from_secs(1);

const PERHAPS: &[(u16, &str)] = &[
    (400, r#"{"error":"invalid_request"}"#),
    (400, r#"{"error":"invalid_request","error_description":"Refresh token is malformed"}"#),
    (401, r#"{"error":"unauthorized_client"}"#),
    (400, r#"{"error":"E1234"}"#),
    (400, r#"{"error":"refresh_token_not_found"}"#),
    (400, r#"{"message":"Invalid token"}"#),
    (400, ""),
    (401, ""),
    (401, "<html>Unauthorized</html>"),
    // WeChat.
    (200, r#"{"errcode":40030,"errmsg":"invalid refresh_token"}"#),
    (200, r#"{"data":{"error_code":10010}}"#),
    (400, r#"{"error":"server_error"}"#),
    (403, ""),
    (422, "{}"),
    (401, r#"{"error":"access_denied"}"#),
    (500, ""),
    (500, r#"{"error":"server_error"}"#),
    (502, "<html>"),
];

/// Alice's token alone gets this answer. One page view every ten seconds, until her login has ended
/// or ten minutes have passed. `each` happens after each page view.
async fn seconds_until_the_end(
    world: &World,
    alice: Id,
    mut each: impl AsyncFnMut(&World),
) -> Option<u32> {
    for round in 0..60 {
        if let Err(RefreshErrorKind::SessionExpired) = kind(world, alice).await {
            return Some(round * 10);
        }
        each(world).await;
        world.clock.advance(SECOND * 10);
    }
    None
}

async fn only_alice_is_refused(status: u16, body: &'static str) -> (World, Director, Id, Id) {
    let (world, director) = world();
    let (alice, bob) = (world.log_in("alice").await, world.log_in("bob").await);
    world.expire();
    let token = world.stored_refresh_token(alice).await.expect("logged in");
    director.always_to(&token, status, body);
    (world, director, alice, bob)
}

#[tokio::test]
async fn the_login_ends_where_the_others_are_refreshed() {
    for (status, body) in PERHAPS {
        let (world, _director, alice, bob) = only_alice_is_refused(*status, body).await;
        let ended = seconds_until_the_end(&world, alice, async |world| {
            assert_eq!(kind(world, bob).await, Ok(()), "{status} {body}");
        })
        .await
        .unwrap_or_else(|| panic!("for ever: {status} {body}"));
        assert!((30..=120).contains(&ended), "{status} {body}: {ended}");
        assert_eq!(kind(&world, bob).await, Ok(()));
        world.assert_logged_in(bob).await;
    }
}

#[tokio::test]
async fn it_lives_on_where_nobody_else_is_refreshed_until_24_h_have_passed() {
    for (status, body) in PERHAPS {
        let (world, _director, alice, _bob) = only_alice_is_refused(*status, body).await;
        assert_eq!(seconds_until_the_end(&world, alice, async |_| ()).await, None);
        world.clock.advance(SECOND * 3600 * 23);
        assert_ne!(kind(&world, alice).await, Err(RefreshErrorKind::SessionExpired));
        world.clock.advance(SECOND * 3600);
        assert_eq!(kind(&world, alice).await, Err(RefreshErrorKind::SessionExpired), "{body}");
    }
}

#[tokio::test]
async fn it_lives_on_where_the_provider_recovers_in_time() {
    for (status, body) in PERHAPS {
        let (world, director, alice, bob) = only_alice_is_refused(*status, body).await;
        for _ in 0..2 {
            assert!(kind(&world, alice).await.is_err());
            assert_eq!(kind(&world, bob).await, Ok(()));
            world.clock.advance(SECOND * 60);
        }
        director.honest();
        assert_eq!(kind(&world, alice).await, Ok(()), "{status} {body}");
        assert!(world.stored_refresh_token(alice).await.is_some());
    }
}

/// A good access token is not thrown away for a doubt.
#[tokio::test]
async fn no_login_ends_while_its_access_token_is_good() {
    let (world, director) = world_of(SECOND * 3600);
    let (alice, bob) = (world.log_in("alice").await, world.log_in("bob").await);
    let token = world.stored_refresh_token(alice).await.expect("logged in");
    director.always_to(&token, 400, "");
    for _ in 0..59 {
        // An API has refused the token.
        let session = world.session(alice);
        let held = world.refresher.valid_token(&session).await.expect("good");
        assert!(world.refresher.newer_token(&session, &held).await.is_err());
        let session = world.session(bob);
        let held = world.refresher.valid_token(&session).await.expect("good");
        world.refresher.newer_token(&session, &held).await.expect("newer");
        world.clock.advance(SECOND * 60);
    }
    assert_eq!(kind(&world, alice).await, Ok(()));
}

/// Behind one address stand so many nodes, and one of them knows no refresh token.
fn one_node_is_down(director: &Director, nodes: u64, status: u16, body: &'static str) {
    let requests = AtomicU64::new(0);
    director.rule(move |issuer, request| {
        // The upper bits of a number that is as good as random.
        let nth = requests.fetch_add(1, Ordering::SeqCst) + 1;
        let is_down = (nth.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32).is_multiple_of(nodes);
        if is_down { response(status, body) } else { issuer.handle(request) }
    });
}

/// Twenty users ask now and then, and nobody is logged out.
async fn nobody_is_lost(world: &World, director: &Director, rounds: u32, pause: Duration) {
    let mut users = Vec::new();
    for user in 0..20 {
        users.push(world.log_in(&format!("user-{user}")).await);
    }
    for round in 0..rounds {
        for user in &users {
            let ended = kind(world, *user).await == Err(RefreshErrorKind::SessionExpired);
            assert!(!ended, "in round {round}");
        }
        world.clock.advance(pause);
    }
    director.honest();
    // The longest pause after a refusal.
    world.clock.advance(SECOND * 60);
    for user in &users {
        // One of them may still be told what the node said.
        let _ = kind(world, *user).await;
    }
    world.clock.advance(SECOND * 60);
    for user in users {
        assert_eq!(kind(world, user).await, Ok(()));
        world.assert_logged_in(user).await;
    }
}

#[tokio::test]
async fn nobody_is_logged_out_while_a_provider_recovers_node_by_node() {
    for (status, body) in PERHAPS.iter().step_by(5) {
        for nodes in [2, 4, 8] {
            let (world, director) = world();
            one_node_is_down(&director, nodes, *status, body);
            nobody_is_lost(&world, &director, 60, SECOND * 10).await;
        }
    }
}

/// With tokens of five minutes few refreshes tell how the provider is.
#[tokio::test]
async fn nor_where_few_refreshes_tell_that_it_does() {
    for nodes in [2, 3] {
        let (world, director) = world_of(SECOND * 300);
        one_node_is_down(&director, nodes, 500, "");
        nobody_is_lost(&world, &director, 240, SECOND * 15).await;
    }
}
