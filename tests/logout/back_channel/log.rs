//! Nothing of a logout token, its key or the logins it ends is printed.

use std::{error::Error, fmt::Write as _};

use serde_json::json;
use support::log::Log;

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
