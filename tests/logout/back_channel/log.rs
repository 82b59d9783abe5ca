//! What is logged of logout tokens: nothing of a token, its key or the logins it ends; and no more
//! than somebody has to know.

use std::{error::Error, fmt::Write as _, time::Duration};

use serde_json::json;
use support::{TokenOp, log::Log, scrape::Scrape};
use tower_token_refresh::testing::Endpoint;

use super::world::{Told, app, builder, form, post_to, sid_of};

#[tokio::test]
async fn nothing_of_a_logout_token_is_printed() {
    let captured = Log::of_this_thread();

    let told = Told::on_memory();
    let key = "a-name-key-that-nobody-sees-at-all";
    let builder = builder(&told.issuer, &told.clock, &told.sessions, &told.tokens);
    let builder = builder.back_channel_logout(key);
    let mut shown = format!("{builder:?} {builder:#?}");
    write!(shown, "{:?} {:?}", builder.build().expect("the settings agree"), told.refresher)
        .expect("text");

    let tokens = told.issuer.log_in("alice");
    let sid = sid_of(&tokens);
    let id = told.log_in_with(tokens).await;
    let grant = told.pointer(id).await.expect("logged in");
    let mut claims = told.issuer.logout_claims(Some("alice"), Some(&sid));
    let good = told.issuer.sign_jwt(json!({}), &claims);
    let jti = claims["jti"].as_str().expect("text").to_owned();
    claims["nonce"] = json!("a-nonce-that-nobody-sees");
    let with_a_nonce = told.issuer.sign_jwt(json!({}), &claims);
    let of_another_key = told.issuer.sign_jwt(json!({ "kid": "a-kid-that-nobody-sees" }), &claims);
    let tokens = [&with_a_nonce, &of_another_key, "garbage-that-nobody-sees", &good, &good];
    for token in tokens {
        let answer = post_to(&told.refresher, token).await;
        shown += &format!("{answer:?}", answer = (answer.status, answer.headers, answer.body));
        if let Err(error) = told.refresher.end_by_logout_token(token).await {
            let mut next = Some(&error as &(dyn Error + 'static));
            while let Some(error) = next {
                write!(shown, "{error} {error:?}").expect("text");
                next = error.source();
            }
        }
    }
    told.clock.advance(std::time::Duration::from_secs(10));
    let unread = form("logout_token=a-first-that-nobody-sees&logout_token=another");
    support::http::ask(&app(&told.refresher), unread).await;

    let log = captured.text();
    for line in ["a logout token was refused", "the provider has ended logins"] {
        assert!(log.contains(line), "{line}");
    }
    let refusals = log.matches("a logout token was refused").count();
    assert_eq!(refusals, 2, "one in ten seconds, however many are sent: {log}");
    let subject = told.issuer.subject_of("alice");
    let tokens = tokens.iter().flat_map(|token| token.split('.')).filter(|part| part.len() > 16);
    let id = id.to_string();
    for secret in tokens.chain([sid.as_str(), &jti, &subject, &id, &grant, "nobody-sees"]) {
        assert!(!log.contains(secret), "the log shows {secret}: {log}");
        assert!(!shown.contains(secret), "a print shows {secret}: {shown}");
    }
}

fn tokens(scrape: &Scrape, outcome: &str) -> f64 {
    scrape.value("token_refresh_back_channel_total", &[("outcome", outcome)])
}

/// A provider that has lost patience sends it once more.
#[tokio::test]
async fn a_token_that_comes_again_while_it_is_at_work_is_no_failure() {
    let (log, scrape) = (Log::of_this_thread(), Scrape::of_this_thread());
    let told = Told::on_memory();
    let (_, sid) = told.log_in_somewhere("alice").await;
    let token = told.issuer.logout_token(None, Some(&sid));
    told.post_again_at_work(&token).await;
    let lines = log.lines_at("WARN");
    assert!(lines.is_empty(), "{lines:#?}");
    let counts = ["ended", "under_way", "failed", "refused"].map(|of| tokens(&scrape, of));
    assert_eq!(counts, [1.0, 1.0, 0.0, 0.0]);
}

/// While the keys cannot be fetched, nobody can tell junk from the provider's own tokens.
#[tokio::test]
async fn tokens_that_cannot_be_verified_are_logged_every_ten_seconds_at_most() {
    let (log, scrape) = (Log::of_this_thread(), Scrape::of_this_thread());
    let told = Told::on_memory();
    let junk = told.issuer.logout_token(None, Some("nobody"));
    let mut expected = 0;
    for _ in 0..2 {
        expected += 1;
        for _ in 0..5 {
            told.issuer.fail_next_at(Endpoint::Jwks, 503, "");
            assert_eq!(told.post(&junk).await.status, 503);
        }
        let lines = log.lines_at("ERROR");
        assert_eq!(lines.len(), expected, "{lines:#?}");
        told.clock.advance(Duration::from_secs(10));
    }
    assert_eq!(tokens(&scrape, "failed"), 10.0);
}

/// Nobody but the provider can make one of these.
#[tokio::test]
async fn a_genuine_token_that_fails_is_logged_each_time() {
    let log = Log::of_this_thread();
    let told = Told::on_memory();
    told.tokens.refuse(TokenOp::Find);
    for nth in 1..4 {
        let token = told.issuer.logout_token(Some("alice"), None);
        assert_eq!(told.post(&token).await.status, 503);
        assert_eq!(log.lines_at("ERROR").len(), nth);
    }
}
