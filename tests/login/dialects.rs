//! A provider that speaks in its own way: whoever logs in at it is logged in, and stays so.

use std::time::Duration;

use http::Response;
use serde_json::{Value, json};
use tower_token_refresh::testing::{Endpoint, StrictIssuer};

use crate::{
    browser::{Browser, location},
    world::{Setup, World, edit_claims, edited_document},
};

/// The statuses of the callback and of the API behind it.
async fn log_in(
    world: &World,
    edit: impl FnOnce(&mut Value) + Send + 'static,
) -> (u16, u16, Browser) {
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    world.issuer().edit_next(edit);
    let status = browser.get(&callback).await.status().as_u16();
    let api = browser.api_status().await;
    (status, api, browser)
}

#[tokio::test]
async fn an_answer_in_its_own_words_logs_in_and_is_refreshed() {
    for (field, value) in [
        ("expires_in", json!("3599")),
        ("expires_in", json!(59.5)),
        ("expires_in", json!(null)),
        ("scope", json!(["openid"])),
        ("scope", json!(7)),
        ("token_type", json!("BearerToken")),
        ("token_type", json!(null)),
        ("refresh_expires_in", json!("1800")),
    ] {
        let world = World::new().await;
        let row = format!("{field} {value}");
        let edit = move |answer: &mut Value| answer[field] = value;
        let (status, api, browser) = log_in(&world, edit).await;
        assert_eq!((status, api), (303, 200), "{row}");
        world.clock.advance(Duration::from_secs(1000));
        assert_eq!(browser.api_status().await, 200, "{row}: and stays so");
    }
    // Tokens that are bound to a key are the work of a setting: nobody has sent a proof.
    for (field, value, answered) in [
        ("access_token", json!(7), 502),
        ("token_type", json!("mac"), 502),
        ("token_type", json!("DPoP"), 502),
    ] {
        let world = World::new().await;
        let (status, api, _) = log_in(&world, move |answer| answer[field] = value).await;
        assert_eq!((status, api), (answered, 401), "{field}");
    }
}

#[tokio::test]
async fn an_id_token_in_its_own_words_proves_as_much() {
    for (claim, value, logged_in) in [
        ("sub", json!(42), true),
        ("sub", json!(["alice"]), false),
        ("sub", json!(""), false),
        ("aud", json!(["web"]), true),
        ("aud", json!(["api", null, "web"]), true),
        ("aud", json!(["api"]), false),
        ("azp", json!(null), true),
        ("azp", json!("api"), false),
        ("email", json!({"primary": "a@example.org"}), true),
        ("exp", json!("2000000300"), true),
        ("exp", json!("soon"), false),
        ("nonce", json!("another"), false),
        ("nonce", json!(null), false),
        ("at_hash", json!("another"), false),
        ("iss", json!("id.example"), false),
    ] {
        let world = World::new().await;
        let row = format!("{claim} {value}");
        let issuer = world.issuer().clone();
        let edit = move |answer: &mut Value| {
            edit_claims(&issuer, answer, |claims| claims[claim] = value);
        };
        let (status, api, _) = log_in(&world, edit).await;
        assert_eq!((status, api), if logged_in { (303, 200) } else { (502, 401) }, "{row}");
    }
}

#[tokio::test]
async fn every_key_that_fits_is_tried() {
    type Edit = fn(&Value) -> Value;
    let rows: [(&str, Edit); 3] = [
        ("one kid twice", |key| json!([other_key(&key["kid"]), key])),
        ("no kid", |key| json!([other_key(&json!(null)), without_kid(key)])),
        ("an unknown kind of key", |key| json!([{"kty": "quantum", "kid": 7}, key])),
    ];
    for (row, edit) in rows {
        let change_keys = move |issuer: &StrictIssuer| {
            let jwks = issuer
                .handle(http::Request::get(issuer.jwks_url()).body(bytes::Bytes::new()).unwrap());
            let mut keys: Value = serde_json::from_slice(jwks.body()).unwrap();
            keys["keys"] = edit(&keys["keys"][0]);
            let answer = Response::builder().status(200).body(keys.to_string().into()).unwrap();
            issuer.answer_next_at(Endpoint::Jwks, answer);
        };
        let world = World::setup().provider(change_keys).start().await;
        let (status, api, _) = log_in(&world, |_| {}).await;
        assert_eq!((status, api), (303, 200), "{row}");
        // The first one is this test's own.
        assert_eq!(world.issuer().requests(Endpoint::Jwks), 2, "{row}: one fetch");
    }
}

/// A key of the same kind that has signed nothing (RFC 7515, appendix A.3).
fn other_key(kid: &Value) -> Value {
    json!({
        "kty": "EC", "crv": "P-256", "kid": kid,
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    })
}

fn without_kid(key: &Value) -> Value {
    let mut key = key.clone();
    key.as_object_mut().unwrap().remove("kid");
    key
}

/// The discovery document names itself so from the start.
fn calling_itself(name: &'static str) -> Setup {
    World::setup().provider(edited_document(move |document| document["issuer"] = json!(name)))
}

const TENANTS: &str = "https://login.example/{tenantid}/v2.0";

#[tokio::test]
async fn a_provider_may_call_itself_by_an_accepted_name() {
    for (document, accepted, iss, tid, logged_in) in [
        ("accounts.example", "accounts.example", "accounts.example", json!(null), true),
        (TENANTS, TENANTS, "https://login.example/a/v2.0", json!("a"), true),
        (TENANTS, TENANTS, "https://login.example/a/v2.0", json!("b"), false),
        (TENANTS, TENANTS, "https://login.example/a/v2.0", json!(null), false),
        (TENANTS, TENANTS, TENANTS, json!(null), false),
        (TENANTS, TENANTS, "accounts.example", json!("a"), false),
    ] {
        let world =
            calling_itself(document).endpoint(move |at| at.accept_issuer(accepted)).start().await;
        let issuer = world.issuer().clone();
        let edit = move |answer: &mut Value| {
            edit_claims(&issuer, answer, |claims| {
                (claims["iss"], claims["tid"]) = (json!(iss), tid);
            });
        };
        let (status, api, _) = log_in(&world, edit).await;
        assert_eq!(
            (status, api),
            if logged_in { (303, 200) } else { (502, 401) },
            "{accepted} {iss}"
        );
    }
    let world = calling_itself("accounts.example").start().await;
    assert_eq!(world.browser().get("/auth/login").await.status(), 500, "not without the setting");
}

#[tokio::test]
async fn a_callback_may_name_an_accepted_issuer() {
    for (iss, status) in [
        ("https://login.example/a/v2.0", 303),
        ("https://login.example//v2.0", 400),
        ("https://login.example/a/b/v2.0", 400),
        ("https://elsewhere.example", 400),
    ] {
        let world = World::setup().endpoint(|at| at.accept_issuer(TENANTS)).start().await;
        let browser = world.browser();
        let callback = browser.until_callback("/").await;
        let (before, _) = callback.split_once("&iss=").expect("the provider names itself");
        let iss: String = url::form_urlencoded::byte_serialize(iss.as_bytes()).collect();
        let response = browser.get(&format!("{before}&iss={iss}")).await;
        assert_eq!(response.status(), status, "{iss}");
    }
}

/// As for a user in hundreds of groups.
#[tokio::test]
async fn an_id_token_too_long_for_a_url_is_not_sent_at_log_out() {
    for (groups, is_sent) in [(10, true), (300, false)] {
        let world = World::new().await;
        let issuer = world.issuer().clone();
        let edit = move |answer: &mut Value| {
            edit_claims(&issuer, answer, |claims| claims["groups"] = json!(vec!["group"; groups]));
        };
        let (status, api, browser) = log_in(&world, edit).await;
        assert_eq!((status, api), (303, 200));
        let to = url::Url::parse(&location(&browser.post("/auth/logout").await)).unwrap();
        assert!(to.as_str().len() <= 2048, "{}", to.as_str().len());
        let names: Vec<_> = to.query_pairs().map(|(name, _)| name.into_owned()).collect();
        let rest = ["client_id", "post_logout_redirect_uri"];
        assert_eq!(names[usize::from(is_sent)..], rest);
        assert_eq!(names.contains(&"id_token_hint".to_owned()), is_sent);
    }
}
