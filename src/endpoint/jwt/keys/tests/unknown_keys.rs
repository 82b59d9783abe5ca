//! A token by a key that is not known, or by a wrong one.

use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn fifty_that_meet_a_new_key_fetch_once() {
    let world = World::new();
    world.verify(&world.token()).await.unwrap();
    world.issuer.rotate_keys();
    let token = world.token();
    for verified in join_all((0..50).map(|_| world.verify(&token))).await {
        verified.expect("the new key was fetched");
    }
    assert_eq!(world.fetches(), 2);
}

#[tokio::test]
async fn made_up_keys_cause_one_fetch_in_thirty_seconds() {
    let world = World::new();
    world.verify(&world.token()).await.unwrap();
    for _ in 0..10 {
        assert!(matches!(world.verify(&world.made_up()).await, Err(VerifyError::UnknownKey)));
    }
    assert_eq!(world.fetches(), 2);
    world.clock.advance(Duration::from_secs(29));
    assert!(world.verify(&world.made_up()).await.is_err());
    assert_eq!(world.fetches(), 2);
    world.clock.advance(Duration::from_secs(1));
    assert!(world.verify(&world.made_up()).await.is_err());
    assert_eq!(world.fetches(), 3);
    world.verify(&world.token()).await.expect("honest tokens verify all along");
}

/// Like one whose key has no name, and is another one now.
#[tokio::test]
async fn a_token_of_an_unknown_key_is_tried_with_the_nameless_ones_and_then_with_newer_ones() {
    let world = World::new();
    let nameless = || {
        let jwks = world
            .issuer
            .handle(Request::get(world.issuer.jwks_url()).body(bytes::Bytes::new()).unwrap());
        let mut jwks: serde_json::Value = serde_json::from_slice(jwks.body()).unwrap();
        jwks["keys"][0].as_object_mut().unwrap().remove("kid");
        world.issuer.fail_next_at(Endpoint::Jwks, 200, jwks.to_string());
        world.fetches()
    };
    let before = nameless();
    world.verify(&world.token()).await.expect("by the key without a name");
    assert_eq!(world.fetches(), before + 1);
    world.issuer.rotate_keys();
    let before = nameless();
    world.verify(&world.token()).await.expect("by the next one");
    assert_eq!(world.fetches(), before + 1);
}

#[tokio::test]
async fn a_wrong_signature_by_a_key_that_the_token_names_fetches_nothing() {
    let world = World::new();
    let token = world.token();
    world.verify(&token).await.unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    for _ in 0..3 {
        let refused = world.verify(&forged).await;
        assert!(matches!(refused, Err(VerifyError::Signature | VerifyError::SignatureForm)));
        world.clock.advance(UNKNOWN_EVERY);
    }
    assert_eq!(world.fetches(), 1);
}
