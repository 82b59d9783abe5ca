//! What a request must be that brings a logout token. Nothing of it comes back, whatever it holds.

use axum::body::Body;
use http::{Request, StatusCode, header};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::http::{Answer, ask};
use tower_token_refresh::BackChannelError;

use super::world::{PATH, Told, app, form};

async fn send(told: &Told, request: Request<Body>) -> Answer {
    ask(&app(&told.refresher), request).await
}

fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, 400);
    assert_eq!(answer.body, r#"{"error":"invalid_request"}"#);
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
}

#[tokio::test]
async fn exactly_one_token() {
    let told = Told::on_memory();
    let token = told.issuer.logout_token(Some("alice"), None);
    assert_refused(&send(&told, form("")).await);
    assert_refused(&send(&told, form(&format!("token={token}"))).await);
    assert_refused(&send(&told, form(&format!("logout_token={token}&logout_token={token}"))).await);
    assert_refused(&send(&told, form(&format!("logout_token={token}&logout_token="))).await);
    assert_eq!(send(&told, form(&format!("a=b&logout_token={token}&c=d"))).await.status, 200);
}

#[tokio::test]
async fn a_form_and_nothing_else() {
    let told = Told::on_memory();
    let token = told.issuer.logout_token(Some("alice"), None);
    for content_type in [
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded2",
    ] {
        let mut request = form(&format!("logout_token={token}"));
        request.headers_mut().insert(header::CONTENT_TYPE, content_type.parse().expect("ASCII"));
        assert_refused(&send(&told, request).await);
    }
    let mut request = form(&format!("logout_token={token}"));
    request.headers_mut().remove(header::CONTENT_TYPE);
    assert_refused(&send(&told, request).await);

    let mut request = form(&format!("logout_token={token}"));
    let with_charset = "Application/X-WWW-Form-URLEncoded; charset=UTF-8";
    request.headers_mut().insert(header::CONTENT_TYPE, with_charset.parse().expect("ASCII"));
    assert_eq!(send(&told, request).await.status, 200);
}

#[tokio::test]
async fn at_most_64_kib() {
    let told = Told::on_memory();
    let token = told.issuer.logout_token(Some("alice"), None);
    let filled = |length: usize| {
        let start = format!("logout_token={token}&filler=");
        let filler = "x".repeat(length - start.len());
        form(&(start + &filler))
    };
    assert_refused(&send(&told, filled(64 * 1024 + 1)).await);
    assert_eq!(send(&told, filled(64 * 1024)).await.status, 200);
}

#[tokio::test]
async fn not_by_get() {
    let told = Told::on_memory();
    let request = Request::get(PATH).body(Body::empty()).expect("a request");
    assert_eq!(send(&told, request).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        any::<u64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(".*", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

const CLAIMS: [&str; 10] =
    ["iss", "aud", "iat", "exp", "nbf", "jti", "events", "nonce", "sub", "sid"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_body_is_refused_and_none_panics(body in prop::collection::vec(any::<u8>(), 0..512)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let told = Told::on_memory();
            let mut request = form("");
            *request.body_mut() = Body::from(body);
            assert_refused(&send(&told, request).await);
        });
    }

    /// Signed by the provider, with one claim that may be anything.
    #[test]
    fn no_claim_makes_it_panic_or_is_shown(
        name in prop::sample::select(&CLAIMS[..]),
        value in any_json(),
        marker in "[a-z]{24}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let told = Told::on_memory();
            let mut claims = told.issuer.logout_claims(Some(&marker), Some(&marker));
            claims[name] = json!({ marker.as_str(): value });
            let token = told.issuer.sign_jwt(json!({}), &claims);
            let ended = told.refresher.end_by_logout_token(&token).await;
            let Err(error @ BackChannelError::Refused(_)) = ended else {
                panic!("an object is no value of any claim but `events`: {name}");
            };
            let mut shown = format!("{error} {error:?}");
            let mut source = std::error::Error::source(&error);
            while let Some(error) = source {
                shown += &format!(" {error} {error:?}");
                source = error.source();
            }
            assert!(!shown.contains(&marker), "{shown}");
        });
    }
}
