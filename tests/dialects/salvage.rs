//! What the provider has certainly given is kept, however it says so.

use std::{io::Write, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::Response;
use serde_json::{Value, json};
use tower_token_refresh::RefreshErrorKind;

use crate::stage::{Counted, ask, ask_at, response, with_header, world};

type Tell = fn(Value) -> Response<Bytes>;

fn edited(mut body: Value, field: &str, value: Value) -> Response<Bytes> {
    body[field] = value;
    response(200, body.to_string())
}

fn without(mut body: Value, field: &str) -> Response<Bytes> {
    body.as_object_mut().expect("an object").remove(field);
    response(200, body.to_string())
}

fn form(body: &Value) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in body.as_object().expect("an object") {
        form.append_pair(name, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    form.finish()
}

/// Before all other fields, something that is no JSON.
fn beside(body: &Value, odd: &str) -> Response<Bytes> {
    response(200, format!(r#"{{"odd":{odd},{}"#, &body.to_string()[1..]))
}

fn gzip(text: &str) -> Vec<u8> {
    gzip_bytes(text.as_bytes())
}

fn gzip_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(bytes).expect("packed");
    packed.finish().expect("packed")
}

const SHAPES: &[(&str, Tell)] = &[
    ("token_type missing", |body| without(body, "token_type")),
    ("token_type empty", |body| edited(body, "token_type", json!(""))),
    ("token_type BearerToken", |body| edited(body, "token_type", json!("BearerToken"))),
    ("token_type 'bearer '", |body| edited(body, "token_type", json!("bearer "))),
    ("token_type JWT", |body| edited(body, "token_type", json!("JWT"))),
    ("token_type a list", |body| edited(body, "token_type", json!(["DPoP", "bearer"]))),
    ("expires_in a string", |body| edited(body, "expires_in", json!("60"))),
    ("expires_in with spaces", |body| edited(body, "expires_in", json!(" 60 "))),
    ("expires_in a float", |body| edited(body, "expires_in", json!(60.0))),
    ("expires_in empty", |body| edited(body, "expires_in", json!(""))),
    ("expires_in null", |body| edited(body, "expires_in", json!(null))),
    ("expires_in a word", |body| edited(body, "expires_in", json!("soon"))),
    ("id_token a number", |body| edited(body, "id_token", json!(7))),
    ("id_token an object", |body| edited(body, "id_token", json!({"a": 1}))),
    ("scope a list", |body| edited(body, "scope", json!(["openid", "email"]))),
    ("scope a number", |body| edited(body, "scope", json!(7))),
    ("refresh_expires_in a word", |body| edited(body, "refresh_expires_in", json!("never"))),
    ("a form, as GitHub sends it", |body| {
        with_header(response(200, form(&body)), "content-type", "application/x-www-form-urlencoded")
    }),
    ("nested in data", |body| response(200, json!({"data": body, "message": "ok"}).to_string())),
    ("nested in authed_user, as at Slack", |body| {
        response(200, json!({"ok": true, "authed_user": body}).to_string())
    }),
    ("a field twice, the last one counts", |body| {
        let text = body.to_string();
        let twice = format!(r#"{{"access_token":"old","refresh_token":"old",{}"#, &text[1..]);
        response(200, twice)
    }),
    ("a byte order mark", |body| response(200, format!("\u{feff}{body}"))),
    ("gzip", |body| {
        with_header(response(200, gzip(&body.to_string())), "content-encoding", "gzip")
    }),
    ("a gzip header over a plain body", |body| {
        with_header(response(200, body.to_string()), "content-encoding", "gzip")
    }),
    ("gzip twice over, and identity", |body| {
        let twice = gzip_bytes(&gzip(&body.to_string()));
        with_header(response(200, twice), "content-encoding", "gzip, gzip, identity")
    }),
    ("gzip without a header", |body| response(200, gzip(&body.to_string()))),
    ("gzip with zeros behind it", |body| {
        let padded = [gzip(&body.to_string()), vec![0; 512]].concat();
        with_header(response(200, padded), "content-encoding", "gzip")
    }),
    ("gzip without its checksum", |body| {
        let mut cut = gzip(&body.to_string());
        cut.truncate(cut.len() - 8);
        with_header(response(200, cut), "content-encoding", "gzip")
    }),
    ("a number that is none", |body| beside(&body, "NaN")),
    ("a number that is too large", |body| beside(&body, "1e999")),
    ("half of a character", |body| beside(&body, r#""\ud83d""#)),
    ("brackets that are too deep", |body| {
        beside(&body, &format!("{}{}", "[".repeat(1000), "]".repeat(1000)))
    }),
    ("cut off behind the tokens", |body| {
        response(200, format!(r#"{{{},"scope":"ope"#, &body.to_string()[1..].trim_end_matches('}')))
    }),
    ("null beside what is nested", |body| {
        response(200, json!({"access_token": null, "authed_user": body}).to_string())
    }),
    ("a byte that is no UTF-8", |mut body| {
        body["name"] = json!("Andr?");
        let text = body.to_string();
        let latin: Vec<_> = text.bytes().map(|b| if b == b'?' { 0xE9 } else { b }).collect();
        response(200, latin)
    }),
    ("text behind it", |body| response(200, format!("{body}\n<!-- 12 ms -->"))),
    ("text/html", |body| with_header(response(200, body.to_string()), "content-type", "text/html")),
    ("201", |body| response(201, body.to_string())),
    ("an error beside the tokens", |body| edited(body, "error", json!("invalid_grant"))),
];

#[tokio::test]
async fn a_login_lives_through_five_refreshes_in_any_shape() {
    for (shape, tell) in SHAPES {
        let (world, director) = world();
        let id = world.log_in("alice").await;
        director.told_as(tell);
        for round in 1..=5 {
            world.expire();
            let (one, other) = tokio::join!(ask(&world, id), ask(&world, id));
            for answer in [one, other] {
                let token = answer.unwrap_or_else(|error| panic!("{shape}: {error:?}"));
                assert!(world.issuer.is_access_token_live(token.secret()), "{shape}");
            }
            assert_eq!(world.issuer.refreshes(), round, "{shape}");
        }
        world.assert_logged_in(id).await;
    }
}

#[tokio::test]
async fn an_access_token_of_100_kib_is_served() {
    let (world, director) = world();
    let id = world.log_in("alice").await;
    director.told_as(|body| edited(body, "access_token", "a".repeat(100 * 1024).into()));
    world.expire();
    assert_eq!(ask(&world, id).await.expect("served").secret().len(), 100 * 1024);
    world.assert_logged_in(id).await;
}

/// The access token cannot be used. The refresh token that came with it is the only good one.
#[tokio::test]
async fn a_new_refresh_token_is_kept_whatever_is_wrong_with_the_access_token() {
    let unusable: [(&str, Tell); 7] = [
        ("a form without it", |body| {
            let token = body["refresh_token"].as_str().expect("text");
            response(200, format!("token_type=bearer&refresh_token={token}"))
        }),
        ("DPoP", |body| edited(body, "token_type", json!("DPoP"))),
        ("mac", |body| edited(body, "token_type", json!("mac"))),
        ("missing", |body| without(body, "access_token")),
        ("empty", |body| edited(body, "access_token", json!(""))),
        ("null", |body| edited(body, "access_token", json!(null))),
        ("no header value", |body| edited(body, "access_token", json!("a\nb"))),
    ];
    for (what, tell) in unusable {
        let stage = Counted::new();
        let world = &stage.world;
        let id = world.log_in("alice").await;
        stage.director.told_as(tell);
        for round in 1..=4 {
            world.clock.advance(Duration::from_secs(120));
            for _ in 0..3 {
                let error = stage.ask(id).await.expect_err(what);
                assert_eq!(error.kind(), RefreshErrorKind::InvalidResponse, "{what}");
            }
            assert_eq!(world.issuer.refreshes(), round, "{what}: once for each pause");
            world.assert_logged_in(id).await;
        }
        stage.director.honest();
        world.clock.advance(Duration::from_secs(60));
        assert!(stage.ask(id).await.is_ok(), "{what}");
        world.assert_logged_in(id).await;
    }
}

/// While the old access token is good, it is served; the new refresh token is presented next.
#[tokio::test]
async fn an_early_refresh_without_an_access_token_costs_nobody_anything() {
    let (world, director) = world();
    let id = world.log_in("alice").await;
    director.told_as(|body| edited(body, "token_type", json!("DPoP")));
    world.clock.advance(Duration::from_secs(50));
    let old = ask(&world, id).await.expect("still good");
    support::settle().await;
    director.honest();
    for _ in 0..20 {
        assert_eq!(ask(&world, id).await.expect("still good").secret(), old.secret());
        support::settle().await;
    }
    assert_eq!(world.issuer.refreshes(), 1, "no second one within the pause");
    world.clock.advance(Duration::from_secs(60));
    assert!(ask(&world, id).await.is_ok());
    world.assert_logged_in(id).await;
}

#[tokio::test]
async fn a_token_that_is_over_at_birth_is_refreshed_once_more_with_the_new_refresh_token() {
    for expires_in in [json!(0), json!(-1), json!("0"), json!("-60")] {
        let (world, _) = world();
        let id = world.log_in("alice").await;
        world.expire();
        world.issuer.expires_in_next(expires_in.clone());
        assert!(ask(&world, id).await.is_ok(), "{expires_in}");
        assert_eq!(world.issuer.refreshes(), 2);
        world.assert_logged_in(id).await;
    }
}

#[tokio::test]
async fn tokens_that_are_always_over_at_birth_make_no_loop() {
    let (world, director) = world();
    let id = world.log_in("alice").await;
    director.told_as(|body| edited(body, "expires_in", json!(0)));
    world.expire();
    for _ in 0..20 {
        let error = ask(&world, id).await.expect_err("over at birth");
        assert_eq!(error.kind(), RefreshErrorKind::InvalidResponse);
    }
    assert_eq!(world.issuer.refreshes(), 2);
    for round in 1..=10 {
        world.clock.advance(Duration::from_secs(60));
        assert!(ask(&world, id).await.is_err());
        assert_eq!(world.issuer.refreshes(), 2 + round, "one each, after the first time");
    }
    director.honest();
    world.clock.advance(Duration::from_secs(60));
    assert!(ask(&world, id).await.is_ok());
    world.assert_logged_in(id).await;
}

/// The refresh token may be in what could not be read, so nobody knows whether the old one is good.
#[tokio::test]
async fn a_success_with_nothing_usable_in_it_is_an_invalid_response() {
    for body in
        ["", "{}", "[]", "null", "<html>Welcome</html>", r#"{"ok":true}"#, "{\"access_token\""]
    {
        let (world, director) = world();
        let id = world.log_in("alice").await;
        world.expire();
        director.always(200, body);
        let error = ask(&world, id).await.expect_err(body);
        assert_eq!(error.kind(), RefreshErrorKind::InvalidResponse, "{body}");
        director.honest();
        world.clock.advance(Duration::from_secs(60));
        assert!(ask(&world, id).await.is_ok(), "{body}");
    }
}

/// An access token that had expired when it came does not replace one that is good.
#[tokio::test]
async fn an_early_refresh_that_brings_an_expired_token_costs_nobody_anything() {
    let (world, director) = world();
    let id = world.log_in("alice").await;
    director.told_as(|body| edited(body, "expires_in", json!(0)));
    world.clock.advance(Duration::from_secs(45));
    let old = ask(&world, id).await.expect("still good");
    support::settle().await;
    for _ in 0..5 {
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(ask(&world, id).await.expect("still good").secret(), old.secret());
        support::settle().await;
    }
    assert!(world.issuer.refreshes() < 4, "{}", world.issuer.refreshes());
    director.honest();
    world.clock.advance(Duration::from_secs(60));
    assert!(ask(&world, id).await.is_ok());
    world.assert_logged_in(id).await;
}

/// An error that repeats the token it refuses has given no new one.
#[tokio::test]
async fn a_refresh_token_that_is_only_repeated_is_not_a_new_one() {
    let stage = Counted::new();
    let id = stage.world.log_in("alice").await;
    let token = stage.world.stored_refresh_token(id).await.expect("logged in");
    stage.world.expire();
    let body = json!({"ok": false, "error": "invalid_refresh_token", "refresh_token": token});
    stage.rule(move |_, _| response(200, body.to_string()));
    let error = stage.ask(id).await.expect_err("dead");
    assert_eq!(error.kind(), RefreshErrorKind::SessionExpired);
    assert_eq!(stage.requests(), 1);
}

/// Each refresh makes a new set, so the other process must know that none of them can be used.
#[tokio::test]
async fn two_processes_make_no_loop_of_tokens_that_cannot_be_used() {
    let unusable: [(Tell, usize); 2] = [
        (|body| edited(body, "token_type", json!("DPoP")), 20),
        (|body| edited(body, "expires_in", json!(0)), 24),
    ];
    for (tell, most) in unusable {
        let (world, director) = world();
        let id = world.log_in("alice").await;
        director.told_as(tell);
        world.expire();
        let other = director.another_process(&world);
        for turn in 0..60 {
            let process = if turn % 2 == 0 { &world.refresher } else { &other };
            assert!(ask_at(process, id).await.is_err());
            world.clock.advance(Duration::from_secs(1));
        }
        assert!(world.issuer.refreshes() < most, "{} in a minute", world.issuer.refreshes());
        assert_eq!(world.issuer.max_presented(), 1);
    }
}
