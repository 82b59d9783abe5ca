use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use http::Request;
use serde_json::json;

use super::*;
use crate::{
    ClientAuth, TokenEndpoint, Transport,
    endpoint::{
        issuers::Issuers,
        test_support::{SECRET, everything_printed},
    },
    testing::{Endpoint, ManualClock, StrictIssuer},
};

mod unknown_keys;

struct World {
    issuer: StrictIssuer,
    clock: ManualClock,
    keys: Keys,
}

impl World {
    fn new() -> Self {
        Self::reached_by(StrictIssuer::transport)
    }

    fn reached_by(transport: impl FnOnce(&StrictIssuer) -> Transport) -> Self {
        let clock = ManualClock::new();
        let issuer = StrictIssuer::builder().clock(clock.clock()).build();
        let endpoint = TokenEndpoint::new(issuer.token_url(), ClientAuth::basic("web", SECRET))
            .issuer(issuer.issuer_url())
            .jwks_url(issuer.jwks_url())
            .transport(transport(&issuer));
        let keys = Keys::new(endpoint.validate().unwrap(), clock.clock());
        Self { issuer, clock, keys }
    }

    fn issuers(&self) -> Issuers {
        Issuers::new(&self.issuer.issuer_url(), &[])
    }

    fn token(&self) -> String {
        self.issuer.log_in("alice")["id_token"].as_str().unwrap().to_owned()
    }

    /// A token that names a key that does not exist.
    fn made_up(&self) -> String {
        let claims = json!({"iss": self.issuer.issuer_url(), "sub": "a", "aud": "web",
            "exp": 2_000_100_000, "iat": 2_000_000_000});
        self.issuer.sign_jwt(json!({"kid": SECRET}), &claims)
    }

    async fn verify(&self, token: &str) -> Result<JwtClaims, VerifyError> {
        self.keys.verify(token, &Expected::id_token(Some(&self.issuers()), "web")).await
    }

    /// Waits until a background fetch has ended.
    async fn fetched(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    fn fetches(&self) -> usize {
        self.issuer.requests(Endpoint::Jwks)
    }
}

#[tokio::test]
async fn a_token_of_the_providers_verifies_with_one_fetch_for_all() {
    let world = World::new();
    assert_eq!(world.verify(&world.token()).await.unwrap()["aud"], "web");
    world.verify(&world.token()).await.unwrap();
    assert_eq!(world.fetches(), 1);
}

#[tokio::test]
async fn a_token_that_is_wrong_anyhow_fetches_nothing() {
    let world = World::new();
    assert!(
        world
            .verify(&world.issuer.sign_jwt(json!({}), &json!({"iss": "https://evil.example"})))
            .await
            .is_err()
    );
    assert!(world.verify("opaque").await.is_err());
    assert_eq!(world.fetches(), 0);
}

#[tokio::test]
async fn keys_are_fetched_again_after_an_hour_and_outlive_a_failure() {
    let world = World::new();
    world.verify(&world.token()).await.unwrap();
    world.clock.advance(MAX_AGE - Duration::from_secs(1));
    world.verify(&world.token()).await.unwrap();
    assert_eq!(world.fetches(), 1);
    world.clock.advance(Duration::from_secs(1));
    world.issuer.fail_next_at(Endpoint::Jwks, 500, "");
    world.verify(&world.token()).await.expect("by the old keys");
    world.fetched().await;
    world.verify(&world.token()).await.expect("by the old keys, without another fetch");
    assert_eq!(world.fetches(), 2);
    world.clock.advance(AFTER_A_FAILURE);
    world.verify(&world.token()).await.unwrap();
    world.fetched().await;
    world.clock.advance(MAX_AGE - Duration::from_secs(1));
    world.verify(&world.token()).await.unwrap();
    assert_eq!(world.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_keys_to_be_renewed() {
    let world = World::new();
    world.verify(&world.token()).await.unwrap();
    world.clock.advance(MAX_AGE);
    let token = world.token();
    let gate = world.issuer.gate_before(Endpoint::Jwks);
    for _ in 0..3 {
        let verified = world.verify(&token).now_or_never();
        verified.expect("at once").expect("by the old keys");
    }
    gate.reached().await;
    gate.open();
    world.fetched().await;
    assert_eq!(world.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn keys_that_do_not_come_are_waited_for_five_seconds_and_fetched_all_the_same() {
    let world = World::new();
    let token = world.token();
    let gate = world.issuer.gate_before(Endpoint::Jwks);
    let waiting = tokio::time::timeout(Duration::from_millis(5_001), world.verify(&token));
    let error = waiting.await.expect("not a moment longer").unwrap_err();
    assert!(matches!(error, VerifyError::Keys(KeysError::Timeout)), "{error:?}");
    gate.open();
    world.fetched().await;
    world.verify(&token).await.expect("the keys have come");
    assert_eq!(world.fetches(), 1);
}

#[tokio::test]
async fn a_key_that_was_withdrawn_no_longer_verifies_after_an_hour() {
    let world = World::new();
    let claims = json!({"iss": world.issuer.issuer_url(), "sub": "a", "aud": "web",
        "exp": 2_000_100_000, "iat": 2_000_000_000});
    let old = world.issuer.sign_jwt(json!({}), &claims);
    world.verify(&old).await.unwrap();
    world.issuer.rotate_keys();
    world.clock.advance(MAX_AGE);
    world.verify(&old).await.expect("for the last time");
    world.fetched().await;
    assert!(matches!(world.verify(&old).await, Err(VerifyError::UnknownKey)));
}

#[tokio::test]
async fn a_failure_is_told_and_tried_again_after_five_seconds() {
    let world = World::new();
    for (status, body) in [(500, SECRET), (404, SECRET), (200, SECRET), (200, r#"{"keys":7}"#)] {
        world.issuer.fail_next_at(Endpoint::Jwks, status, body);
        let before = world.fetches();
        for _ in 0..3 {
            let error = world.verify(&world.token()).await.unwrap_err();
            assert!(matches!(error, VerifyError::Keys(_)), "{error:?}");
            assert!(!everything_printed(&error).contains(SECRET));
        }
        assert_eq!(world.fetches(), before + 1);
        world.clock.advance(AFTER_A_FAILURE);
    }
    world.verify(&world.token()).await.expect("the provider is well again");
}

#[tokio::test]
async fn a_failed_look_for_a_new_key_says_so_and_is_tried_again() {
    let world = World::new();
    world.verify(&world.token()).await.unwrap();
    world.issuer.rotate_keys();
    world.issuer.fail_next_at(Endpoint::Jwks, 503, "");
    let token = world.token();
    assert!(matches!(world.verify(&token).await, Err(VerifyError::Keys(_))));
    world.clock.advance(AFTER_A_FAILURE);
    world.verify(&token).await.expect("a failed fetch does not count against the limit");
}

#[tokio::test]
async fn a_token_without_a_key_id_survives_a_change_of_keys() {
    let world = World::new();
    let claims = json!({"iss": world.issuer.issuer_url(), "sub": "a", "aud": "web",
        "exp": 2_000_100_000, "iat": 2_000_000_000});
    world.verify(&without_kid(&world.issuer, &claims)).await.unwrap();
    world.issuer.rotate_keys();
    world.verify(&without_kid(&world.issuer, &claims)).await.expect("by the new key");
    assert_eq!(world.fetches(), 2);
}

/// `kid: null` counts as none.
fn without_kid(issuer: &StrictIssuer, claims: &serde_json::Value) -> String {
    issuer.sign_jwt(json!({"kid": null}), claims)
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_fetch_to_the_others() {
    let world = World::new();
    let token = world.token();
    let gate = world.issuer.gate_before(Endpoint::Jwks);
    let leaver = {
        let (keys, token, issuer) = (world.keys.clone(), token.clone(), world.issuers());
        tokio::spawn(async move {
            keys.verify(&token, &Expected::id_token(Some(&issuer), "web")).await.is_ok()
        })
    };
    gate.reached().await;
    leaver.abort();
    assert!(leaver.await.is_err_and(|error| error.is_cancelled()));
    gate.open();
    world.verify(&token).await.unwrap();
    assert_eq!(world.fetches(), 1);
}

#[tokio::test]
async fn a_fetch_that_panics_is_an_error_and_the_next_one_works() {
    let broken = Arc::new(AtomicBool::new(true));
    let world = World::reached_by(|issuer| {
        let (inner, broken) = (issuer.transport(), broken.clone());
        Transport::new(tower::service_fn(move |request: Request<bytes::Bytes>| {
            let (inner, broken) = (inner.clone(), broken.clone());
            async move {
                assert!(!broken.load(Ordering::SeqCst), "on purpose");
                inner.send(request).await
            }
        }))
    });
    let error = world.verify(&world.token()).await.unwrap_err();
    assert!(matches!(error, VerifyError::Keys(KeysError::Interrupted)));
    broken.store(false, Ordering::SeqCst);
    world.verify(&world.token()).await.unwrap();
}

#[tokio::test]
async fn an_endless_key_set_is_refused_at_256_kib() {
    let world = World::new();
    world.issuer.fail_next_at(
        Endpoint::Jwks,
        200,
        format!("{{\"keys\":[{}]}}", " ".repeat(MAX_KEY_SET)),
    );
    let error = world.verify(&world.token()).await.unwrap_err();
    assert!(everything_printed(&error).contains("262144 bytes"), "{error:?}");
    world.clock.advance(AFTER_A_FAILURE);
    // A key set may be larger than a token response.
    let jwks = world
        .issuer
        .handle(Request::get(world.issuer.jwks_url()).body(bytes::Bytes::new()).unwrap());
    let jwks = String::from_utf8(jwks.into_body().to_vec()).unwrap();
    world.issuer.fail_next_at(Endpoint::Jwks, 200, format!("{jwks}{}", " ".repeat(100 * 1024)));
    world.verify(&world.token()).await.unwrap();
}

#[tokio::test]
async fn without_an_address_of_the_keys_the_claims_are_checked_first() {
    let world = World::new();
    let endpoint = TokenEndpoint::new(world.issuer.token_url(), ClientAuth::basic("web", SECRET))
        .transport(world.issuer.transport());
    let keys = Keys::new(endpoint.validate().unwrap(), world.clock.clock());
    let issuer = world.issuers();
    let verify = async |client| {
        keys.verify(&world.token(), &Expected::id_token(Some(&issuer), client)).await
    };
    assert!(matches!(verify("web").await, Err(VerifyError::Keys(KeysError::NoUrl))));
    assert!(matches!(verify("other").await, Err(VerifyError::Claim { name: "aud", .. })));
}

/// It found no keys, waited for discovery, and finds them afterwards.
#[tokio::test]
async fn who_comes_to_the_gate_after_the_fetch_starts_no_other() {
    let world = World::new();
    let endpoint =
        TokenEndpoint::discover(world.issuer.issuer_url(), ClientAuth::basic("web", SECRET))
            .transport(world.issuer.transport())
            .lazy();
    let keys = Keys::new(endpoint.validate().unwrap(), world.clock.clock());
    let (token, issuer) = (world.token(), world.issuers());
    let expected = Expected::id_token(Some(&issuer), "web");
    let mut late = Box::pin(keys.verify(&token, &expected));
    assert!((&mut late).now_or_never().is_none());
    keys.verify(&token, &expected).await.unwrap();
    late.await.unwrap();
    assert_eq!(world.fetches(), 1);
}

#[tokio::test]
async fn discovery_tells_where_the_keys_are() {
    let world = World::new();
    let endpoint =
        TokenEndpoint::discover(world.issuer.issuer_url(), ClientAuth::basic("web", SECRET))
            .transport(world.issuer.transport())
            .lazy();
    let provider = endpoint.validate().unwrap();
    assert_eq!(provider.issuer(), Some(world.issuer.issuer_url().as_str()));
    let keys = Keys::new(provider, world.clock.clock());
    keys.verify(&world.token(), &Expected::id_token(Some(&world.issuers()), "web")).await.unwrap();
    assert_eq!(world.fetches(), 1);
}
