//! A provider that writes its claims in its own way, or its issuer in two, logs nobody out.

use serde_json::json;
use support::World;
use tower_token_refresh::{RefreshErrorKind, TokenRefresher, TokenSet};

use super::{
    verified_claims::{self, VERIFIED, log_in_with, who, world},
    who_came_back::{self, claims_of, edit_claims_next, refresh},
};

#[tokio::test]
async fn an_accepted_issuer_may_have_issued_the_token() {
    const TENANT: &str = "https://login.example/{tenantid}/v2.0";
    for (accepted, iss, tid, status) in [
        ("id.example", json!("id.example"), json!(null), 200),
        ("id.example", json!("https://id.example"), json!(null), 500),
        (TENANT, json!("https://login.example/a/v2.0"), json!("a"), 200),
        (TENANT, json!("https://login.example/a/v2.0"), json!("b"), 500),
        (TENANT, json!("https://login.example/a/v2.0"), json!(null), 500),
    ] {
        let world = World::on_memory();
        let endpoint = verified_claims::endpoint(&world.issuer).accept_issuer(accepted);
        let refresher = TokenRefresher::builder(endpoint, world.sessions.clone())
            .token_store(world.tokens.clone())
            .claims_trust(VERIFIED)
            .clock(world.clock.clock())
            .build()
            .expect("the settings agree");
        let world = World { refresher, ..world };
        let row = format!("{accepted} {iss} {tid}");
        let id = log_in_with(&world, json!({}), |claims| {
            (claims["iss"], claims["tid"]) = (iss, tid);
        })
        .await;
        assert_eq!(who(&world, id).await.status.as_u16(), status, "{row}");
    }
}

/// What the route does not use may look as it likes.
#[tokio::test]
async fn an_odd_claim_that_the_route_does_not_use_costs_nobody_the_login() {
    for (name, value) in [
        ("azp", json!(["web"])),
        ("email", json!({"primary": "a@example.org"})),
        ("name", json!(true)),
        ("scope", json!(7)),
        ("realm_access", json!("admin")),
        ("resource_access", json!(["api"])),
        ("jti", json!(7)),
        ("aud", json!(["api", null, 7])),
    ] {
        let world = world();
        let row = format!("{name} {value}");
        let id = log_in_with(&world, json!({}), |claims| claims[name] = value).await;
        let answer = who(&world, id).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "alice"), "{row}");
    }
    let world = world();
    let id = log_in_with(&world, json!({}), |claims| claims["sub"] = json!(42)).await;
    assert_eq!(who(&world, id).await.body, "42");
}

#[tokio::test]
async fn another_spelling_of_the_same_user_and_issuer_ends_nothing() {
    let world = World::on_memory();
    let endpoint = who_came_back::endpoint(&world).accept_issuer("accounts.example");
    let world = world.asking(endpoint);
    let id = world.log_in("alice").await;
    for field in ["id_token", "access_token"] {
        edit_claims_next(&world, field, |claims| claims["iss"] = json!("accounts.example"));
        refresh(&world, id).await.expect("the same issuer");
        refresh(&world, id).await.expect("and back");
    }
    let session = world.session_with(None, None);
    let mut answer = world.issuer.log_in("alice");
    for field in ["id_token", "access_token"] {
        let mut claims = claims_of(answer[field].as_str().expect("a token"));
        claims["sub"] = json!(42);
        answer[field] = json!(world.issuer.sign_jwt(json!({}), &claims));
    }
    let set = TokenSet::from_response(answer).expect("a token set");
    world.refresher.log_in(&session, set).await.expect("logged in");
    let id = session.id().expect("saved");
    for sub in [json!("42"), json!(42)] {
        let issuer = world.issuer.clone();
        world.issuer.edit_next(move |answer| {
            for field in ["id_token", "access_token"] {
                let mut claims = claims_of(answer[field].as_str().expect("a token"));
                claims["sub"] = sub.clone();
                answer[field] = json!(issuer.sign_jwt(json!({}), &claims));
            }
        });
        refresh(&world, id).await.expect("the same user");
    }
    edit_claims_next(&world, "access_token", |claims| claims["sub"] = json!(43));
    let error = refresh(&world, id).await.expect_err("another user");
    assert_eq!(error.kind(), RefreshErrorKind::SubjectChanged);
}
