//! The extractor.

use axum::{Router, body::Body, routing::get};
use http::{Request, StatusCode, header};
use support::{Op, World};
use tower::ServiceExt;
use tower_token_refresh::{LoginTokens, Logout, TokenRefreshLayer};

async fn handler(tokens: LoginTokens) -> String {
    tokens.token().await.expect("fresh").subject().unwrap_or_default().to_owned()
}

async fn asked(app: Router, cookie: Option<String>) -> (StatusCode, String) {
    let mut request = Request::get("/").body(Body::empty()).expect("a request");
    if let Some(cookie) = cookie {
        request.headers_mut().insert(header::COOKIE, cookie.parse().expect("visible"));
    }
    let response = app.oneshot(request).await.expect("an answer");
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 10_000).await.expect("a body");
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn a_handler_gets_the_tokens_of_its_login_behind_a_guard_and_without_one() {
    let world = World::on_memory();
    for layer in
        [TokenRefreshLayer::new(&world.refresher), TokenRefreshLayer::new(&world.refresher).lazy()]
    {
        let sessions = world.refresher.session_layer();
        let app = Router::new().route("/", get(handler)).layer(layer).layer(sessions);
        let id = world.log_in("alice").await;
        let cookie = || Some(format!("id={id}"));
        let answer = asked(app.clone(), cookie()).await;
        assert_eq!(answer, (StatusCode::OK, world.issuer.subject_of("alice")));
        assert_eq!(asked(app.clone(), None).await.0, StatusCode::UNAUTHORIZED);

        let session = world.session(id);
        world.refresher.log_out(&session, Logout::EndSession).await.expect("logged out");
        assert_eq!(asked(app, cookie()).await.0, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn who_need_not_be_logged_in_may_be_nobody_but_an_outage_makes_nobody_so() {
    let world = World::on_memory();
    let who = async |login: Option<LoginTokens>| match login {
        Some(login) => {
            let token = login.token().await.expect("fresh");
            token.issuer().unwrap_or_default().to_owned()
        }
        None => "nobody".to_owned(),
    };
    let layer = TokenRefreshLayer::new(&world.refresher).lazy();
    let app =
        Router::new().route("/", get(who)).layer(layer).layer(world.refresher.session_layer());
    assert_eq!(asked(app.clone(), None).await, (StatusCode::OK, "nobody".to_owned()));
    let id = world.log_in("alice").await;
    let cookie = || Some(format!("id={id}"));
    let answer = asked(app.clone(), cookie()).await;
    assert_eq!(answer, (StatusCode::OK, world.issuer.issuer_url()));

    world.sessions.refuse(Op::Load);
    assert_eq!(asked(app.clone(), cookie()).await.0, StatusCode::SERVICE_UNAVAILABLE);
    world.sessions.accept(Op::Load);
    let session = world.session(id);
    world.refresher.log_out(&session, Logout::KeepSession).await.expect("logged out");
    assert_eq!(asked(app, cookie()).await, (StatusCode::OK, "nobody".to_owned()));
}

#[tokio::test]
async fn without_a_layer_it_says_what_is_missing() {
    let world = World::on_memory();
    let app = Router::new().route("/", get(handler)).layer(world.refresher.session_layer());
    let (status, _) = asked(app, None).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
}
