//! This crate's own refresher against each kind: logins stay alive over several expiries, one
//! refresh serves everybody, and a login that the provider has ended is over after one presentation.

use std::time::Duration;

use support::World;
use tower_token_refresh::{ClientAuth, RefreshErrorKind, TokenEndpoint, testing::ProviderKind};

use crate::dialects::ALL;

/// As long as every access token lives at the most. A refresh token outlives it.
fn past_expiry(kind: ProviderKind) -> Duration {
    match kind {
        ProviderKind::Keycloak | ProviderKind::OidcProvider => Duration::from_secs(300),
        _ => Duration::from_secs(24 * 60 * 60),
    }
}

async fn lives_through_expiries_and_ends_at_once(kind: ProviderKind) {
    let world = World::configured(|issuer| issuer.like(kind), |refresher| refresher);
    let id = world.log_in("alice").await;
    for expiry in 1..=3 {
        world.clock.advance(past_expiry(kind));
        let asked = [world.request(id).await, world.request(id).await];
        for waiter in asked.map(|session| world.ask(&session)) {
            let token = waiter.await.unwrap().unwrap_or_else(|error| panic!("{kind:?}: {error}"));
            assert!(world.issuer.is_access_token_live(token.secret()), "{kind:?}");
        }
        let counted = (world.issuer.refresh_requests(), world.issuer.refreshes());
        assert_eq!(counted, (expiry, expiry), "{kind:?}: one refresh for both");
    }
    let newest = world.stored_refresh_token(id).await.expect("there is a refresh token");
    assert!(world.issuer.is_refresh_token_live(&newest), "{kind:?}");

    world.issuer.end_session("alice");
    world.clock.advance(past_expiry(kind));
    for _ in 0..2 {
        let error = world.refresher.valid_token(&world.session(id)).await.expect_err("over");
        assert_eq!(error.kind(), RefreshErrorKind::SessionExpired, "{kind:?}");
    }
    assert_eq!(world.issuer.refresh_requests(), 4, "{kind:?}: the dead token is presented once");
}

#[tokio::test]
async fn a_login_lives_through_expiries_and_ends_at_once_like_each_kind() {
    for kind in ALL {
        lives_through_expiries_and_ends_at_once(kind).await;
    }
}

#[tokio::test]
async fn a_wrong_client_secret_logs_nobody_out() {
    for kind in ALL {
        let world = World::configured(|issuer| issuer.like(kind), |refresher| refresher);
        let wrong = ClientAuth::basic("web", "wrong");
        let endpoint =
            TokenEndpoint::new(world.issuer.token_url(), wrong).transport(world.issuer.transport());
        let world = world.asking(endpoint);
        let id = world.log_in("alice").await;
        world.clock.advance(past_expiry(kind));
        let error = world.refresher.valid_token(&world.session(id)).await.expect_err("refused");
        assert_ne!(error.kind(), RefreshErrorKind::SessionExpired, "{kind:?}");
        assert_eq!(world.issuer.refresh_requests(), 1, "{kind:?}");
        world.assert_logged_in(id).await;
    }
}
