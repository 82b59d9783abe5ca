//! One test per rule that a logout token must keep (2.6 of the specification).

use serde_json::{Value, json};
use support::http::Answer;
use tower_sessions::session::Id;
use tower_token_refresh::{testing::Endpoint, tower_sessions};

use super::world::{Told, post_to};

struct Case {
    told: Told,
    id: Id,
    sid: String,
}

impl Case {
    async fn new() -> Self {
        let told = Told::on_memory();
        let (id, sid) = told.log_in_somewhere("alice").await;
        Self { told, id, sid }
    }

    fn claims(&self) -> Value {
        self.told.issuer.logout_claims(Some("alice"), Some(&self.sid))
    }

    async fn post(&self, claims: &Value) -> Answer {
        self.post_with(json!({ "typ": "logout+jwt" }), claims).await
    }

    async fn post_with(&self, header: Value, claims: &Value) -> Answer {
        self.told.post(&self.told.issuer.sign_jwt(header, claims)).await
    }

    /// With one claim changed.
    async fn post_changed(&self, name: &str, value: Value) -> Answer {
        let mut claims = self.claims();
        claims[name] = value;
        self.post(&claims).await
    }

    async fn post_without(&self, name: &str) -> Answer {
        let mut claims = self.claims();
        claims.as_object_mut().expect("an object").remove(name).expect("it was there");
        self.post(&claims).await
    }

    async fn assert_refused(&self, answer: Answer) {
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json(), json!({ "error": "invalid_request" }));
        assert_eq!(answer.header(http::header::CACHE_CONTROL), Some("no-store"));
        assert!(self.told.stored_tokens(self.id).await.is_live(), "still logged in");
    }

    async fn assert_accepted(&self, answer: Answer) {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, "");
        assert_eq!(answer.header(http::header::CACHE_CONTROL), Some("no-store"));
        assert!(self.told.has_ended(self.id).await);
    }

    fn now(&self) -> u64 {
        self.claims()["iat"].as_u64().expect("seconds")
    }
}

/// Each rule by itself: a token that differs from a good one in one thing is refused.
macro_rules! refused {
    ($($name:ident: |$case:ident| $answer:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            let $case = Case::new().await;
            let answer = $answer.await;
            $case.assert_refused(answer).await;
            let good = $case.told.issuer.logout_token(Some("alice"), None);
            assert_eq!($case.told.post(&good).await.status, 200);
        }
    )*};
}
macro_rules! accepted {
    ($($name:ident: |$case:ident| $answer:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            let $case = Case::new().await;
            let answer = $answer.await;
            $case.assert_accepted(answer).await;
        }
    )*};
}

refused! {
    for_another_client: |case| case.post_changed("aud", json!("another"));
    for_nobody: |case| case.post_without("aud");
    of_another_issuer: |case| case.post_changed("iss", json!("https://elsewhere.example"));
    of_no_issuer: |case| case.post_without("iss");
    without_its_time: |case| case.post_without("iat");
    with_a_time_that_is_none: |case| case.post_changed("iat", json!("yesterday"));
    too_old: |case| case.post_changed("iat", json!(case.now() - 361));
    from_the_future: |case| case.post_changed("iat", json!(case.now() + 61));
    expired: |case| case.post_changed("exp", json!(case.now() - 61));
    with_a_nonce: |case| case.post_changed("nonce", json!("n"));
    with_a_nonce_that_is_null: |case| case.post_changed("nonce", Value::Null);
    without_events: |case| case.post_without("events");
    with_other_events: |case| case.post_changed("events", json!({ "http://schemas.openid.net/event/other": {} }));
    with_events_that_are_a_string: |case| {
        case.post_changed("events", json!("http://schemas.openid.net/event/backchannel-logout"))
    };
    with_events_that_are_a_list: |case| {
        case.post_changed("events", json!(["http://schemas.openid.net/event/backchannel-logout"]))
    };
    with_an_event_that_is_no_object: |case| {
        case.post_changed("events", json!({ "http://schemas.openid.net/event/backchannel-logout": true }))
    };
    with_a_sid_that_is_no_string: |case| case.post_changed("sid", json!([5]));
    with_an_empty_sid: |case| case.post_changed("sid", json!(""));
    with_a_sub_that_is_no_string: |case| case.post_changed("sub", json!(["alice"]));
    without_jti: |case| case.post_without("jti");
    with_an_empty_jti: |case| case.post_changed("jti", json!(""));
    an_id_token: |case| case.post_with(json!({ "typ": "id+jwt" }), &case.claims());
    an_access_token: |case| case.post_with(json!({ "typ": "at+jwt" }), &case.claims());
    with_a_critical_header: |case| case.post_with(json!({ "crit": ["b64"], "b64": false }), &case.claims());
    unsigned: |case| case.post_with(json!({ "alg": "none" }), &case.claims());
    with_a_shared_secret: |case| case.post_with(json!({ "alg": "HS256" }), &case.claims());
    of_an_unknown_key: |case| case.post_with(json!({ "kid": "nobody's" }), &case.claims());
    garbage: |case| case.told.post("garbage");
    two_parts: |case| case.told.post("e30.e30");
}

accepted! {
    a_good_one: |case| case.post(&case.claims());
    typed_jwt: |case| case.post_with(json!({ "typ": "JWT" }), &case.claims());
    typed_with_its_prefix: |case| case.post_with(json!({ "typ": "application/logout+JWT" }), &case.claims());
    with_a_session_only: |case| case.post_without("sub");
    with_a_user_only: |case| case.post_without("sid");
    without_exp: |case| case.post_without("exp");
    nearly_too_old: |case| case.post_changed("iat", json!(case.now() - 359));
    a_little_ahead: |case| case.post_changed("iat", json!(case.now() + 59));
    for_several_clients: |case| case.post_changed("aud", json!(["another", "web"]));
    with_more_events: |case| {
        case.post_changed("events", json!({ "http://schemas.openid.net/event/backchannel-logout": {}, "x": 1 }))
    };
}

#[tokio::test]
async fn one_that_names_nobody_is_refused() {
    let case = Case::new().await;
    let claims = case.told.issuer.logout_claims(None, None);
    let answer = case.post(&claims).await;
    case.assert_refused(answer).await;
}

#[tokio::test]
async fn a_signature_that_was_changed_is_refused() {
    let case = Case::new().await;
    let token = case.told.issuer.logout_token(Some("alice"), None);
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let changed = if signature.starts_with('A') { "B" } else { "A" };
    let answer = case.told.post(&format!("{signed}.{changed}{}", &signature[1..])).await;
    case.assert_refused(answer).await;
}

#[tokio::test]
async fn keys_that_the_token_brings_are_not_looked_at() {
    let case = Case::new().await;
    let attacker = tower_token_refresh::testing::StrictIssuer::new();
    attacker.rotate_keys();
    let jwks: Value = serde_json::from_slice(
        attacker.handle(http::Request::get(attacker.jwks_url()).body("".into()).unwrap()).body(),
    )
    .expect("a key set");
    let key = jwks["keys"][0].clone();
    for header in [
        json!({ "jku": attacker.jwks_url() }),
        json!({ "x5u": "https://attacker.example/cert" }),
        json!({ "jwk": key }),
        json!({ "jwk": key, "kid": null }),
    ] {
        let asked = attacker.requests(Endpoint::Jwks);
        let answer = case.told.post(&attacker.sign_jwt(header, &case.claims())).await;
        case.assert_refused(answer).await;
        assert_eq!(attacker.requests(Endpoint::Jwks), asked);
    }
}

#[tokio::test]
async fn a_token_counts_once() {
    let case = Case::new().await;
    let token = case.told.issuer.logout_token(Some("alice"), None);
    assert_eq!(case.told.post(&token).await.status, 200);

    let (id, _) = case.told.log_in_somewhere("alice").await;
    assert_eq!(case.told.post(&token).await.status, 400);
    assert!(case.told.stored_tokens(id).await.is_live(), "the next login stands");
}

#[tokio::test]
async fn a_token_counts_once_in_all_processes() {
    let case = Case::new().await;
    let token = case.told.issuer.logout_token(Some("alice"), None);
    assert_eq!(case.told.post(&token).await.status, 200);

    let (id, _) = case.told.log_in_somewhere("alice").await;
    assert_eq!(post_to(&case.told.restarted(), &token).await.status, 400);
    assert!(case.told.stored_tokens(id).await.is_live(), "the next login stands");
}

// The store may take longer to be told than the first process takes to answer, and longer to
// forget.
#[tokio::test]
async fn a_token_counts_once_for_a_process_that_starts_minutes_later() {
    let case = Case::new().await;
    let token = case.told.issuer.logout_token(Some("alice"), None);
    assert_eq!(case.told.post(&token).await.status, 200);
    case.told.clock.advance(std::time::Duration::from_secs(110));

    let (id, _) = case.told.log_in_somewhere("alice").await;
    assert_eq!(post_to(&case.told.restarted(), &token).await.status, 400);
    assert!(case.told.stored_tokens(id).await.is_live(), "the next login stands");
}

// It says so in its log, and the token is used in this process.
#[tokio::test]
async fn a_store_that_does_not_note_a_used_token_undoes_nothing() {
    let case = Case::new().await;
    let token = case.told.issuer.logout_token(Some("alice"), None);
    case.told.tokens.refuse(support::TokenOp::Create);
    assert_eq!(case.told.post(&token).await.status, 200);
    assert!(case.told.has_ended(case.id).await);
    case.told.tokens.accept(support::TokenOp::Create);
    assert_eq!(case.told.post(&token).await.status, 400);
}

#[tokio::test]
async fn a_token_is_remembered_for_as_long_as_it_passes() {
    let case = Case::new().await;
    // Dated ahead as far as it may be.
    let mut claims = case.told.issuer.logout_claims(Some("alice"), None);
    claims["iat"] = json!(case.now() + 60);
    claims.as_object_mut().expect("an object").remove("exp");
    let token = case.told.issuer.sign_jwt(json!({}), &claims);
    assert_eq!(case.told.post(&token).await.status, 200);
    // So that only this process remembers it.
    for record in case.told.sessions.token_records().await {
        case.told.sessions.vanish(record.id).await;
    }

    case.told.clock.advance(std::time::Duration::from_secs(420));
    let (id, _) = case.told.log_in_somewhere("alice").await;
    assert_eq!(case.told.post(&token).await.status, 400);
    assert!(case.told.stored_tokens(id).await.is_live());
}
