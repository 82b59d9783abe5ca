//! What the application itself says of a login.

use axum::response::IntoResponse;
use http::StatusCode;
use serde_json::{Value, json};
use tower_token_refresh::{
    ClientAuth, LoginErrorKind, StandardClaims, TokenEndpoint, TokenSet, UserInfo, VerifiedLogin,
    testing::{Endpoint, ProviderKind},
    tower_sessions::SessionStore,
};

use crate::{
    browser::{location, state_of},
    world::World,
};

#[tokio::test]
async fn a_hook_sees_the_user_and_fills_the_session() {
    let hook = async |login: VerifiedLogin| {
        let user: StandardClaims = login.claims().expect("claims");
        let token = login.tokens().token().await.expect("a token");
        assert_eq!(token.subject(), user.sub.as_deref());
        login.session().insert("greeting", user.preferred_username).await.expect("a session");
        Ok::<(), StatusCode>(())
    };
    let world = World::setup().routes(move |routes| routes.on_login(hook)).start().await;
    let browser = world.logged_in().await;
    let id = browser.cookie("session").unwrap().parse().expect("a session id");
    let sessions = world.refresher.session_store();
    let record = sessions.load(&id).await.expect("a store").expect("a session");
    assert_eq!(record.data["greeting"], "alice");
}

#[tokio::test]
async fn a_hook_that_refuses_logs_nobody_in() {
    let hook =
        async |_: VerifiedLogin| Err((StatusCode::IM_A_TEAPOT, "this shop is for our staff"));
    let world = World::setup().routes(move |routes| routes.on_login(hook)).start().await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let answer = browser.get(&callback).await;
    assert_eq!(answer.status(), 418);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.text().await.unwrap(), "this shop is for our staff");
    assert_eq!(browser.api_status().await, 401);
    assert_eq!(browser.get("/").await.text().await.unwrap(), "nobody");
}

#[tokio::test]
async fn an_application_answers_failures_in_its_own_way() {
    let world = World::setup()
        .routes(|routes| {
            routes.on_failure(|error| {
                assert_eq!(error.kind(), LoginErrorKind::Denied);
                let code = error.code().unwrap_or("none");
                (StatusCode::OK, [("cache-control", "private")], code).into_response()
            })
        })
        .start()
        .await;
    let browser = world.browser();
    let callback = browser.until_callback("/").await;
    let state = state_of(&callback);
    let denied = format!(
        "/auth/callback?error=login_required&state={state}&iss={}",
        world.issuer.issuer_url()
    );
    let answer = browser.get(&denied).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["cache-control"]),
        (200, &"private".parse().unwrap())
    );
    assert_eq!(answer.text().await.unwrap(), "login_required");
}

/// A provider without OpenID Connect.
fn plain(issuer: &tower_token_refresh::testing::StrictIssuer) -> TokenEndpoint {
    let auth = ClientAuth::basic("web", "secret");
    TokenEndpoint::new(issuer.url_of(Endpoint::Token), auth)
        .authorization_url(issuer.url_of(Endpoint::Authorization))
}

#[tokio::test]
async fn a_plain_oauth_provider_is_asked_who_the_user_is() {
    let world = World::setup()
        .builder(|builder| builder.like(ProviderKind::GitHub))
        .configured(plain)
        .routes(|routes| {
            routes.scopes(["read"]).user_info(async |tokens: TokenSet| {
                assert!(!tokens.access_token().is_empty());
                let claims = json!({ "preferred_username": "octocat", "sub": "another" });
                Ok(UserInfo::new("42").with_claims(claims)?)
            })
        })
        .start()
        .await;
    let browser = world.browser();
    let begun = browser.get("/auth/login").await;
    let to = location(&begun);
    assert!(to.contains("scope=read") && !to.contains("nonce="), "{to}");
    assert!(to.contains("code_challenge_method=S256"), "{to}");
    let callback = browser.visit_provider(&begun).await;
    let log = support::log::Log::of_this_thread();
    assert_eq!(browser.get(&callback).await.status(), 303, "{}", log.text());
    let who: Value = browser.get("/whoami").await.json().await.unwrap();
    assert_eq!(who, json!({ "preferred_username": "octocat", "sub": "42" }));

    world.clock.advance(std::time::Duration::from_secs(8 * 60 * 60));
    assert_eq!(browser.api_status().await, 200);
    let who: Value = browser.get("/whoami").await.json().await.unwrap();
    assert_eq!(who["sub"], "42", "as it was told at log in");
}

#[tokio::test]
async fn a_user_that_nobody_can_name_is_not_logged_in() {
    for (row, status) in [("fails", 503), ("empty", 502), ("another", 502)] {
        let world = World::setup()
            .routes(move |routes| {
                routes.user_info(move |_| async move {
                    match row {
                        "fails" => Err("the API is down".into()),
                        "empty" => Ok(UserInfo::new("")),
                        _ => Ok(UserInfo::new("mallory")),
                    }
                })
            })
            .start()
            .await;
        let browser = world.browser();
        let callback = browser.until_callback("/").await;
        assert_eq!(browser.get(&callback).await.status(), status, "{row}");
        assert_eq!(browser.api_status().await, 401, "{row}");
    }
}
