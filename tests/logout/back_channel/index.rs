//! The index: what it holds, for how long, and that nobody takes it for a session.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tower_sessions::{
    Expiry, MemoryStore, Session, SessionStore,
    session::{Id, Record},
};
use tower_token_refresh::{
    ConfigError, Logout, RefreshErrorKind, TokenRefresher, TokenSet, testing::StrictIssuer,
    tower_sessions,
};

use crate::{
    support::{StoredTokens, settle, Op},
    world::{Told, endpoint, on_each_store, post_to, refresher, sid_of},
};

const MARK: &str = "tower_token_refresh.no_session";

/// How many logins each of the index's records holds.
async fn sizes(told: &Told) -> Vec<usize> {
    let records = told.index_records().await;
    records.iter().map(|record| record.data[MARK].as_array().expect("a list").len()).collect()
}

fn homes(record: &Record) -> Vec<&str> {
    let logins = record.data[MARK].as_array().expect("a list");
    logins.iter().map(|login| login["home"].as_str().expect("an id")).collect()
}

async fn log_in_for(told: &Told, life: Duration) -> Id {
    let expiry = Expiry::OnInactivity(life.try_into().unwrap());
    let session = told.session_with(None, Some(expiry));
    told.log_in_on(&session, "alice").await;
    session.id().unwrap()
}

fn minutes(count: i64) -> tower_sessions::cookie::time::Duration {
    tower_sessions::cookie::time::Duration::minutes(count)
}

on_each_store! {
    async fn a_login_is_found_by_its_session_and_by_its_user(told: Told) {
        let (id, _) = told.log_in_somewhere("alice").await;
        let records = told.index_records().await;
        assert_eq!(records.len(), 2);
        for record in &records {
            assert_eq!(homes(record), [id.to_string()]);
            assert_eq!(record.data.len(), 1, "and nothing else lies there");
        }
    }

    async fn it_follows_a_new_session_id(told: Told) {
        let (old, sid) = told.log_in_somewhere("alice").await;
        let session = told.request(old).await;
        session.cycle_id().await.unwrap();
        session.save().await.unwrap();
        let new = session.id().unwrap();
        for record in told.index_records().await {
            assert_eq!(homes(&record), [new.to_string()]);
        }
        let other_process = told.restarted();
        let answer = post_to(&other_process, &told.issuer.logout_token(None, Some(&sid))).await;
        assert_eq!(answer.status, 200);
        assert!(told.stored(new).await.is_none());
    }

    async fn an_id_of_the_index_is_no_session(told: Told) {
        told.log_in_somewhere("alice").await;
        let records = told.index_records().await;
        assert_eq!(records.len(), 2);
        for before in records {
            let guarded = told.refresher.session_store();
            assert!(guarded.load(&before.id).await.unwrap().is_none());

            let session = told.session(before.id);
            let error = told.refresher.valid_token(&session).await.unwrap_err();
            assert_eq!(error.kind(), RefreshErrorKind::NoTokens);
            assert!(session.get_value(MARK).await.unwrap().is_none());
            session.insert("key", 1).await.unwrap();
            session.save().await.unwrap();
            assert_ne!(session.id(), Some(before.id), "it gets an id of its own");

            guarded.delete(&before.id).await.unwrap();
            let forged = Record { id: before.id, data: [("a".into(), 1.into())].into(), expiry_date: before.expiry_date };
            guarded.save(&forged).await.unwrap();
            told.session(before.id).flush().await.unwrap();
            told.refresher.log_out(&told.session(before.id), Logout::EndSession).await.unwrap();
            assert_eq!(told.index.peek(before.id).await, Some(before), "and harms nothing");
        }
    }

    async fn a_log_out_takes_the_login_out(told: Told) {
        let (id, sid) = told.log_in_somewhere("alice").await;
        let other = told.log_in_with(told.issuer.log_in_again(&sid)).await;
        assert_eq!(sizes(&told).await, [2, 2]);
        told.refresher.log_out(&told.session(id), Logout::EndSession).await.unwrap();
        for record in told.index_records().await {
            assert_eq!(homes(&record), [other.to_string()]);
        }
        told.refresher.log_out(&told.session(other), Logout::KeepSession).await.unwrap();
        assert!(told.index_records().await.is_empty());
    }

    async fn what_the_provider_ended_is_taken_out(told: Told) {
        let (_, sid) = told.log_in_somewhere("alice").await;
        let (other, _) = told.log_in_somewhere("alice").await;
        told.end_sid(&sid).await;
        let records = told.index_records().await;
        let left: Vec<_> = records.iter().flat_map(homes).collect();
        assert_eq!(left, [other.to_string(), other.to_string()]);
    }

    // The session ends half an hour after its last use. Its last use before a refresh may be at the token's end.
    async fn it_lasts_longer_than_its_sessions_and_not_for_ever(told: Told) {
        let short = log_in_for(&told, Duration::from_secs(30 * 60)).await;
        let session = told.stored(short).await.unwrap().expiry_date;
        for record in told.index_records().await {
            let longer = record.expiry_date - session;
            assert!(longer > minutes(59) && longer < minutes(61), "{longer}");
        }

        let long = log_in_for(&told, Duration::from_secs(10 * 60 * 60)).await;
        let session = told.stored(long).await.unwrap().expiry_date;
        let by_user = told.index_records().await.into_iter().find(|record| homes(record).len() == 2).unwrap();
        assert!(by_user.expiry_date > session + minutes(600), "as long as the longest");
    }

    // A store may keep what has expired under its id for a while.
    async fn when_its_time_is_over_it_finds_nobody_and_can_begin_anew(told: Told) {
        let (id, sid) = told.log_in_somewhere("alice").await;
        let records = told.index_records().await;
        assert_eq!(records.len(), 2);
        for mut record in records {
            record.expiry_date -= minutes(2 * 365 * 24 * 60);
            told.index.overwrite(&record).await;
        }
        assert!(told.index_records().await.is_empty());
        assert_eq!(told.end_sid(&sid).await.status, 200);
        assert!(matches!(told.stored_tokens(id).await, StoredTokens::Live { .. }), "not found");

        let again = told.log_in_with(told.issuer.log_in_again(&sid)).await;
        let (elsewhere, _) = told.log_in_somewhere("alice").await;
        assert_eq!(told.end_sid(&sid).await.status, 200);
        assert_eq!(told.stored_tokens(again).await, StoredTokens::NoRecord);
        assert_eq!(told.end_user("alice").await.status, 200);
        assert_eq!(told.stored_tokens(elsewhere).await, StoredTokens::NoRecord);
    }
}

#[tokio::test]
async fn a_login_whose_session_has_gone_is_taken_out_of_what_named_it() {
    let told = Told::on_memory();
    let (id, sid) = told.log_in_somewhere("alice").await;
    told.store.vanish(id).await;
    let token = told.issuer.logout_token(None, Some(&sid));
    assert_eq!(post_to(&told.restarted(), &token).await.status, 200);
    let mut sizes = sizes(&told).await;
    sizes.sort_unstable();
    assert_eq!(sizes, [0, 1], "the token that has been used, and the login by its user");
}

#[tokio::test]
async fn at_most_a_hundred_logins_of_a_user_are_kept() {
    let told = Told::on_memory();
    let (oldest, _) = told.log_in_somewhere("alice").await;
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(told.log_in_somewhere("alice").await.0);
    }
    assert_eq!(sizes(&told).await.into_iter().max(), Some(100));
    assert_eq!(told.end_user("alice").await.status, 200);
    assert!(
        matches!(told.stored_tokens(oldest).await, StoredTokens::Live { .. }),
        "the oldest is not found"
    );
    for id in ids {
        assert_eq!(told.stored_tokens(id).await, StoredTokens::NoRecord);
    }
}

/// Another process makes the record between this one's look and its own `create`, which the store then gives another id.
#[tokio::test]
async fn a_record_that_is_made_twice_at_once_leaves_no_other_behind() {
    let told = Told::on_memory();
    let tokens = told.issuer.log_in("alice");
    let again = told.issuer.log_in_again(&sid_of(&tokens));
    let create = told.index.gate_before(Op::Create);
    let session = told.session_with(None, None);
    let (refresher, set) = (told.refresher.clone(), TokenSet::from_response(tokens).unwrap());
    let logging_in = tokio::spawn(async move { refresher.log_in(&session, set).await });
    create.reached().await;
    let other = told.restarted();
    let elsewhere = Session::new(None, Arc::new(other.session_store()), None);
    other
        .log_in(&elsewhere, TokenSet::from_response(again).unwrap())
        .await
        .expect("logged in there");
    create.open();
    logging_in.await.unwrap().expect("logged in here");

    let mut sizes = sizes(&told).await;
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 2], "by their session the one that came last, by their user both");
}

#[tokio::test]
async fn those_whose_time_is_over_go_first() {
    let told = Told::on_memory();
    let (oldest, _) = told.log_in_somewhere("alice").await;
    let mut ids = Vec::new();
    for _ in 0..99 {
        ids.push(told.log_in_somewhere("alice").await.0);
    }
    let mut full =
        told.index_records().await.into_iter().find(|record| homes(record).len() == 100).unwrap();
    full.data.get_mut(MARK).unwrap().as_array_mut().unwrap()[50]["until"] = Value::from(1);
    told.index.overwrite(&full).await;

    told.log_in_somewhere("alice").await;
    let full = told.index.peek(full.id).await.unwrap();
    let homes = homes(&full);
    assert_eq!(homes.len(), 100);
    assert!(homes.contains(&oldest.to_string().as_str()));
    assert!(!homes.contains(&ids[49].to_string().as_str()));
}

#[tokio::test]
async fn a_refresh_notes_a_login_again_that_got_lost() {
    let told = Told::on_memory();
    let (id, sid) = told.log_in_somewhere("alice").await;
    for record in told.index_records().await {
        told.index.vanish(record.id).await;
    }
    assert_eq!(told.end_sid(&sid).await.status, 200);
    assert!(matches!(told.stored_tokens(id).await, StoredTokens::Live { .. }), "not found");

    told.refresh(id).await;
    settle().await;
    assert_eq!(told.end_sid(&sid).await.status, 200);
    assert_eq!(told.stored_tokens(id).await, StoredTokens::NoRecord);
}

/// The session lives on from the refresh, and the note with it.
#[tokio::test]
async fn a_refresh_notes_a_login_for_longer() {
    let told = Told::on_memory();
    let id = log_in_for(&told, Duration::from_secs(30 * 60)).await;
    told.expire();
    let ten_hours = Expiry::OnInactivity(minutes(600));
    told.refresher
        .valid_token(&told.session_with(Some(id), Some(ten_hours)))
        .await
        .expect("refreshed");
    settle().await;
    let session = told.stored(id).await.unwrap().expiry_date;
    let records = told.index_records().await;
    assert_eq!(records.len(), 2);
    for record in records {
        assert!(record.expiry_date > session, "{} {session}", record.expiry_date);
    }
}

#[tokio::test]
async fn a_refresh_does_not_write_what_is_known() {
    let told = Told::on_memory();
    let (id, _) = told.log_in_somewhere("alice").await;
    let writes = || told.index.calls(Op::Save) + told.index.calls(Op::Create);
    let before = writes();
    for _ in 0..3 {
        told.refresh(id).await;
        settle().await;
    }
    assert_eq!(writes(), before);
}

#[tokio::test]
async fn ids_depend_on_the_key() {
    let told = Told::on_memory();
    let (_, sid) = told.log_in_somewhere("alice").await;
    let other = TokenRefresher::builder(endpoint(&told.issuer), told.store.clone())
        .clock(told.clock.clock())
        .back_channel_logout(told.index.clone(), [8; 32])
        .build()
        .unwrap();
    let tokens = told.issuer.log_in_again(&sid);
    assert_eq!(sid_of(&tokens), sid);
    let session = Session::new(None, Arc::new(other.session_store()), None);
    other.log_in(&session, TokenSet::from_response(tokens).unwrap()).await.unwrap();
    assert_eq!(sizes(&told).await, [1, 1, 1, 1], "neither finds what the other noted");
}

/// A provider chooses all three; that two of them are the same text means nothing.
#[tokio::test]
async fn sessions_users_and_tokens_have_names_of_their_own() {
    let told = Told::on_memory();
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
        assert!(matches!(told.stored_tokens(id).await, StoredTokens::Live { .. }));
    }
    assert_eq!(told.end_user("alice").await.status, 200);
    assert_eq!(told.stored_tokens(id).await, StoredTokens::NoRecord, "still found by her own name");
}

/// One index may serve the refreshers of several providers.
#[tokio::test]
async fn a_name_is_another_one_at_another_provider() {
    let told = Told::on_memory();
    let ours = told.issuer.issuer_url();
    let other =
        StrictIssuer::builder().clock(told.clock.clock()).issuer_url(&format!("{ours}-of")).build();
    let its_refresher =
        refresher(&other, &told.clock, &told.store, (&told.index, told.index_key), |builder| {
            builder
        });

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
        assert!(matches!(told.stored_tokens(id).await, StoredTokens::Live { .. }));
    }
    assert_eq!(told.end_sid("-of-alice").await.status, 200);
    assert_eq!(told.stored_tokens(id).await, StoredTokens::NoRecord);
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let told = Told::on_memory();
    let build = |endpoint, index: Option<MemoryStore>, key: &[u8]| {
        let builder = TokenRefresher::builder(endpoint, MemoryStore::default());
        match index {
            Some(store) => builder.back_channel_logout(store, key).build(),
            None => builder.back_channel_logout(told.refresher.session_store(), key).build(),
        }
    };
    let rule = |built: Result<TokenRefresher, ConfigError>| built.expect_err("refused").to_string();
    let store = || Some(MemoryStore::default());
    assert!(rule(build(endpoint(&told.issuer), store(), &[7; 31])).contains("at least 32 bytes"));
    assert!(rule(build(endpoint(&told.issuer), None, &told.index_key)).contains("guarded"));
    let keyless = tower_token_refresh::TokenEndpoint::new(
        told.issuer.token_url(),
        tower_token_refresh::ClientAuth::basic("web", "secret"),
    );
    let nameless =
        keyless.clone().jwks_url(told.issuer.jwks_url()).transport(told.issuer.transport());
    let keyless = keyless.issuer(told.issuer.issuer_url()).transport(told.issuer.transport());
    assert!(rule(build(keyless, store(), &told.index_key)).contains("jwks_url"));
    assert!(rule(build(nameless, store(), &told.index_key)).contains("issuer"));

    let without =
        TokenRefresher::builder(endpoint(&told.issuer), MemoryStore::default()).build().unwrap();
    assert!(without.back_channel_logout::<()>().is_err());
    assert!(without.end_by_logout_token("token").await.is_err());
}
