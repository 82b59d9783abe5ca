//! Each request has an assertion of its own, and a provider that takes each one once agrees.

use std::{collections::HashSet, time::Duration};

use http::StatusCode;
use tower_token_refresh::{
    AssertionAudience, ClientAuth, Logout, SigningAlgorithm, testing::Endpoint,
};

use crate::{claims, keys::Pair, refreshed, world};

#[tokio::test(start_paused = true)]
async fn a_retry_has_an_assertion_of_its_own() {
    let pair = Pair::ed25519();
    let auth = ClientAuth::private_key_jwt("app", pair.key(SigningAlgorithm::EdDsa));
    let (world, sent) = world(|issuer| issuer.client_with_key("app", &pair.public), auth);
    let id = world.log_in("alice").await;
    world.issuer.fail_next(503, "");
    refreshed(&world, id).await.expect("the second attempt");
    refreshed(&world, id).await.expect("the second refresh");

    let assertions = sent.fields("client_assertion");
    let ids: HashSet<_> = assertions.iter().map(|jwt| claims(jwt)["jti"].to_string()).collect();
    assert_eq!((assertions.len(), ids.len()), (3, 3));
}

#[tokio::test]
async fn an_assertion_is_good_once_and_for_a_minute_of_our_clock() {
    let auth = ClientAuth::client_secret_jwt("app", "a-secret-of-thirty-two-characters");
    let (world, sent) = world(
        |issuer| issuer.client_with_secret_jwt("app", "a-secret-of-thirty-two-characters"),
        auth,
    );
    let id = world.log_in("alice").await;
    refreshed(&world, id).await.expect("refreshed");
    let [request] = &sent.requests()[..] else { panic!("one request") };
    assert_eq!(world.issuer.handle(request.clone()).status(), StatusCode::UNAUTHORIZED, "again");

    // One that nobody has used yet, too late.
    world.issuer.fail_next(503, "");
    let _ = refreshed(&world, id).await;
    let unused = sent.requests()[1].clone();
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(world.issuer.handle(unused).status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_proves_who_asks_as_well() {
    for audience in [
        AssertionAudience::TokenEndpoint,
        AssertionAudience::RequestedEndpoint,
        AssertionAudience::Issuer,
    ] {
        let pair = Pair::ed25519();
        let auth = ClientAuth::private_key_jwt("app", pair.key(SigningAlgorithm::EdDsa))
            .assertion_audience(audience);
        let (world, _) = world(|issuer| issuer.client_with_key("app", &pair.public), auth);
        let id = world.log_in("alice").await;
        refreshed(&world, id).await.expect("refreshed");
        let token = world.stored_refresh_token(id).await.expect("a token");
        world.refresher.log_out(&world.session(id), Logout::EndSession).await.expect("logged out");
        world.refresher.shutdown(Duration::from_secs(30)).await.expect("all is revoked");
        assert!(!world.issuer.is_refresh_token_live(&token));
    }
}

#[tokio::test]
async fn an_assertion_for_somebody_else_is_refused() {
    let pair = Pair::ed25519();
    let auth = ClientAuth::private_key_jwt("app", pair.key(SigningAlgorithm::EdDsa))
        .assertion_audience(AssertionAudience::Other("https://other.example".into()));
    let (world, _) = world(|issuer| issuer.client_with_key("app", &pair.public), auth);
    let id = world.log_in("alice").await;
    let error = refreshed(&world, id).await.unwrap_err().to_string();
    assert!(error.contains("`assertion_audience`"), "{error}");
    assert_eq!(world.issuer.refreshes(), 0);
    assert_eq!(world.issuer.requests(Endpoint::Token), 1, "it is not sent again at once");
}
