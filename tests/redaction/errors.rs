//! `Display` and `Debug` of errors and of all their sources.

use async_trait::async_trait;
use serde_json::{Value, json};
use support::{Op, TokenOp, World, sessions::MARK, variants::session_at};
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
    session_store,
};
use tower_token_refresh::{
    ClaimsTrust, ClientAuth, Logout, RefreshError, RefreshErrorKind, TokenEndpoint, TokenSet,
    testing::{Endpoint, StrictIssuer},
    tower_sessions,
};

use super::{CLIENT_SECRET, FREE_TEXT, Secrets, refresher, with_keys, world};

async fn error_of(world: &World, id: Id) -> RefreshError {
    world.refresher.valid_token(&world.session(id)).await.expect_err("no token")
}

#[tokio::test(start_paused = true)]
async fn no_error_shows_a_secret_or_the_providers_free_text() {
    let world = world();
    let id = world.log_in("alice").await;
    let error_text = json!({ "error": FREE_TEXT, "error_description": FREE_TEXT }).to_string();
    let mut errors: Vec<RefreshError> = Vec::new();
    for status in [429, 500, 503, 400, 401, 403] {
        world.expire();
        world.issuer.fail_next(status, error_text.clone());
        if matches!(status, 429 | 503) {
            world.issuer.fail_next(status, error_text.clone());
        }
        errors.push(error_of(&world, id).await);
    }
    let answers = [
        format!("{{\"access_token\": {FREE_TEXT}"),
        json!({ "access_token": 7, "token_type": FREE_TEXT }).to_string(),
    ];
    for answer in answers {
        world.expire();
        world.issuer.fail_next(200, answer);
        errors.push(error_of(&world, id).await);
    }
    world.expire();
    world.issuer.drop_answer_next();
    errors.push(error_of(&world, id).await);
    world.sessions.fail_next(Op::Load);
    errors.push(error_of(&world, id).await);
    world.tokens.refuse_everything(true);
    errors.push(error_of(&world, id).await);
    let session = world.session_with(None, None);
    let log_in = world.refresher.log_in(&session, world.token_set("alice")).await;
    errors.push(log_in.expect_err("no token store"));
    let secrets = Secrets::of(&world.issuer).and_ids(&world, id).await;
    let log_out = world.refresher.log_out(&world.session(id), Logout::EndSession).await;
    errors.push(log_out.expect_err("no token store"));
    for error in &errors {
        secrets.assert_absent_in_error(error);
    }
    let response = json!({ "access_token": [FREE_TEXT], "token_type": FREE_TEXT });
    let set = TokenSet::from_response(response);
    secrets.assert_absent_in_error(&set.expect_err("no access token"));
}

#[tokio::test]
async fn no_error_of_a_pointer_or_a_record_that_cannot_be_read_shows_it() {
    let spoiled: [fn(&mut Value); 5] = [
        |record| record["v"] = json!(9),
        |record| record["state"] = json!(FREE_TEXT),
        |record| record["tokens"] = json!({ "access_token": [FREE_TEXT] }),
        |record| record["sealed"] = json!(FREE_TEXT),
        |record| *record = json!(FREE_TEXT),
    ];
    for spoil in spoiled {
        let world = world();
        let id = world.log_in("alice").await;
        let mut stored = world.sessions.token_records().await.pop().expect("a token record");
        let text = stored.data[MARK].as_str().expect("a text");
        let mut record = serde_json::from_str(text).expect("JSON");
        spoil(&mut record);
        stored.data.insert(MARK.into(), record.to_string().into());
        world.sessions.overwrite(&stored).await;
        let restarted = refresher(&world, Some(world.issuer.transport()), |builder| builder);
        let error = restarted.valid_token(&session_at(&restarted, id)).await;
        let secrets = Secrets::of(&world.issuer).and_ids(&world, id).await;
        secrets.assert_absent_in_error(&error.expect_err("unreadable"));
    }

    let world = world();
    let id = world.log_in("alice").await;
    let secrets = Secrets::of(&world.issuer).and_ids(&world, id).await;
    let mut session = world.stored(id).await.expect("a session");
    let pointer = session.data[support::KEY].as_str().expect("a pointer").to_owned();
    for broken in [pointer.replacen("g1", "g9", 1), format!("{pointer}0"), FREE_TEXT.to_owned()] {
        session.data.insert(support::KEY.into(), broken.into());
        world.sessions.overwrite(&session).await;
        secrets.assert_absent_in_error(&error_of(&world, id).await);
    }
}

#[tokio::test]
async fn no_error_of_tokens_that_no_key_opens_shows_them_or_a_key() {
    let world = world();
    let sealing = refresher(&world, Some(world.issuer.transport()), with_keys);
    let keyless = world.refresher.clone();
    let world = World { refresher: sealing, ..world };
    let id = world.log_in("alice").await;
    let error = keyless.valid_token(&session_at(&keyless, id)).await.expect_err("sealed shut");
    Secrets::of(&world.issuer).and_ids(&world, id).await.assert_absent_in_error(&error);
}

/// A store whose words quote what it could not decode.
#[derive(Clone, Debug)]
struct Quotes;

#[async_trait]
impl SessionStore for Quotes {
    async fn create(&self, _: &mut Record) -> session_store::Result<()> {
        Err(session_store::Error::Encode(FREE_TEXT.into()))
    }

    async fn save(&self, _: &Record) -> session_store::Result<()> {
        Err(session_store::Error::Encode(FREE_TEXT.into()))
    }

    async fn load(&self, _: &Id) -> session_store::Result<Option<Record>> {
        Err(session_store::Error::Decode(FREE_TEXT.into()))
    }

    async fn delete(&self, _: &Id) -> session_store::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_error_repeats_what_a_store_says_of_a_record_that_it_could_not_read() {
    let world = World::on(Quotes, |builder| builder);
    let session = world.session_with(None, None);
    let log_in = world.refresher.log_in(&session, world.token_set("alice")).await;
    let secrets = Secrets::of(&world.issuer);
    secrets.assert_absent_in_error(&log_in.expect_err("it cannot encode"));
    secrets.assert_absent_in_error(&error_of(&world, Id::default()).await);
}

#[tokio::test]
async fn no_error_of_a_verification_shows_the_token_or_the_keys() {
    let world = world();
    let issuer = &world.issuer;
    let claims = json!({ "iss": issuer.issuer_url(), "sub": FREE_TEXT, "exp": 2_000_000_300 });
    let signed = issuer.sign_jwt(json!({}), &claims);
    let bad_tokens = [
        format!("{}.", signed.rsplit_once('.').expect("a JWT").0),
        issuer.sign_jwt(json!({ "kid": FREE_TEXT }), &claims),
        issuer.sign_jwt(json!({ "alg": FREE_TEXT }), &claims),
        issuer.sign_jwt(json!({ "typ": FREE_TEXT }), &claims),
        issuer.sign_jwt(json!({}), &json!({ "iss": FREE_TEXT, "exp": FREE_TEXT })),
        FREE_TEXT.to_owned(),
    ];
    let secrets = Secrets([&[FREE_TEXT.to_owned(), signed.clone()], &bad_tokens[..]].concat());
    for token in bad_tokens {
        secrets.assert_absent_in_error(&verification_error(&world, token).await);
    }
    for (status, body) in [(200, FREE_TEXT), (200, "{\"keys\":7}"), (500, FREE_TEXT)] {
        issuer.fail_next_at(Endpoint::Jwks, status, body);
        secrets.assert_absent_in_error(&verification_error(&world, signed.clone()).await);
    }
}

async fn verification_error(world: &World, access_token: String) -> RefreshError {
    let verifying = refresher(world, Some(world.issuer.transport()), |builder| {
        builder.claims_trust(ClaimsTrust::Verified { audience: None })
    });
    let session = world.session_with(None, None);
    let response =
        json!({ "access_token": access_token, "token_type": "Bearer", "expires_in": 60 });
    let set = TokenSet::from_response(response).expect("a token set");
    verifying.log_in(&session, set).await.expect("logged in");
    let token = verifying.valid_token(&session).await.expect("fresh");
    token.verify().await.expect_err("it does not verify")
}

#[tokio::test]
async fn no_error_of_a_login_that_changed_its_user_shows_who() {
    let world = world();
    let id = world.log_in("alice").await;
    world.issuer.switch_user_next(FREE_TEXT);
    world.expire();
    let error = error_of(&world, id).await;
    assert_eq!(error.kind(), RefreshErrorKind::SubjectChanged);
    Secrets::of(&world.issuer).and_ids(&world, id).await.assert_absent_in_error(&error);
}

#[tokio::test]
async fn no_error_of_discovery_shows_the_document_or_a_secret() {
    let issuer = StrictIssuer::builder().client("web", CLIENT_SECRET).build();
    assert!(issuer.log_in("alice").is_object());
    let secrets = Secrets::of(&issuer);
    let document = json!({ "issuer": issuer.issuer_url(), "token_endpoint": 7, "note": FREE_TEXT })
        .to_string();
    for (status, body) in
        [(500, FREE_TEXT.to_owned()), (404, FREE_TEXT.to_owned()), (200, document)]
    {
        issuer.fail_next_at(Endpoint::Discovery, status, body);
        let auth = ClientAuth::basic("web", CLIENT_SECRET);
        let discovered =
            TokenEndpoint::discover(issuer.issuer_url(), auth).transport(issuer.transport()).await;
        secrets.assert_absent_in_error(&discovered.expect_err("no document"));
    }
}

#[tokio::test]
async fn no_error_of_a_logout_token_shows_it() {
    let world = world();
    let refresher = refresher(&world, Some(world.issuer.transport()), with_keys);
    let good = world.issuer.logout_token(Some("alice"), None);
    let mut claims = world.issuer.logout_claims(Some("alice"), None);
    claims["aud"] = json!(FREE_TEXT);
    let bad = [
        format!("{}.", good.rsplit_once('.').expect("a JWT").0),
        world.issuer.sign_jwt(json!({ "typ": FREE_TEXT }), &claims),
        world.issuer.sign_jwt(json!({ "typ": "logout+jwt" }), &claims),
        FREE_TEXT.to_owned(),
    ];
    let secrets = Secrets([&[FREE_TEXT.to_owned(), good], &bad[..]].concat());
    for token in bad {
        let refused = refresher.end_by_logout_token(&token).await.expect_err("refused");
        secrets.assert_absent_in_error(&refused);
    }
    world.tokens.refuse(TokenOp::Find);
    let good = world.issuer.logout_token(Some("alice"), None);
    let failed = refresher.end_by_logout_token(&good).await.expect_err("no token store");
    secrets.assert_absent_in_error(&failed);
}
