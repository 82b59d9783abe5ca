//! Each step does what it says, once.

use http::Response;
use serde_json::{Value, json};
use tower_token_refresh::testing::{AnswerLost, Endpoint, StrictIssuer};

use crate::requests::*;

fn logged_in() -> (StrictIssuer, String) {
    let issuer = StrictIssuer::new();
    let refresh_token = text(&issuer.log_in("alice"), "refresh_token").to_owned();
    (issuer, refresh_token)
}

#[test]
fn failures_come_in_order_consume_nothing_and_end() {
    let (issuer, token) = logged_in();
    issuer.fail_next(503, "busy");
    issuer.fail_next_oauth(400, "invalid_scope");
    let retry_after =
        Response::builder().status(429).header("retry-after", "7").body("".into()).unwrap();
    issuer.answer_next_at(Endpoint::Token, retry_after);

    assert_eq!(refresh(&issuer, &token).0, 503);
    let (status, error) = refresh(&issuer, &token);
    assert_eq!((status, text(&error, "error")), (400, "invalid_scope"));
    assert_eq!(issuer.handle(refresh_request(&issuer, &token)).headers()["retry-after"], "7");
    assert_eq!((issuer.refreshes(), issuer.presented(&token)), (0, 3));
    assert_eq!(refresh(&issuer, &token).0, 200);
}

#[test]
fn an_answer_can_be_lost_after_the_work_or_before_it() {
    let (issuer, token) = logged_in();
    issuer.drop_request_next_at(Endpoint::Token);
    issuer.drop_answer_next();

    let lost = issuer.handle(refresh_request(&issuer, &token));
    assert!(lost.extensions().get::<AnswerLost>().is_some());
    assert_eq!(issuer.refresh_requests(), 0, "it never came");
    assert!(issuer.is_refresh_token_live(&token));

    let lost = issuer.handle(refresh_request(&issuer, &token));
    assert!(lost.extensions().get::<AnswerLost>().is_some());
    assert_eq!(issuer.refreshes(), 1);
    assert!(!issuer.is_refresh_token_live(&token));
}

#[test]
fn a_processed_request_may_still_look_failed() {
    let scripts: [fn(&StrictIssuer); 2] =
        [|issuer| issuer.fail_next_after_processing(500, "oops"), |issuer| issuer.malformed_next()];
    for script in scripts {
        let (issuer, token) = logged_in();
        script(&issuer);
        let (_, body) = refresh(&issuer, &token);
        assert_eq!(body, Value::Null);
        assert_eq!(issuer.refreshes(), 1);
        assert!(!issuer.is_refresh_token_live(&token));
    }
}

#[test]
fn expires_in_can_be_anything_or_nothing() {
    let (issuer, mut token) = logged_in();
    issuer.expires_in_next(0);
    issuer.expires_in_next("300");
    issuer.omit_expires_in_next();
    for expected in [Some(json!(0)), Some(json!("300")), None, Some(json!(300))] {
        let (status, answer) = refresh(&issuer, &token);
        assert_eq!((status, answer.get("expires_in").cloned()), (200, expected));
        text(&answer, "refresh_token").clone_into(&mut token);
    }
}

#[test]
fn a_refresh_without_a_new_refresh_token_leaves_the_old_one_good() {
    let (issuer, token) = logged_in();
    issuer.omit_refresh_token_next();
    let (status, answer) = refresh(&issuer, &token);
    assert_eq!((status, answer.get("refresh_token")), (200, None));
    assert!(issuer.is_refresh_token_live(&token));
    assert!(refresh(&issuer, &token).1.get("refresh_token").is_some());
}

#[test]
fn the_subject_can_change() {
    let (issuer, token) = logged_in();
    issuer.switch_user_next("mallory");
    let (_, answer) = refresh(&issuer, &token);
    let userinfo = issuer.handle(userinfo_request(&issuer, text(&answer, "access_token")));
    assert_eq!(crate::requests::answer(&userinfo).1["sub"], json!(issuer.subject_of("mallory")));
}

#[test]
fn other_endpoints_fail_too_and_the_whole_provider_can_be_down() {
    let (issuer, token) = logged_in();
    issuer.fail_next_at(Endpoint::Revocation, 500, "");
    assert_eq!(issuer.handle(revoke_request(&issuer, &token)).status(), 500);
    assert!(issuer.session_alive(&token));

    issuer.set_down(true);
    issuer.fail_next(418, "");
    assert_eq!(issuer.handle(get_request(&issuer.discovery_url())).status(), 503);
    assert_eq!(refresh(&issuer, &token).0, 503);
    issuer.set_down(false);
    assert_eq!(refresh(&issuer, &token).0, 418, "steps wait for better times");
    issuer.fail_next(418, "");
    issuer.clear_script();
    assert_eq!(refresh(&issuer, &token).0, 200);
}
