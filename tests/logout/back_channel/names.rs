//! What the token store finds logins by: their `sid` and their user, for as long as they live.
//! Nobody takes it for a session.

use std::time::Duration;

use serde_json::{Value, json};
use support::{
    Op, ScriptedSessions, ScriptedTokens, TokenOp, settle, shown_pointer, variants::session_at,
};
use tower_sessions::{
    Expiry, MemoryStore, SessionStore, cookie::time::OffsetDateTime, session::Record,
};
use tower_token_refresh::{
    ClientAuth, ConfigError, Logout, ProviderLimits, RefreshErrorKind, RefreshPolicy,
    TokenEndpoint, TokenRefresher, TokenSet, testing::StrictIssuer, token_store::InSessions,
    tower_sessions,
};

use super::world::{Told, builder, endpoint, on_each_store, post_to};

/// The lists of logins that lie in the session store, one for each name.
async fn lists(told: &Told) -> Vec<Record> {
    let records = told.sessions.token_records().await;
    let is_list = |record: &Record| record.data[support::sessions::MARK].is_array();
    records.into_iter().filter(is_list).collect()
}

/// How many logins each of them holds.
async fn sizes(told: &Told) -> Vec<usize> {
    let list = |record: &Record| record.data[support::sessions::MARK].as_array().unwrap().len();
    lists(told).await.iter().map(list).collect()
}

fn hours(count: i64) -> tower_sessions::cookie::time::Duration {
    tower_sessions::cookie::time::Duration::hours(count)
}

on_each_store! {
    async fn a_login_is_found_whatever_id_its_session_has_by_now(told: Told) {
        let (old, sid) = told.log_in_somewhere("alice").await;
        let session = told.request(old).await;
        session.cycle_id().await.unwrap();
        session.save().await.unwrap();
        let new = session.id().unwrap();
        let other_process = told.restarted();
        let answer = post_to(&other_process, &told.issuer.logout_token(None, Some(&sid))).await;
        assert_eq!(answer.status, 200);
        assert!(told.has_ended(new).await);
        assert_eq!(shown_pointer(&session_at(&other_process, new)).await, None);
    }

    // Nor does an ending do harm that comes for a login which has ended otherwise.
    async fn a_login_that_has_ended_before_keeps_its_first_end(told: Told) {
        let (id, sid) = told.log_in_somewhere("alice").await;
        let (other, _) = told.log_in_somewhere("alice").await;
        told.refresher.log_out(&told.session(id), Logout::EndSession).await.unwrap();
        assert_eq!(told.end_sid(&sid).await.status, 200);
        assert_eq!(told.tokens.records().await[0].ended_by(), Some("logout"));
        told.assert_stands(other).await;
    }

    // A provider chooses all three; that two of them are the same text means nothing.
    async fn sessions_users_and_tokens_have_names_of_their_own(told: Told) {
        let (id, sid) = told.log_in_somewhere("alice").await;
        let subject = told.issuer.subject_of("alice");
        let sign = |claims| told.issuer.sign_jwt(json!({ "typ": "logout+jwt" }), &claims);
        let mut user_like_a_session = told.issuer.logout_claims(Some("nobody"), None);
        user_like_a_session["sub"] = json!(sid);
        let mut token_like_a_user = told.issuer.logout_claims(Some("nobody"), None);
        token_like_a_user["jti"] = json!(subject);
        for token in [
            told.issuer.logout_token(None, Some(&subject)),
            sign(user_like_a_session),
            sign(token_like_a_user),
        ] {
            assert_eq!(told.post(&token).await.status, 200);
            assert!(told.stored_tokens(id).await.is_live());
        }
        assert_eq!(told.end_user("alice").await.status, 200);
        told.assert_ended(id).await;
    }

    async fn what_another_key_has_made_finds_nobody(told: Told) {
        let (id, sid) = told.log_in_somewhere("alice").await;
        let other = builder(&told.issuer, &told.clock, &told.sessions, &told.tokens)
            .back_channel_logout([8; 32])
            .build()
            .unwrap();
        let token = told.issuer.logout_token(None, Some(&sid));
        assert_eq!(post_to(&other, &token).await.status, 200);
        told.assert_stands(id).await;
    }

    async fn at_most_a_hundred_logins_of_a_user_need_be_found(told: Told) {
        let mut ids = Vec::new();
        for _ in 0..101 {
            ids.push(told.log_in_somewhere("alice").await.0);
        }
        assert_eq!(told.end_user("alice").await.status, 200);
        for id in &ids[1..] {
            assert!(told.has_ended(*id).await);
        }
    }
}

/// One token store may serve the refreshers of several providers.
#[tokio::test]
async fn a_name_is_another_one_at_another_provider() {
    let told = Told::on_memory();
    let ours = told.issuer.issuer_url();
    let other =
        StrictIssuer::builder().clock(told.clock.clock()).issuer_url(&format!("{ours}-of")).build();
    let its_refresher = builder(&other, &told.clock, &told.sessions, &told.tokens)
        .back_channel_logout(told.key)
        .build()
        .unwrap();

    let mut tokens = told.issuer.log_in("alice");
    let id_token = json!({ "sub": told.issuer.subject_of("alice"), "sid": "-of-alice" });
    tokens["id_token"] = json!(told.issuer.sign_jwt(json!({}), &id_token));
    let id = told.log_in_with(tokens).await;

    // The last one has the letters of ours, divided otherwise between issuer and name.
    for token in [
        other.logout_token(Some("alice"), None),
        other.logout_token(None, Some("-of-alice")),
        other.logout_token(None, Some("-alice")),
    ] {
        assert_eq!(post_to(&its_refresher, &token).await.status, 200);
        assert!(told.stored_tokens(id).await.is_live());
    }
    assert_eq!(told.end_sid("-of-alice").await.status, 200);
    told.assert_ended(id).await;
}

// Where they lie in the session store.

#[tokio::test]
async fn nothing_that_finds_a_login_is_a_session() {
    for told in [Told::on_memory(), Told::on_sqlite().await] {
        let (_, sid) = told.log_in_somewhere("alice").await;
        told.log_in_somewhere("bob").await;
        told.end_sid(&sid).await;
        let records = told.sessions.token_records().await;
        assert_eq!(records.len(), 7, "two token records, two lists each, and a used token");
        for before in records {
            let guarded = told.refresher.session_store();
            assert_eq!(guarded.load(&before.id).await.unwrap(), None);
            let session = told.session(before.id);
            assert_eq!(shown_pointer(&session).await, None);
            let error = told.refresher.valid_token(&session).await.unwrap_err();
            assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
            let forged = Record { data: [("a".into(), 1.into())].into(), ..before.clone() };
            guarded.save(&forged).await.unwrap();
            told.refresher.log_out(&session, Logout::EndSession).await.unwrap();
            assert_eq!(told.sessions.peek(before.id).await, Some(before), "and harms nothing");
        }
    }
}

#[tokio::test]
async fn a_list_shows_neither_its_name_nor_a_session_nor_a_login() {
    let told = Told::on_memory();
    let (id, sid) = told.log_in_somewhere("alice").await;
    let grant = told.pointer(id).await.unwrap();
    assert_eq!(sizes(&told).await, [1, 1]);
    for list in lists(&told).await {
        assert_eq!(list.data.len(), 1);
        let shown = format!("{list:?}");
        let subject = told.issuer.subject_of("alice");
        for secret in [&sid, &subject, &grant, &id.to_string()] {
            assert!(!shown.contains(secret.as_str()), "{shown}");
        }
    }
}

#[tokio::test]
async fn it_lasts_as_long_as_the_token_records_that_it_finds() {
    let told = Told::on_memory();
    for life in [1, 24 * 60, 24] {
        let session = told.session_with(None, Some(Expiry::OnInactivity(hours(life))));
        told.log_in_on(&session, "alice").await;
        let id = session.id().unwrap();
        assert_lists_last(&told).await;
        told.expire();
        let again = told.session_with(Some(id), Some(Expiry::OnInactivity(hours(life))));
        told.refresher.valid_token(&again).await.expect("refreshed");
        assert_lists_last(&told).await;
    }
}

/// Each list lasts at least as long as every token record of one user.
async fn assert_lists_last(told: &Told) {
    let lists = lists(told).await;
    let records = told.sessions.token_records().await;
    let longest = records.iter().filter(|record| !lists.contains(record));
    let longest = longest.map(|record| record.expiry_date).max().unwrap();
    let by_user = lists
        .iter()
        .max_by_key(|list| list.data[support::sessions::MARK].as_array().unwrap().len());
    assert!(by_user.unwrap().expiry_date >= longest);
}

// A store may keep what has expired under its id for a while.
#[tokio::test]
async fn when_its_time_is_over_it_finds_nobody_and_begins_anew() {
    for told in [Told::on_memory(), Told::on_sqlite().await] {
        let (id, sid) = told.log_in_somewhere("alice").await;
        for mut list in lists(&told).await {
            list.expiry_date = OffsetDateTime::UNIX_EPOCH;
            told.sessions.overwrite(&list).await;
        }
        assert_eq!(told.end_sid(&sid).await.status, 200);
        assert!(told.stored_tokens(id).await.is_live(), "not found");

        let again = told.log_in_with(told.issuer.log_in_again(&sid)).await;
        let (elsewhere, _) = told.log_in_somewhere("alice").await;
        assert_eq!(told.end_sid(&sid).await.status, 200);
        told.assert_ended(again).await;
        assert_eq!(told.end_user("alice").await.status, 200);
        told.assert_ended(elsewhere).await;
    }
}

#[tokio::test]
async fn a_list_holds_a_hundred_logins_and_the_oldest_goes_first() {
    let told = Told::on_memory();
    let (oldest, _) = told.log_in_somewhere("alice").await;
    for _ in 0..100 {
        told.log_in_somewhere("alice").await;
    }
    assert_eq!(sizes(&told).await.into_iter().max(), Some(100));
    assert_eq!(told.end_user("alice").await.status, 200);
    assert!(told.stored_tokens(oldest).await.is_live(), "the oldest is not found");
}

#[tokio::test]
async fn a_refresh_notes_a_login_again_that_got_lost() {
    let told = Told::on_memory();
    let (id, sid) = told.log_in_somewhere("alice").await;
    for list in lists(&told).await {
        told.sessions.vanish(list.id).await;
    }
    assert_eq!(told.end_sid(&sid).await.status, 200);
    assert!(told.stored_tokens(id).await.is_live(), "not found");

    told.refresh(id).await;
    settle().await;
    assert_eq!(told.end_sid(&sid).await.status, 200);
    told.assert_ended(id).await;
}

/// Each refresh writes the mark and the tokens, and nothing else.
#[tokio::test]
async fn a_refresh_does_not_write_what_is_known() {
    let sessions = ScriptedSessions::new(MemoryStore::default()).scripting_token_records();
    let tokens = ScriptedTokens::new(InSessions::new(sessions.clone()));
    let told = Told::over(sessions, tokens, |builder| builder);
    let (id, _) = told.log_in_somewhere("alice").await;
    // The first one notes it for some time to come.
    told.refresh(id).await;
    let writes = || (told.sessions.calls(Op::Save), told.sessions.calls(Op::Create));
    let (saves, creates) = writes();
    for _ in 0..3 {
        told.refresh(id).await;
    }
    assert_eq!(writes(), (saves + 6, creates));
    assert_eq!(told.tokens.calls(TokenOp::Put), 4);
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let told = Told::on_memory();
    let build = |endpoint: TokenEndpoint, key: &[u8]| {
        TokenRefresher::builder(endpoint, MemoryStore::default()).back_channel_logout(key).build()
    };
    let rule = |built: Result<TokenRefresher, ConfigError>| built.expect_err("refused").to_string();
    assert!(rule(build(endpoint(&told.issuer), &[7; 31])).contains("at least 32 bytes"));
    let bare = TokenEndpoint::new(told.issuer.token_url(), ClientAuth::basic("web", "secret"));
    let nameless = bare.clone().jwks_url(told.issuer.jwks_url());
    let keyless = bare.issuer(told.issuer.issuer_url());
    for (endpoint, missing) in [(keyless, "jwks_url"), (nameless, "issuer")] {
        let built = build(endpoint.transport(told.issuer.transport()), &told.key);
        assert!(rule(built).contains(missing));
    }

    // All time-outs are added up, and more than once.
    let too_long = endpoint(&told.issuer).request_timeout(Duration::MAX);
    assert!(rule(build(too_long, &told.key)).contains("must be at most 1 day"));
    let a_day = Duration::from_secs(24 * 60 * 60);
    let policy = RefreshPolicy::default().store_timeout(a_day).wait_timeout(a_day);
    let limits = ProviderLimits::default().attempts(10);
    let longest = endpoint(&told.issuer).request_timeout(a_day).limits(limits);
    let builder = TokenRefresher::builder(longest, MemoryStore::default());
    builder.policy(policy).back_channel_logout(told.key).build().expect("the longest of all");

    let without =
        TokenRefresher::builder(endpoint(&told.issuer), MemoryStore::default()).build().unwrap();
    assert!(without.back_channel_logout::<()>().is_err());
    assert!(without.end_by_logout_token("token").await.is_err());
}

/// The names of a login come with its tokens: those of its ID token, or of its response.
#[tokio::test]
async fn a_login_without_a_session_at_the_provider_is_found_by_its_user() {
    let told = Told::on_memory();
    let subject = told.issuer.subject_of("alice");
    let id_token = told.issuer.sign_jwt(json!({}), &json!({ "sub": subject }));
    let tokens: Value = json!({
        "access_token": "opaque", "token_type": "Bearer", "expires_in": 60, "id_token": id_token,
    });
    let session = told.session_with(None, None);
    let set = TokenSet::from_response(tokens).unwrap();
    told.refresher.log_in(&session, set).await.unwrap();
    assert_eq!(sizes(&told).await, [1]);
    assert_eq!(told.end_user("alice").await.status, 200);
    told.assert_ended(session.id().unwrap()).await;
}
