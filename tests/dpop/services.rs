//! The application's own tokens, bound to a key of its own.

use http::StatusCode;
use support::World;
use tower_token_refresh::{
    DpopKey, RefreshErrorKind, ServiceTokens, TokenSet, testing::StrictIssuer,
};

use super::{Api, scheme};

fn tokens(world: &World, key: DpopKey) -> ServiceTokens {
    let endpoint = support::endpoint(&world.issuer);
    let builder = ServiceTokens::builder(endpoint).clock(world.clock.clock());
    builder.dpop_key(key).build().expect("the settings agree")
}

#[tokio::test]
async fn a_service_proves_its_key_for_the_token_and_for_each_call() {
    let world = World::configured(|issuer| issuer.requires_dpop().dpop_nonces(), |it| it);
    let (tokens, api) = (tokens(&world, DpopKey::generate()), Api::of(&world));
    tokens.warm_up().await.expect("a token");
    assert_eq!(world.issuer.token_requests(), 2, "once for the nonce");
    for _ in 0..3 {
        assert_eq!(api.status(&tokens).await, StatusCode::OK);
        world.expire();
    }
    assert_eq!(world.issuer.token_requests(), 4, "one for each token after the first");
    assert!(api.calls().iter().all(|call| scheme(call) == "DPoP"));
}

#[tokio::test]
async fn without_a_key_a_bound_token_is_refused() {
    let world = World::configured(|issuer| issuer.requires_dpop(), |it| it);
    let endpoint = support::endpoint(&world.issuer);
    let tokens = ServiceTokens::builder(endpoint).build().expect("the settings agree");
    let error = tokens.token().await.expect_err("no proof");
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
    assert!(error.to_string().contains("invalid_dpop_proof"), "{error}");
}

#[tokio::test]
async fn a_function_that_brings_a_bound_token_must_name_its_key() {
    let issuer = StrictIssuer::new();
    let key = DpopKey::generate();
    let response = issuer.log_in_bound_to("alice", &key);
    let set = TokenSet::from_response(response).expect("a token set");
    let bring = |set: TokenSet| {
        ServiceTokens::from_fn(move |_| std::future::ready(Ok::<_, std::io::Error>(set.clone())))
    };
    let error = bring(set.clone()).token().await.expect_err("no key");
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
    bring(set.with_dpop_key(key)).token().await.expect("a token");
}
