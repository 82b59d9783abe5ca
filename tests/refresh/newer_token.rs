//! After an API has refused a token that has not expired.

use serde_json::json;
use support::{World, on_every_store};
use tower_token_refresh::{RefreshErrorKind, TokenSet};

use crate::PAUSE;

on_every_store! {
    async fn without_a_refresh_token_the_login_outlives_an_api_that_refuses_it(world: World) {
        let session = world.session_with(None, None);
        let mut answer = world.issuer.log_in("alice");
        answer.as_object_mut().expect("an object").remove("refresh_token");
        let set = TokenSet::from_response(answer).expect("a token set");
        world.refresher.log_in(&session, set).await.expect("logged in");
        let id = session.id().expect("saved");
        let token = world.refresher.valid_token(&session).await.expect("fresh");

        let error = world.refresher.newer_token(&session, &token).await.expect_err("there is none");

        assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);
        let again = world.refresher.valid_token(&world.session(id)).await;
        assert_eq!(again.expect("good elsewhere").secret(), token.secret());
        world.expire();
        let error = world.refresher.valid_token(&world.session(id)).await.expect_err("expired now");
        assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);
        assert!(world.stored_tokens(id).await.is_ended());
        assert_eq!(world.issuer.token_requests(), 0);
    }

    async fn a_session_that_was_cycled_in_the_same_request_gets_one(world: World) {
        let id = world.log_in("alice").await;
        let session = world.request(id).await;
        let rejected = world.refresher.valid_token(&session).await.expect("fresh");
        session.cycle_id().await.expect("cycled");

        let token = world.refresher.newer_token(&session, &rejected).await.expect("a newer token");

        assert_ne!(token.secret(), rejected.secret());
        session.save().await.expect("saved at the end of the request");
        let new = session.id().expect("saved");
        assert_eq!(world.stored_tokens(new).await.generation(), Some(2));
        world.assert_logged_in(new).await;
    }
}

/// A provider whose clock is far behind, and that says nothing but the JWT's `exp`.
#[tokio::test]
async fn a_token_that_is_expired_at_birth_twice_is_a_clear_error() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    for _ in 0..2 {
        world.issuer.edit_next(|answer| {
            let payload = "eyJleHAiOjF9"; // {"exp":1}
            answer["access_token"] = json!(format!("eyJhbGciOiJFUzI1NiJ9.{payload}.c2ln"));
            answer.as_object_mut().expect("an object").remove("expires_in");
        });
    }

    let error = world.refresher.valid_token(&world.session(id)).await.expect_err("useless");

    assert_eq!(error.kind(), RefreshErrorKind::InvalidResponse);
    assert_eq!(world.issuer.refresh_requests(), 2);
    world.clock.advance(PAUSE);
    world.refresher.valid_token(&world.session(id)).await.expect("its refresh token was kept");
    assert_eq!(world.issuer.max_presented(), 1);
}
