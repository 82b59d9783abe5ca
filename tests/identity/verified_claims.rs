//! With `ClaimsTrust::Verified` nobody sees claims whose token has not been verified.

use std::{sync::Arc, time::Duration};

use ::http::header;
use axum::{Router, routing::get};
use futures_util::future::join_all;
use serde_json::{Value, json};
use support::{
    TokenOp, World,
    http::{self, Answer, ask},
    settle,
};
use tower_sessions::{MemoryStore, Session, session::Id};
use tower_token_refresh::{
    AccessToken, Claims, ClaimsError, ClaimsTrust, ClientAuth, OnUnavailable, RefreshErrorKind,
    RefreshPolicy, StandardClaims, TokenEndpoint, TokenRefreshLayer, TokenRefresher,
    TokenRefresherBuilder, TokenSet,
    testing::{Endpoint, StrictIssuer},
    tower_sessions,
};

pub(super) fn endpoint(issuer: &StrictIssuer) -> TokenEndpoint {
    TokenEndpoint::new(issuer.token_url(), ClientAuth::basic("web", "secret"))
        .issuer(issuer.issuer_url())
        .jwks_url(issuer.jwks_url())
        .transport(issuer.transport())
}

/// Whatever API the tokens are for.
pub(super) const VERIFIED: ClaimsTrust = ClaimsTrust::Verified { audience: None };

fn verifying(configure: impl FnOnce(TokenRefresherBuilder) -> TokenRefresherBuilder) -> World {
    let world = World::on_memory();
    let builder = TokenRefresher::builder(endpoint(&world.issuer), world.sessions.clone())
        .token_store(world.tokens.clone())
        .claims_trust(VERIFIED)
        .clock(world.clock.clock());
    World { refresher: configure(builder).build().expect("the settings agree"), ..world }
}

pub(super) fn world() -> World {
    verifying(|builder| builder)
}

fn app(world: &World) -> Router {
    Router::new()
        .route("/who", get(async |claims: Claims| claims.sub.clone().unwrap_or_default()))
        .route("/maybe", get(async |claims: Option<Claims>| format!("{}", claims.is_some())))
        .route("/token", get(async |_: AccessToken| "a token"))
        .layer(TokenRefreshLayer::new(&world.refresher).lazy())
        .layer(world.refresher.session_layer())
}

pub(super) async fn who(world: &World, id: Id) -> Answer {
    ask(&app(world), http::get("/who", Some(id))).await
}

/// Logs in with an access token of these claims, signed by the issuer's key.
pub(super) async fn log_in_with(world: &World, header: Value, edit: impl FnOnce(&mut Value)) -> Id {
    let mut claims = json!({
        "iss": world.issuer.issuer_url(), "sub": "alice", "aud": "api",
        "exp": 2_000_000_300, "iat": 2_000_000_000,
    });
    edit(&mut claims);
    log_in_by(world, world.issuer.sign_jwt(header, &claims)).await
}

async fn log_in_by(world: &World, access_token: String) -> Id {
    let session = world.session_with(None, None);
    let response = json!({
        "access_token": access_token, "token_type": "Bearer", "expires_in": 60,
        "refresh_token": "r",
    });
    let set = TokenSet::from_response(response).expect("a token set");
    world.refresher.log_in(&session, set).await.expect("logged in");
    session.id().expect("saved")
}

type Edit = fn(&mut Value);

fn fetches(world: &World) -> usize {
    world.issuer.requests(Endpoint::Jwks)
}

#[tokio::test]
async fn the_claims_of_a_token_that_verifies_are_given() {
    let world = world();
    let id = world.log_in("alice").await;
    let answer = who(&world, id).await;
    assert_eq!((answer.status.as_u16(), answer.body), (200, world.issuer.subject_of("alice")));
    world.expire();
    assert_eq!(who(&world, id).await.status, 200, "and those of the next");
    assert_eq!(fetches(&world), 1);
}

#[tokio::test]
async fn a_token_is_verified_once() {
    let world = world();
    let id = world.log_in("alice").await;
    assert_eq!(who(&world, id).await.status, 200);
    // The key that signed it is gone, and none could be fetched.
    world.issuer.rotate_keys();
    world.clock.advance(Duration::from_secs(30));
    world.issuer.set_down(true);
    for answer in join_all((0..20).map(|_| who(&world, id))).await {
        assert_eq!(answer.status, 200);
    }
    assert_eq!(fetches(&world), 1);
}

/// The token record is read again now and then, and the token in it is the same.
#[tokio::test]
async fn what_was_verified_stays_so_when_the_record_is_read_again() {
    let policy = RefreshPolicy::default().confirm_after(Duration::from_secs(10));
    let world = verifying(|builder| builder.policy(policy));
    let id = world.log_in("alice").await;
    assert_eq!(who(&world, id).await.status, 200);
    world.issuer.rotate_keys();
    let reads = world.tokens.calls(TokenOp::Load);
    world.clock.advance(Duration::from_secs(20));
    assert_eq!(who(&world, id).await.status, 200);
    assert!(world.tokens.calls(TokenOp::Load) > reads);
    assert_eq!(fetches(&world), 1);
}

#[tokio::test]
async fn claims_are_not_given_out_before_the_token_has_been_verified() {
    let world = world();
    let id = world.log_in("alice").await;
    let session = world.session(id);
    let token = world.refresher.valid_token(&session).await.expect("fresh");
    let unverified = token.claims::<StandardClaims>().expect_err("not verified");
    assert_eq!(unverified, ClaimsError::NotVerified);
    token.verify().await.expect("it verifies");
    assert!(token.claims::<StandardClaims>().is_ok());
    let again = world.refresher.valid_token(&world.session(id)).await.expect("fresh");
    assert!(again.claims::<StandardClaims>().is_ok(), "what one request has verified, all have");
}

#[tokio::test]
async fn a_forged_token_gives_no_claims() {
    let world = world();
    let good = world.issuer.log_in("alice")["access_token"].as_str().expect("a token").to_owned();
    let (signed, signature) = good.rsplit_once('.').expect("a JWT");
    let stranger = StrictIssuer::builder().issuer_url(&world.issuer.issuer_url()).build();
    stranger.rotate_keys();
    let forged = [
        format!("{signed}.{}", signature.chars().rev().skip(6).collect::<String>()),
        format!("{signed}."),
        stranger.log_in("alice")["access_token"].as_str().expect("a token").to_owned(),
    ];
    for token in forged {
        let id = log_in_by(&world, token).await;
        for path in ["/who", "/maybe"] {
            let answer = ask(&app(&world), http::get(path, Some(id))).await;
            assert_eq!(answer.status, 500);
            assert_eq!(answer.json()["code"], "misconfigured");
        }
        let answer = ask(&app(&world), http::get("/token", Some(id))).await;
        assert_eq!(answer.status, 200, "the token itself is for its API to judge");
    }
}

#[tokio::test]
async fn an_opaque_token_gives_no_claims() {
    let world = world();
    let id = log_in_by(&world, "opaque".into()).await;
    assert_eq!(who(&world, id).await.json()["code"], "misconfigured");
}

#[tokio::test]
async fn issuer_expiry_and_type_have_to_be_right() {
    let good: [(Value, Edit); 4] = [
        (json!({}), |_| {}),
        (json!({"typ": "at+jwt"}), |_| {}),
        (json!({"typ": "application/at+JWT"}), |_| {}),
        (json!({"typ": null}), |claims| claims["aud"] = json!(null)),
    ];
    for (header, edit) in good {
        let world = world();
        let id = log_in_with(&world, header, edit).await;
        assert_eq!(who(&world, id).await.status, 200);
    }
    let bad: [(Value, Edit); 6] = [
        (json!({}), |claims| claims["iss"] = json!("https://evil.example")),
        (json!({}), |claims| claims["exp"] = json!(1_999_999_900)),
        (json!({}), |claims| claims["exp"] = json!(null)),
        (json!({}), |claims| claims["nbf"] = json!(2_000_000_100)),
        (json!({"typ": "logout+jwt"}), |_| {}),
        (json!({"crit": ["exp"]}), |_| {}),
    ];
    for (header, edit) in bad {
        let world = world();
        let id = log_in_with(&world, header, edit).await;
        assert_eq!(who(&world, id).await.json()["code"], "misconfigured");
        assert_eq!(fetches(&world), 0, "wrong without its signature");
    }
}

#[tokio::test]
async fn the_audience_is_looked_at_where_one_is_set() {
    for (audience, status) in [("api", 200), ("another-api", 500)] {
        let trust = ClaimsTrust::Verified { audience: Some(audience.into()) };
        let world = verifying(|builder| builder.claims_trust(trust));
        let id = log_in_with(&world, json!({}), |_| {}).await;
        assert_eq!(who(&world, id).await.status.as_u16(), status);
    }
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_are_a_503_and_tried_again() {
    let world = world();
    let id = world.log_in("alice").await;
    world.issuer.fail_next_at(Endpoint::Jwks, 500, "");
    let answer = who(&world, id).await;
    assert_eq!((answer.status.as_u16(), answer.header(header::RETRY_AFTER)), (503, Some("5")));
    assert_eq!(ask(&app(&world), http::get("/maybe", Some(id))).await.status, 503);
    assert_eq!(ask(&app(&world), http::get("/token", Some(id))).await.status, 200);
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(who(&world, id).await.status, 200);
    assert_eq!(fetches(&world), 2);
}

#[tokio::test(start_paused = true)]
async fn keys_that_do_not_come_hold_a_handler_up_for_five_seconds() {
    let world = world();
    let id = world.log_in("alice").await;
    let gate = world.issuer.gate_before(Endpoint::Jwks);
    let answer = tokio::time::timeout(Duration::from_millis(5_001), who(&world, id)).await;
    let answer = answer.expect("not a moment longer");
    assert_eq!((answer.status.as_u16(), answer.header(header::RETRY_AFTER)), (503, Some("5")));
    gate.open();
    settle().await;
    assert_eq!(who(&world, id).await.status, 200, "they have come meanwhile");
    assert_eq!(fetches(&world), 1);
}

/// The token is served although it has expired, and so are its claims. All else has to be right.
#[tokio::test(start_paused = true)]
async fn a_stale_token_may_be_past_its_exp_and_nothing_else() {
    let for_at_most = Duration::from_secs(3600);
    let policy =
        RefreshPolicy::default().on_unavailable(OnUnavailable::ServeExpired { for_at_most });
    let world = verifying(|builder| builder.policy(policy));
    let bob = world.log_in("bob").await;
    assert_eq!(who(&world, bob).await.status, 200, "the keys are there");
    let good = world.log_in("alice").await;
    let token = world.issuer.log_in("alice")["access_token"].as_str().expect("a token").to_owned();
    let forged =
        log_in_by(&world, format!("{}.c2lnbmF0dXJl", token.rsplit_once('.').expect("a JWT").0))
            .await;
    let elsewhere =
        log_in_with(&world, json!({}), |claims| claims["iss"] = json!("https://evil.example"))
            .await;
    world.expire();
    world.clock.advance(Duration::from_secs(61));
    world.issuer.set_down(true);

    let served = world.refresher.valid_token(&world.session(good)).await.expect("served stale");
    assert!(served.is_stale());
    served.verify().await.expect("all but its exp is right");
    assert!(served.claims::<StandardClaims>().is_ok());
    assert_eq!(who(&world, good).await.status, 200);
    for id in [forged, elsewhere] {
        let served = world.refresher.valid_token(&world.session(id)).await.expect("served stale");
        assert!(served.is_stale());
        let error = served.verify().await.expect_err("not the provider's own");
        assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
        assert!(served.claims::<StandardClaims>().is_err());
    }
}

#[tokio::test]
async fn without_being_asked_nothing_is_verified() {
    let world = World::on_memory();
    let endpoint = endpoint(&world.issuer);
    let world = world.asking(endpoint);
    let id =
        log_in_with(&world, json!({}), |claims| claims["iss"] = json!("https://elsewhere.example"))
            .await;
    assert_eq!(who(&world, id).await.status, 200);
    assert_eq!(fetches(&world), 0);
}

#[tokio::test]
async fn settings_that_could_never_verify_are_refused() {
    let issuer = StrictIssuer::new();
    let bare = || {
        TokenEndpoint::new(issuer.token_url(), ClientAuth::none("web"))
            .transport(issuer.transport())
    };
    let build = |endpoint: TokenEndpoint| {
        TokenRefresher::builder(endpoint, MemoryStore::default()).claims_trust(VERIFIED).build()
    };
    for lacking in
        [bare(), bare().issuer("https://id.example"), bare().jwks_url("https://id.example/keys")]
    {
        let error = build(lacking).expect_err("no issuer or no keys").to_string();
        assert_eq!(
            error,
            "claims_trust is Verified: the endpoint needs an issuer and a jwks_url, or discovery"
        );
    }
    assert!(build(bare().issuer("https://id.example").jwks_url("http://id.example/keys")).is_err());
    assert!(build(bare().issuer("https://id.example").jwks_url("https://id.example/keys")).is_ok());
    let discovered = TokenEndpoint::discover(issuer.issuer_url(), ClientAuth::none("web"))
        .transport(issuer.transport())
        .lazy();
    assert!(build(discovered).is_ok());
}

#[tokio::test]
async fn a_discovery_document_without_keys_is_a_setting_to_change() {
    let world = World::on_memory();
    let document =
        json!({"issuer": world.issuer.issuer_url(), "token_endpoint": world.issuer.token_url()});
    world.issuer.fail_next_at(Endpoint::Discovery, 200, document.to_string());
    let endpoint =
        TokenEndpoint::discover(world.issuer.issuer_url(), ClientAuth::basic("web", "secret"))
            .transport(world.issuer.transport())
            .lazy();
    let refresher = TokenRefresher::builder(endpoint, world.sessions.clone())
        .claims_trust(VERIFIED)
        .clock(world.clock.clock())
        .build()
        .expect("the settings agree");
    let session = Session::new(None, Arc::new(refresher.session_store()), None);
    let set = TokenSet::from_response(world.issuer.log_in("alice")).expect("a token set");
    refresher.log_in(&session, set).await.expect("logged in");
    let token = refresher.valid_token(&session).await.expect("fresh");
    let error = token.verify().await.expect_err("no keys");
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
}
