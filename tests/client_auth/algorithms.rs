//! A provider that knows the public key accepts every algorithm of it, and no other.

use serde_json::json;
use tower_token_refresh::{ClientAuth, RefreshErrorKind, SigningAlgorithm};

use crate::{keys::Pair, refreshed, world};

#[tokio::test]
async fn every_algorithm_refreshes_at_a_provider_that_knows_the_public_key() {
    use SigningAlgorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};

    let rsa = Pair::rsa();
    for algorithm in [Rs256, Rs384, Rs512, Ps256, Ps384, Ps512, Es256, Es384, EdDsa] {
        let own = algorithm.name().starts_with(['E']).then(|| Pair::of(algorithm));
        let pair = own.as_ref().unwrap_or(&rsa);
        let mut public = pair.public.clone();
        public["alg"] = json!(algorithm.name());
        public["kid"] = json!("k1");
        let key = pair.key(algorithm).key_id("k1");
        let auth = ClientAuth::private_key_jwt("app", key);
        let (world, _) = world(|issuer| issuer.client_with_key("app", &public), auth);
        let id = world.log_in("alice").await;
        refreshed(&world, id).await.unwrap_or_else(|error| panic!("{algorithm:?}: {error}"));
        world.assert_logged_in(id).await;
    }
}

#[tokio::test]
async fn another_key_algorithm_or_key_id_is_misconfigured_and_says_what_to_check() {
    let (known, other) = (Pair::rsa(), Pair::rsa());
    let mut public = known.public.clone();
    public["alg"] = json!("PS256");
    public["kid"] = json!("k1");
    for key in [
        other.key(SigningAlgorithm::Ps256).key_id("k1"),
        known.key(SigningAlgorithm::Rs256).key_id("k1"),
        known.key(SigningAlgorithm::Ps256).key_id("k2"),
    ] {
        let auth = ClientAuth::private_key_jwt("app", key);
        let (world, _) = world(|issuer| issuer.client_with_key("app", &public), auth);
        let id = world.log_in("alice").await;
        let mut error = refreshed(&world, id).await.unwrap_err();
        // A key may just be changing. It stays so.
        for _ in 0..2 {
            error = refreshed(&world, id).await.unwrap_err();
        }
        assert_eq!(error.kind(), RefreshErrorKind::Misconfigured, "{error}");
        let shown = error.to_string();
        assert!(shown.contains("check id and key in `ClientAuth::private_key_jwt`"), "{shown}");
        let token = world.stored_refresh_token(id).await.expect("nobody is logged out");
        assert!(world.issuer.is_refresh_token_live(&token));
    }
}
