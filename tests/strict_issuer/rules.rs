//! Rotation, reuse, expiry, revocation, client authentication.

use std::time::Duration;

use serde_json::json;
use tower_token_refresh::testing::{ManualClock, ProviderKind, StrictIssuer};

use crate::requests::*;

fn with_clock() -> (StrictIssuer, ManualClock) {
    let clock = ManualClock::new();
    (StrictIssuer::builder().clock(clock.clock()).build(), clock)
}

#[test]
fn a_refresh_rotates_both_tokens_and_keeps_the_session() {
    let issuer = StrictIssuer::new();
    let old = issuer.log_in("alice");
    let (status, new) = refresh(&issuer, text(&old, "refresh_token"));

    assert_eq!(status, 200);
    assert_ne!(new["refresh_token"], old["refresh_token"]);
    assert_ne!(new["access_token"], old["access_token"]);
    assert_eq!(new["session_state"], old["session_state"]);
    assert_eq!((&new["expires_in"], &new["refresh_expires_in"]), (&json!(300), &json!(1800)));
    assert!(!issuer.is_refresh_token_live(text(&old, "refresh_token")));
    assert!(issuer.is_refresh_token_live(text(&new, "refresh_token")));
    assert!(
        issuer.is_access_token_live(text(&old, "access_token")),
        "rotation revokes no access token"
    );
    assert_eq!((issuer.refresh_requests(), issuer.refreshes(), issuer.max_presented()), (1, 1, 1));
}

#[test]
fn reuse_kills_the_winner_too() {
    let issuer = StrictIssuer::new();
    let old = issuer.log_in("alice");
    let elsewhere = issuer.log_in("alice");
    let (_, winner) = refresh(&issuer, text(&old, "refresh_token"));

    let (status, error) = refresh(&issuer, text(&old, "refresh_token"));
    assert_eq!((status, text(&error, "error")), (400, "invalid_grant"));
    assert_eq!(text(&error, "error_description"), "Maximum allowed refresh token reuse exceeded");

    let (status, error) = refresh(&issuer, text(&winner, "refresh_token"));
    assert_eq!((status, text(&error, "error")), (400, "invalid_grant"));
    assert_eq!(text(&error, "error_description"), "Session doesn't have required client");
    assert!(!issuer.is_access_token_live(text(&winner, "access_token")));
    assert!(!issuer.session_alive(text(&old, "session_state")));
    assert_eq!(issuer.presented(text(&old, "refresh_token")), 2);
    assert_eq!((issuer.max_presented(), issuer.refreshes(), issuer.refresh_requests()), (2, 1, 3));

    assert!(
        issuer.is_refresh_token_live(text(&elsewhere, "refresh_token")),
        "another device is another session"
    );
}

#[test]
fn two_logins_may_share_a_session_and_its_end() {
    let issuer = StrictIssuer::new();
    let first = issuer.log_in("alice");
    let second = issuer.log_in_again(text(&first, "session_state"));
    assert_eq!(first["session_state"], second["session_state"]);

    assert_eq!(refresh(&issuer, text(&first, "refresh_token")).0, 200);
    assert_eq!(
        refresh(&issuer, text(&second, "refresh_token")).0,
        200,
        "each has its own refresh tokens"
    );
    assert_eq!(refresh(&issuer, text(&first, "refresh_token")).0, 400);
    assert!(!issuer.is_access_token_live(text(&second, "access_token")));
}

#[test]
fn tokens_expire_by_the_clock() {
    let (issuer, clock) = with_clock();
    let tokens = issuer.log_in("alice");
    let (access, refresh_token) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));

    clock.advance(Duration::from_secs(299));
    assert!(issuer.is_access_token_live(access));
    clock.advance(Duration::from_secs(1));
    assert!(!issuer.is_access_token_live(access));
    assert!(issuer.is_refresh_token_live(refresh_token));

    clock.jump_wall(1500);
    assert!(!issuer.is_refresh_token_live(refresh_token));
    let (status, error) = refresh(&issuer, refresh_token);
    assert_eq!((status, text(&error, "error_description")), (400, "Token is not active"));

    clock.jump_wall(-1);
    assert_eq!(refresh(&issuer, refresh_token).0, 200);
}

#[test]
fn an_administrator_ends_one_session_or_all_of_a_user() {
    let issuer = StrictIssuer::new();
    let (first, second, bob) =
        (issuer.log_in("alice"), issuer.log_in("alice"), issuer.log_in("bob"));
    let third = issuer.log_in("alice");

    assert_eq!(issuer.end_session(text(&first, "session_state")), 1);
    assert!(!issuer.session_alive(text(&first, "access_token")));
    assert!(issuer.session_alive(text(&second, "refresh_token")));
    let (status, error) = refresh(&issuer, text(&first, "refresh_token"));
    assert_eq!((status, text(&error, "error_description")), (400, "Session not active"));

    assert_eq!(issuer.end_session("alice"), 2);
    assert!(!issuer.session_alive(text(&third, "session_state")));
    assert!(issuer.session_alive(text(&bob, "session_state")));
}

#[test]
fn revoking_a_refresh_token_ends_its_session_and_an_access_token_only_itself() {
    let issuer = StrictIssuer::new();
    let tokens = issuer.log_in("alice");
    let (access, refresh_token) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));

    assert_eq!(issuer.handle(revoke_request(&issuer, access)).status(), 200);
    assert!(!issuer.is_access_token_live(access));
    assert!(issuer.session_alive(refresh_token));

    assert_eq!(issuer.handle(revoke_request(&issuer, refresh_token)).status(), 200);
    assert!(!issuer.session_alive(refresh_token));
    assert!(!issuer.is_refresh_token_live(refresh_token));

    assert_eq!(issuer.handle(revoke_request(&issuer, "never seen")).status(), 200, "RFC 7009, 2.2");
    let unknown_client = post(&issuer.revocation_url(), None, &[("token", refresh_token)]);
    assert_eq!(issuer.handle(unknown_client).status(), 401);
    assert_eq!(issuer.revocations(), 4);
}

#[test]
fn an_unknown_refresh_token_is_refused() {
    let issuer = StrictIssuer::new();
    let tokens = issuer.log_in("alice");
    let (status, error) = refresh(&issuer, "never seen");
    assert_eq!((status, text(&error, "error")), (400, "invalid_grant"));
    let (status, _) = refresh(&issuer, text(&tokens, "access_token"));
    assert_eq!(status, 400, "an access token is no refresh token");
    assert!(issuer.session_alive(text(&tokens, "session_state")));
    assert_eq!(issuer.presented("never seen"), 1);
}

#[test]
fn the_client_is_known_by_basic_or_post_but_not_both() {
    let issuer = StrictIssuer::builder().client("my app", "a&b=c:d %").build();
    let ask = |authorization: Option<&str>, credentials: &[(&str, &str)]| {
        let tokens = issuer.log_in("alice");
        let mut fields = vec![
            ("grant_type", "refresh_token"),
            ("refresh_token", text(&tokens, "refresh_token")),
        ];
        fields.extend(credentials);
        let (status, body) =
            answer(&issuer.handle(post(&issuer.token_url(), authorization, &fields)));
        (status, body["error"].as_str().unwrap_or("none").to_owned())
    };
    let (id, secret) = (("client_id", "my app"), ("client_secret", "a&b=c:d %"));
    // "my+app:a%26b%3Dc%3Ad+%25", as RFC 6749, 2.3.1 wants it
    let basic = Some("Basic bXkrYXBwOmElMjZiJTNEYyUzQWQrJTI1");
    let granted = (200, "none".to_owned());
    let refused = |code: &str| (401, code.to_owned());

    assert_eq!(ask(basic, &[]), granted);
    assert_eq!(ask(basic, &[id]), granted);
    assert_eq!(ask(None, &[id, secret]), granted);
    assert_eq!(ask(basic, &[id, secret]), (400, "invalid_request".to_owned()));
    assert_eq!(ask(None, &[id, ("client_secret", "wrong")]), refused("unauthorized_client"));
    assert_eq!(ask(None, &[id]), refused("unauthorized_client"));
    assert_eq!(ask(None, &[("client_id", "other"), secret]), refused("invalid_client"));
    assert_eq!(ask(None, &[]), refused("invalid_client"));
    assert_eq!(ask(Some(BASIC), &[]), refused("invalid_client"));
    assert_eq!(ask(Some("Basic !"), &[]), refused("invalid_client"));
    assert_eq!(ask(Some("Bearer x"), &[]), refused("invalid_client"));
}

#[test]
fn a_public_client_sends_its_id_only() {
    let issuer = StrictIssuer::builder().public_client("spa").build();
    let tokens = issuer.log_in("alice");
    let fields =
        [("grant_type", "refresh_token"), ("refresh_token", text(&tokens, "refresh_token"))];
    let with = |extra: &[(&str, &str)]| {
        let fields = [&fields, extra].concat();
        issuer.handle(post(&issuer.token_url(), None, &fields)).status().as_u16()
    };
    assert_eq!(with(&[("client_id", "spa"), ("client_secret", "guess")]), 401);
    assert_eq!(with(&[("client_id", "spa")]), 200);

    let own = [("grant_type", "client_credentials"), ("client_id", "spa")];
    assert_eq!(issuer.handle(post(&issuer.token_url(), None, &own)).status(), 401);
}

#[test]
fn a_client_gets_tokens_of_its_own_without_a_refresh_token() {
    let issuer = StrictIssuer::new();
    let request = post(&issuer.token_url(), Some(BASIC), &[("grant_type", "client_credentials")]);
    let (status, tokens) = answer(&issuer.handle(request));
    assert_eq!(status, 200);
    assert!(issuer.is_access_token_live(text(&tokens, "access_token")));
    assert!(tokens.get("refresh_token").is_none() && tokens.get("id_token").is_none());
    assert_eq!((issuer.token_requests(), issuer.refresh_requests()), (1, 0));
}

#[test]
fn without_rotation_a_refresh_token_goes_on_and_each_use_prolongs_it() {
    let clock = ManualClock::new();
    let issuer = StrictIssuer::builder().clock(clock.clock()).without_rotation().build();
    let tokens = issuer.log_in("alice");
    let refresh_token = text(&tokens, "refresh_token");
    for uses in 1..=3 {
        clock.advance(Duration::from_secs(1799));
        let (status, new) = refresh(&issuer, refresh_token);
        assert_eq!((status, text(&new, "refresh_token")), (200, refresh_token));
        assert_eq!(issuer.presented(refresh_token), uses);
    }
    assert!(issuer.session_alive(refresh_token));
}

#[test]
fn a_scope_may_be_narrowed_but_not_widened() {
    let issuer = StrictIssuer::builder().like(ProviderKind::OidcProvider).build();
    let tokens = issuer.log_in("alice");
    let ask = |refresh_token: &str, scope: &str| {
        let fields =
            [("grant_type", "refresh_token"), ("refresh_token", refresh_token), ("scope", scope)];
        answer(&issuer.handle(post(&issuer.token_url(), Some(BASIC), &fields)))
    };
    let (status, error) = ask(text(&tokens, "refresh_token"), "openid admin");
    assert_eq!((status, text(&error, "error")), (400, "invalid_scope"));
    let (status, narrow) = ask(text(&tokens, "refresh_token"), "email");
    assert_eq!((status, text(&narrow, "scope")), (200, "email"));
    let (_, wide) = refresh(&issuer, text(&narrow, "refresh_token"));
    assert_eq!(text(&wide, "scope"), "openid profile email");
}

#[test]
fn a_bad_request_is_an_oauth_error_and_consumes_nothing() {
    let issuer = StrictIssuer::new();
    let tokens = issuer.log_in("alice");
    let good = || refresh_request(&issuer, text(&tokens, "refresh_token"));
    let url = issuer.token_url();

    let mut get = good();
    *get.method_mut() = http::Method::GET;
    assert_eq!(issuer.handle(get).status(), 405);
    let mut json = good();
    json.headers_mut().insert("content-type", "application/json".parse().unwrap());
    assert_eq!(issuer.handle(json).status(), 400);
    let twice = [("grant_type", "refresh_token"), ("refresh_token", "a"), ("refresh_token", "b")];
    assert_eq!(issuer.handle(post(&url, Some(BASIC), &twice)).status(), 400);
    let none = [("grant_type", "refresh_token")];
    assert_eq!(
        answer(&issuer.handle(post(&url, Some(BASIC), &none))).1["error"],
        "invalid_request"
    );
    let other = [("grant_type", "password")];
    assert_eq!(
        answer(&issuer.handle(post(&url, Some(BASIC), &other))).1["error"],
        "unsupported_grant_type"
    );
    assert_eq!(issuer.handle(get_request("http://anywhere/elsewhere")).status(), 404);

    assert_eq!(issuer.handle(good()).status(), 200);
}

#[test]
fn userinfo_knows_live_tokens_only() {
    let (issuer, clock) = with_clock();
    let tokens = issuer.log_in("alice");
    let ask = |token: &str| answer(&issuer.handle(userinfo_request(&issuer, token)));
    let (status, claims) = ask(text(&tokens, "access_token"));
    assert_eq!((status, text(&claims, "sub")), (200, issuer.subject_of("alice").as_str()));
    assert_eq!(ask(text(&tokens, "refresh_token")).0, 401);

    issuer.end_session("alice");
    let refused = issuer.handle(userinfo_request(&issuer, text(&tokens, "access_token")));
    assert_eq!(refused.status(), 401);
    assert!(refused.headers()["www-authenticate"].to_str().unwrap().contains("invalid_token"));

    let again = issuer.log_in("alice");
    clock.advance(Duration::from_secs(300));
    assert_eq!(ask(text(&again, "access_token")).0, 401);
}
