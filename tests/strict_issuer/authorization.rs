//! The code flow and the logout by the browser.

use std::time::Duration;

use http::Response;
use serde_json::Value;
use tower_token_refresh::testing::{Endpoint, ManualClock, StrictIssuer};
use url::Url;

use crate::requests::*;

/// 43 characters, and their SHA-256 in base64url: the example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const BACK: &str = "https://app.example/callback?kept=1";

const ASKED: [(&str, &str); 8] = [
    ("response_type", "code"),
    ("client_id", "web"),
    ("redirect_uri", BACK),
    ("scope", "openid email"),
    ("state", "a state"),
    ("nonce", "n-1"),
    ("code_challenge", CHALLENGE),
    ("code_challenge_method", "S256"),
];

/// Asks with [`ASKED`], with these in place of its own; an empty one is left out.
fn authorize(issuer: &StrictIssuer, others: &[(&str, &str)]) -> Response<bytes::Bytes> {
    let kept = ASKED.iter().filter(|(name, _)| !others.iter().any(|(other, _)| other == name));
    let fields = kept.chain(others).filter(|(_, value)| !value.is_empty());
    let url = Url::parse_with_params(&issuer.url_of(Endpoint::Authorization), fields).unwrap();
    issuer.handle(get_request(url.as_str()))
}

fn field(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn location<T>(response: &Response<T>) -> Url {
    assert_eq!(response.status(), 302);
    Url::parse(response.headers()["location"].to_str().unwrap()).unwrap()
}

fn code(issuer: &StrictIssuer, others: &[(&str, &str)]) -> String {
    field(&location(&authorize(issuer, others)), "code").expect("a code")
}

fn exchange(issuer: &StrictIssuer, code: &str, redirect_uri: &str, verifier: &str) -> (u16, Value) {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect_uri),
        ("code_verifier", verifier),
    ];
    answer(&issuer.handle(post(&issuer.token_url(), Some(BASIC), &fields)))
}

fn claims(token: &str) -> Value {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

#[test]
fn a_code_becomes_tokens() {
    let issuer = StrictIssuer::new();
    let back = location(&authorize(&issuer, &[("login_hint", "bob")]));
    assert!(back.as_str().starts_with("https://app.example/callback?kept=1&"));
    assert_eq!(field(&back, "state").as_deref(), Some("a state"));
    assert_eq!(field(&back, "iss"), Some(issuer.issuer_url()));
    assert_eq!(field(&back, "error"), None);

    let (status, tokens) = exchange(&issuer, &field(&back, "code").unwrap(), BACK, VERIFIER);
    assert_eq!(status, 200);
    assert_eq!(text(&tokens, "scope"), "openid email");
    assert!(issuer.is_access_token_live(text(&tokens, "access_token")));
    let id_token = claims(text(&tokens, "id_token"));
    assert_eq!(
        (&id_token["nonce"], &id_token["preferred_username"]),
        (&"n-1".into(), &"bob".into())
    );
    assert_eq!((&id_token["aud"], &id_token["iss"]), (&"web".into(), &issuer.issuer_url().into()));
    assert_eq!(refresh(&issuer, text(&tokens, "refresh_token")).0, 200);
}

#[test]
fn without_a_hint_alice_logs_in_and_without_a_nonce_there_is_none() {
    let issuer = StrictIssuer::new();
    let (_, tokens) = exchange(&issuer, &code(&issuer, &[("nonce", "")]), BACK, VERIFIER);
    let id_token = claims(text(&tokens, "id_token"));
    assert_eq!((&id_token["preferred_username"], id_token.get("nonce")), (&"alice".into(), None));
}

#[test]
fn an_unknown_client_or_address_is_never_redirected_to() {
    let issuer = StrictIssuer::new();
    for others in [
        ("client_id", "other"),
        ("client_id", ""),
        ("redirect_uri", ""),
        ("redirect_uri", "callback"),
        ("redirect_uri", "javascript:alert(1)"),
        ("redirect_uri", "https://app.example/#fragment"),
    ] {
        let response = authorize(&issuer, &[others]);
        assert_eq!(
            (response.status().as_u16(), response.headers().get("location")),
            (400, None),
            "{others:?}"
        );
    }
    let twice = format!("{}?client_id=web&client_id=web", issuer.url_of(Endpoint::Authorization));
    assert_eq!(issuer.handle(get_request(&twice)).status(), 400);
    let mut put = get_request(&issuer.url_of(Endpoint::Authorization));
    *put.method_mut() = http::Method::PUT;
    assert_eq!(issuer.handle(put).status(), 405);
}

#[test]
fn any_other_fault_is_told_to_the_client() {
    let issuer = StrictIssuer::new();
    for (others, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("response_type", ""), "unsupported_response_type"),
        (("scope", "email"), "invalid_scope"),
        (("scope", ""), "invalid_scope"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("code_challenge_method", ""), "invalid_request"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
    ] {
        let back = location(&authorize(&issuer, &[others]));
        assert_eq!(field(&back, "error").as_deref(), Some(error), "{others:?}");
        assert_eq!(field(&back, "state").as_deref(), Some("a state"));
        assert_eq!(field(&back, "code"), None);
    }
}

#[test]
fn a_code_is_good_once_and_its_reuse_ends_the_login() {
    let issuer = StrictIssuer::new();
    let code = code(&issuer, &[]);
    let (_, tokens) = exchange(&issuer, &code, BACK, VERIFIER);
    let (status, error) = exchange(&issuer, &code, BACK, VERIFIER);
    assert_eq!((status, text(&error, "error")), (400, "invalid_grant"));
    assert!(!issuer.is_access_token_live(text(&tokens, "access_token")), "RFC 6749, 4.1.2");
}

#[test]
fn a_code_that_does_not_fit_is_refused_and_used_up() {
    let issuer = StrictIssuer::new();
    for (redirect_uri, verifier) in
        [(BACK, "wrong"), (BACK, ""), ("https://app.example/callback", VERIFIER)]
    {
        let code = code(&issuer, &[]);
        let (status, error) = exchange(&issuer, &code, redirect_uri, verifier);
        assert_eq!(
            (status, text(&error, "error")),
            (400, "invalid_grant"),
            "{redirect_uri} {verifier}"
        );
        assert_eq!(exchange(&issuer, &code, BACK, VERIFIER).0, 400, "no second try");
    }
    assert_eq!(exchange(&issuer, "never seen", BACK, VERIFIER).0, 400);
    let unauthenticated = [("grant_type", "authorization_code"), ("code", &code(&issuer, &[]))];
    assert_eq!(issuer.handle(post(&issuer.token_url(), None, &unauthenticated)).status(), 401);
}

#[test]
fn a_code_lives_a_minute() {
    let clock = ManualClock::new();
    let issuer = StrictIssuer::builder().clock(clock.clock()).build();
    let (in_time, late) = (code(&issuer, &[]), code(&issuer, &[]));
    clock.advance(Duration::from_secs(59));
    assert_eq!(exchange(&issuer, &in_time, BACK, VERIFIER).0, 200);
    clock.advance(Duration::from_secs(1));
    assert_eq!(exchange(&issuer, &late, BACK, VERIFIER).0, 400);
}

fn log_out(issuer: &StrictIssuer, fields: &[(&str, &str)]) -> Response<bytes::Bytes> {
    let url = Url::parse_with_params(&issuer.url_of(Endpoint::EndSession), fields).unwrap();
    issuer.handle(get_request(url.as_str()))
}

#[test]
fn the_browser_logs_out_and_is_sent_on() {
    let clock = ManualClock::new();
    let issuer = StrictIssuer::builder().clock(clock.clock()).build();
    let (_, tokens) = exchange(&issuer, &code(&issuer, &[]), BACK, VERIFIER);
    let elsewhere = issuer.log_in("alice");
    clock.advance(Duration::from_secs(301));
    let hint = ("id_token_hint", text(&tokens, "id_token"));
    let to = ("post_logout_redirect_uri", "https://app.example/");
    let sent_on = log_out(&issuer, &[hint, ("client_id", "web"), to, ("state", "s")]);
    assert_eq!(location(&sent_on).as_str(), "https://app.example/?state=s");
    assert!(!issuer.session_alive(text(&tokens, "refresh_token")));
    assert!(
        issuer.session_alive(text(&elsewhere, "refresh_token")),
        "only the session of the hint"
    );

    assert_eq!(location(&log_out(&issuer, &[hint, to])).as_str(), "https://app.example/");
    assert_eq!(log_out(&issuer, &[hint]).status(), 200);
    let by_form = post(
        &issuer.url_of(Endpoint::EndSession),
        None,
        &[("id_token_hint", text(&elsewhere, "id_token"))],
    );
    assert_eq!(issuer.handle(by_form).status(), 200);
    assert!(!issuer.session_alive(text(&elsewhere, "refresh_token")));
}

#[test]
fn a_log_out_that_proves_nothing_ends_nothing() {
    let issuer = StrictIssuer::new();
    let tokens = issuer.log_in("alice");
    let hint = ("id_token_hint", text(&tokens, "id_token"));
    let stranger = StrictIssuer::new().log_in("alice");
    for fields in [
        &[("post_logout_redirect_uri", "https://app.example/")][..],
        &[hint, ("post_logout_redirect_uri", "javascript:alert(1)")],
        &[hint, ("client_id", "other")],
        &[("id_token_hint", text(&stranger, "id_token"))],
        &[("id_token_hint", "nonsense")],
        &[("id_token_hint", text(&tokens, "refresh_token"))],
    ] {
        let response = log_out(&issuer, fields);
        assert_eq!(response.status(), 400, "{fields:?}");
    }
    assert!(issuer.session_alive(text(&tokens, "refresh_token")));
}

#[test]
fn discovery_names_where_the_browser_goes() {
    let issuer = StrictIssuer::new();
    let (_, found) = answer(&issuer.handle(get_request(&issuer.discovery_url())));
    assert_eq!(text(&found, "authorization_endpoint"), issuer.url_of(Endpoint::Authorization));
    assert_eq!(text(&found, "end_session_endpoint"), issuer.url_of(Endpoint::EndSession));
    assert_eq!(found["code_challenge_methods_supported"], serde_json::json!(["S256"]));
}
