//! No token, secret or session id is ever printed.

use std::{error::Error, fmt::Debug, sync::Arc};

use http::{Request, StatusCode, header};
use serde_json::json;
use support::{LIFE, Op, World, log::Log};
use tower::{Layer, ServiceExt};
use tower_sessions::{MemoryStore, Session, session::Id};
use tower_token_refresh::{
    AccessToken, ClaimsTrust, ClientAuth, Logout, RefreshError, RefreshErrorKind, TokenEndpoint,
    TokenRefreshLayer, TokenRefresher, TokenSet, Transport,
    testing::{Endpoint, ManualClock, StrictIssuer},
    token_store::SealKeys,
    tower_sessions,
};

const CLIENT_SECRET: &str = "client-secret-that-nobody-sees";
const FREE_TEXT: &str = "the-providers-free-text-quotes-a-token";

/// Everything that must not be seen.
struct Secrets(Vec<String>);

impl Secrets {
    fn of(issuer: &StrictIssuer) -> Self {
        let mut secrets = issuer.every_secret();
        assert!(secrets.len() >= 3, "there are tokens to look for");
        secrets.extend([CLIENT_SECRET.to_owned(), FREE_TEXT.to_owned()]);
        Self(secrets)
    }

    fn and(mut self, id: Id) -> Self {
        self.0.extend([id.to_string(), id.0.to_string()]);
        self
    }

    #[track_caller]
    fn assert_absent_in(&self, what: &str, text: &str) {
        for secret in &self.0 {
            // Of a JWT the payload alone is bad enough.
            for part in secret.split('.').filter(|part| part.len() > 16).chain([secret.as_str()]) {
                assert!(!text.contains(part), "{what} shows a secret: {text}");
            }
        }
    }

    #[track_caller]
    fn assert_absent_in_debug(&self, what: &str, value: &impl Debug) {
        self.assert_absent_in(what, &format!("{value:?} {value:#?}"));
    }

    #[track_caller]
    fn assert_absent_in_error(&self, error: &(dyn Error + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.assert_absent_in("an error", &format!("{error} {error:?} {error:#?}"));
            next = error.source();
        }
    }
}

fn issuer(clock: &ManualClock) -> StrictIssuer {
    StrictIssuer::builder()
        .clock(clock.clock())
        .client("web", CLIENT_SECRET)
        .access_token_lifetime(LIFE)
        .build()
}

fn refresher(
    issuer: &StrictIssuer,
    clock: &ManualClock,
    transport: Option<Transport>,
) -> TokenRefresher {
    let endpoint = TokenEndpoint::new(issuer.token_url(), ClientAuth::basic("web", CLIENT_SECRET))
        .issuer(issuer.issuer_url())
        .revocation_url(issuer.revocation_url())
        .jwks_url(issuer.jwks_url());
    let endpoint = match transport {
        Some(transport) => endpoint.transport(transport),
        None => endpoint,
    };
    TokenRefresher::builder(endpoint, MemoryStore::default())
        .clock(clock.clock())
        .build()
        .expect("the settings agree")
}

#[tokio::test]
async fn no_debug_of_a_public_type_shows_a_secret() {
    let clock = ManualClock::new();
    let issuer = issuer(&clock);
    let refresher = refresher(&issuer, &clock, Some(issuer.transport()));
    let session = Session::new(None, Arc::new(refresher.session_store()), None);
    let set = TokenSet::from_response(issuer.log_in("alice")).expect("a token set");
    let printed_set = format!("{set:?} {set:#?}");
    refresher.log_in(&session, set).await.expect("logged in");
    clock.advance(LIFE);
    let token: AccessToken = refresher.valid_token(&session).await.expect("refreshed");
    let claims = token.claims::<tower_token_refresh::StandardClaims>().expect("a JWT");

    let secrets = Secrets::of(&issuer).and(session.id().expect("saved"));
    secrets.assert_absent_in("TokenSet", &printed_set);
    secrets.assert_absent_in_debug("AccessToken", &token);
    secrets.assert_absent_in_debug("AccessToken::header", &token.header());
    secrets.assert_absent_in_debug("StandardClaims", &claims);
    secrets.assert_absent_in_debug("TokenRefresher", &refresher);
    secrets.assert_absent_in_debug("GuardedStore", &refresher.session_store());
    secrets.assert_absent_in_debug("SessionManagerLayer", &refresher.session_layer());
    secrets.assert_absent_in_debug("TokenRefreshLayer", &TokenRefreshLayer::new(&refresher));
    secrets.assert_absent_in_debug("ClientAuth", &ClientAuth::basic("web", CLIENT_SECRET));
    secrets.assert_absent_in_debug("ClientAuth", &ClientAuth::post("web", CLIENT_SECRET));
    let endpoint =
        TokenEndpoint::new("https://id.example.com/token", ClientAuth::post("web", CLIENT_SECRET));
    secrets.assert_absent_in_debug("TokenEndpoint", &endpoint);
    secrets.assert_absent_in_debug(
        "TokenRefresherBuilder",
        &TokenRefresher::builder(endpoint, MemoryStore::default()),
    );
    secrets.assert_absent_in_debug("StrictIssuer", &issuer);
    secrets.assert_absent_in_debug("Transport", &issuer.transport());
    let discover =
        TokenEndpoint::discover("https://id.example.com", ClientAuth::basic("web", CLIENT_SECRET));
    secrets.assert_absent_in_debug("Discover", &discover);
    let service = TokenRefreshLayer::new(&refresher).layer(axum::Router::<()>::new());
    secrets.assert_absent_in_debug("TokenRefreshService", &service);
    secrets.assert_absent_in_debug("Usage", &refresher.usage());
    let logged_out = refresher.log_out(&session, Logout::EndSession).await.expect("logged out");
    assert!(logged_out.id_token().is_some());
    secrets.assert_absent_in_debug("LogoutOutcome", &logged_out);
}

#[tokio::test]
async fn a_printed_session_shows_no_token_where_entries_are_sealed() {
    let world = World::on_memory_sealed();
    let session = world.session_with(None, None);
    world.log_in_on(&session, "alice").await;
    let id = session.id().expect("saved");
    let (read, changed) = (world.request(id).await, world.request(id).await);
    changed.insert("cart", 3).await.expect("loaded");
    world.expire();
    for refreshed in [&read, &changed] {
        world.refresher.valid_token(refreshed).await.expect("refreshed");
    }
    let secrets = Secrets::of(&world.issuer);
    for session in [&session, &read, &changed] {
        secrets.assert_absent_in_debug("Session", session);
    }
    secrets.assert_absent_in_debug("Record", &world.stored(id).await.expect("a record"));
}

#[tokio::test]
async fn neither_keys_nor_what_is_wrong_with_them_are_printed() {
    let key = "c2VhbC1rZXktdGhhdC1ub2JvZHktZXZlci1zZWVzISE=";
    let keys = token_store::SealKeys::from_base64(key).expect("a key");
    let endpoint = TokenEndpoint::new("https://id.example.com/token", ClientAuth::none("web"));
    let builder = TokenRefresher::builder(endpoint, MemoryStore::default()).seal_with(keys.clone());
    let secrets = Secrets(vec![key.into(), "seal-key-that-nobody-ever-sees!!".into()]);
    secrets.assert_absent_in_debug("token_store::SealKeys", &keys);
    secrets.assert_absent_in_debug("TokenRefresherBuilder", &builder);
    secrets.assert_absent_in_debug("TokenRefresher", &builder.build().expect("the settings agree"));
    for wrong in [&key[..40], &key[..43].replace('c', "!"), &format!("{key},{key}{key}")] {
        secrets.assert_absent_in_error(
            &token_store::SealKeys::from_base64(wrong).expect_err("no key"),
        );
    }
}

#[tokio::test(start_paused = true)]
async fn no_error_shows_a_secret_or_the_providers_free_text() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let error_text = json!({ "error": FREE_TEXT, "error_description": FREE_TEXT }).to_string();
    let mut errors: Vec<RefreshError> = Vec::new();
    for status in [429, 500, 503, 400, 401, 403] {
        world.expire();
        world.issuer.fail_next(status, error_text.clone());
        if matches!(status, 429 | 503) {
            world.issuer.fail_next(status, error_text.clone());
        }
        errors.push(
            world.refresher.valid_token(&world.session(id)).await.expect_err("the provider fails"),
        );
    }
    world.issuer.fail_next(200, format!("{{\"access_token\": {FREE_TEXT}"));
    errors.push(world.refresher.valid_token(&world.session(id)).await.expect_err("not JSON"));
    world.expire();
    world.issuer.fail_next(200, json!({ "access_token": 7, "token_type": FREE_TEXT }).to_string());
    errors.push(world.refresher.valid_token(&world.session(id)).await.expect_err("no token"));
    world.issuer.drop_answer_next();
    errors.push(world.refresher.valid_token(&world.session(id)).await.expect_err("no answer"));
    world.sessions.fail_next(Op::Load);
    errors.push(world.refresher.valid_token(&world.session(id)).await.expect_err("no store"));

    let mut record = world.stored(id).await.expect("a record");
    let entry = record.data[support::KEY].as_str().expect("a string").to_owned();
    for broken in [
        entry.replacen("s1", "s9", 1),
        entry.replace("access_token", "axxess_token"),
        format!("s1.{entry}"),
    ] {
        record.data.insert(support::KEY.into(), broken.into());
        world.sessions.overwrite(&record).await;
        errors.push(
            world
                .restarted()
                .valid_token(&restarted_session(&world, id))
                .await
                .expect_err("unreadable"),
        );
    }
    let secrets = Secrets::of(&world.issuer).and(id);
    for error in &errors {
        secrets.assert_absent_in_error(error);
    }
    let set =
        TokenSet::from_response(json!({ "access_token": FREE_TEXT, "token_type": FREE_TEXT }));
    secrets.assert_absent_in_error(&set.expect_err("not a bearer token"));
}

#[tokio::test]
async fn no_error_of_a_verification_shows_the_token_or_the_keys() {
    let clock = ManualClock::new();
    let issuer = issuer(&clock);
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
        secrets.assert_absent_in_error(&verification_error(&issuer, &clock, token).await);
    }
    for (status, body) in [(200, FREE_TEXT), (200, "{\"keys\":7}"), (500, FREE_TEXT)] {
        issuer.fail_next_at(Endpoint::Jwks, status, body);
        secrets.assert_absent_in_error(&verification_error(&issuer, &clock, signed.clone()).await);
    }
}

async fn verification_error(
    issuer: &StrictIssuer,
    clock: &ManualClock,
    access_token: String,
) -> RefreshError {
    let endpoint = TokenEndpoint::new(issuer.token_url(), ClientAuth::basic("web", CLIENT_SECRET))
        .issuer(issuer.issuer_url())
        .jwks_url(issuer.jwks_url())
        .transport(issuer.transport());
    let refresher = TokenRefresher::builder(endpoint, MemoryStore::default())
        .claims_trust(ClaimsTrust::Verified)
        .clock(clock.clock())
        .build()
        .expect("the settings agree");
    let session = Session::new(None, Arc::new(refresher.session_store()), None);
    let response =
        json!({ "access_token": access_token, "token_type": "Bearer", "expires_in": 60 });
    let set = TokenSet::from_response(response).expect("a token set");
    refresher.log_in(&session, set).await.expect("logged in");
    let token = refresher.valid_token(&session).await.expect("fresh");
    token.verify().await.expect_err("it does not verify")
}

#[tokio::test]
async fn no_error_of_a_login_that_changed_its_user_shows_who() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.issuer.switch_user_next(FREE_TEXT);
    world.expire();
    let error = world.refresher.valid_token(&world.session(id)).await.expect_err("somebody else");
    assert_eq!(error.kind(), RefreshErrorKind::SubjectChanged);
    Secrets::of(&world.issuer).and(id).assert_absent_in_error(&error);
}

fn restarted_session(world: &World, id: Id) -> Session {
    Session::new(Some(id), Arc::new(world.refresher.session_store()), None)
}

#[tokio::test]
async fn no_error_of_discovery_shows_the_document_or_a_secret() {
    let issuer = issuer(&ManualClock::new());
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

/// With the default transport, over a socket: what hyper and reqwest say counts as well.
#[tokio::test]
async fn nothing_that_is_traced_shows_a_secret() {
    let captured = Log::of_this_process();
    let clock = ManualClock::new();
    let server = issuer(&clock).serve().await.expect("a loopback port");
    let issuer = server.issuer();
    let refresher = refresher(issuer, &clock, None);
    let app = axum::Router::new()
        .route("/", axum::routing::get(async |_: AccessToken| StatusCode::OK))
        .layer(TokenRefreshLayer::new(&refresher))
        .layer(refresher.session_layer());

    let session = Session::new(None, Arc::new(refresher.session_store()), None);
    let set = TokenSet::from_response(issuer.log_in("alice")).expect("a token set");
    refresher.log_in(&session, set).await.expect("logged in");
    let id = session.id().expect("saved");
    let ask = async |app: &axum::Router| {
        let request = Request::get("/")
            .header(header::COOKIE, format!("id={id}"))
            .body(axum::body::Body::empty());
        app.clone().oneshot(request.expect("a request")).await.expect("infallible").status()
    };
    clock.advance(LIFE);
    assert_eq!(ask(&app).await, StatusCode::OK);
    clock.advance(LIFE);
    issuer.fail_next(500, FREE_TEXT);
    assert_eq!(ask(&app).await, StatusCode::SERVICE_UNAVAILABLE);
    clock.advance(LIFE);
    issuer.fail_next(
        400,
        json!({ "error": "invalid_scope", "error_description": FREE_TEXT }).to_string(),
    );
    assert_eq!(ask(&app).await, StatusCode::INTERNAL_SERVER_ERROR);
    // An ID token that does not verify, then somebody else's tokens.
    clock.advance(LIFE);
    issuer.edit_next(|answer| {
        let cut = answer["id_token"]
            .as_str()
            .expect("an ID token")
            .rsplit_once('.')
            .expect("a JWT")
            .0
            .to_owned();
        answer["id_token"] = json!(format!("{cut}."));
    });
    assert_eq!(ask(&app).await, StatusCode::OK);
    clock.advance(LIFE);
    issuer.switch_user_next(FREE_TEXT);
    assert_eq!(ask(&app).await, StatusCode::UNAUTHORIZED);
    refresher.log_out(&session, Logout::EndSession).await.expect("logged out");

    let text = captured.text();
    assert!(text.contains("token refresh landed"), "the refresh was traced");
    assert!(text.contains("token refresh failed"), "the failures were traced");
    assert!(text.contains("a refreshed ID token was dropped"), "and the ID token");
    assert!(text.contains("subject_changed"), "and the change of users");
    Secrets::of(issuer).and(id).assert_absent_in("the trace", &text);
}
