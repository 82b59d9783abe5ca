use serde_json::json;

use super::*;
use crate::{
    ClientAuth, TokenEndpoint,
    testing::{ManualClock, StrictIssuer},
};

const TENANTS: &str = "https://login.example/{tenantid}/v2.0";

/// Who is named by a token with these claims in place of its own.
async fn named(changed: Value) -> Result<(Option<String>, Option<String>), Fault> {
    let clock = ManualClock::new();
    let issuer = StrictIssuer::builder().clock(clock.clock()).build();
    let endpoint = TokenEndpoint::new(issuer.token_url(), ClientAuth::basic("web", "secret"))
        .issuer(issuer.issuer_url())
        .accept_issuer(TENANTS)
        .jwks_url(issuer.jwks_url())
        .transport(issuer.transport());
    let provider = endpoint.validate().expect("the settings agree");
    let keys = Keys::new(provider.clone(), clock.clock());
    let mut claims = issuer.logout_claims(Some("alice"), Some("s-1"));
    for (name, value) in changed.as_object().expect("claims") {
        claims[name] = value.clone();
    }
    let token = issuer.sign_jwt(json!({"typ": "logout+jwt"}), &claims);
    let verified = verify(&token, &provider, &keys, &clock.clock()).await?;
    Ok((verified.subject, verified.sid))
}

#[tokio::test]
async fn a_number_names_the_same_as_its_text() {
    let named = named(json!({"sub": 42, "sid": 7})).await.expect("good");
    assert_eq!(named, (Some("42".into()), Some("7".into())));
    for odd in [json!({"sub": true}), json!({"sid": [7]}), json!({"sid": ""}), json!({"sub": 1.5})]
    {
        assert!(self::named(odd.clone()).await.is_err(), "{odd}");
    }
}

#[tokio::test]
async fn an_accepted_issuer_may_log_out() {
    for (changed, passes) in [
        (json!({}), true),
        (json!({"iss": "https://login.example/a/v2.0", "tid": "a"}), true),
        (json!({"iss": "https://login.example/a/v2.0", "tid": "b"}), false),
        (json!({"iss": "https://login.example/a/v2.0"}), false),
        (json!({"iss": TENANTS}), false),
    ] {
        assert_eq!(named(changed.clone()).await.is_ok(), passes, "{changed}");
    }
}
