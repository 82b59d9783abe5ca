//! Two providers in one application: a session holds a login of each.

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header, request::Parts};
use support::{LIFE, World};
use tower::ServiceExt;
use tower_token_refresh::{
    AccessToken, Claims, FromProvider, LoginTokens, RefreshError, TokenRefreshLayer,
    TokenRefresher, TokenSet, rejection::redirect_browsers_to, testing::StrictIssuer,
};

/// The provider of the second refresher.
struct Second;

type SecondToken = FromProvider<Second, AccessToken>;

async fn both(first: AccessToken, second: SecondToken) -> String {
    format!("{}\n{}", first.secret(), second.secret())
}

async fn both_lazily(second: Option<SecondToken>, first: Option<AccessToken>) -> String {
    let shown =
        |token: Option<&AccessToken>| token.map_or("none", |token| token.secret()).to_owned();
    format!("{}\n{}", shown(first.as_ref()), shown(second.as_deref()))
}

async fn claims(second: FromProvider<Second, Claims>, first: Claims) -> String {
    format!("{:?}\n{:?}", first.iss, second.iss)
}

async fn later(second: FromProvider<Second, LoginTokens>, first: LoginTokens) -> String {
    let (first, second) = (first.token().await, second.into_inner().token().await);
    format!("{}\n{}", first.expect("fresh").secret(), second.expect("fresh").secret())
}

struct Two {
    first: World,
    issuer: StrictIssuer,
    second: TokenRefresher,
}

impl Two {
    fn new() -> Self {
        let first = World::on_memory();
        let issuer = StrictIssuer::builder()
            .clock(first.clock.clock())
            .issuer_url("https://second.example.test/realms/second")
            .access_token_lifetime(LIFE)
            .build();
        let second = TokenRefresher::builder(support::endpoint(&issuer), first.sessions.clone())
            .session_key("oauth.second")
            .clock(first.clock.clock())
            .build()
            .expect("the settings agree");
        Self { first, issuer, second }
    }

    fn app(&self) -> Router {
        let (first, second) = (&self.first.refresher, &self.second);
        let layer = || TokenRefreshLayer::new(second).provider::<Second>();
        Router::new()
            .route("/guarded", get(both))
            .route("/claims", get(claims))
            .route("/later", get(later))
            .route_layer(layer())
            .route_layer(TokenRefreshLayer::new(first))
            .route("/lazy", get(both_lazily))
            .layer(layer().lazy())
            .layer(TokenRefreshLayer::new(first).lazy())
            .layer(first.session_layer())
    }

    async fn get(&self, path: &str, cookie: &str) -> (StatusCode, String) {
        let request = Request::get(path).header(header::COOKIE, cookie).body(Body::empty());
        let response = self.app().oneshot(request.expect("a request")).await.expect("an answer");
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }
}

#[tokio::test]
async fn each_handler_gets_the_token_of_the_provider_that_it_names() {
    let two = Two::new();
    let session = two.first.session_with(None, None);
    two.first.log_in_on(&session, "alice").await;
    let cookie = |session: &tower_token_refresh::tower_sessions::Session| {
        format!("id={}", session.id().expect("saved"))
    };
    let (status, body) = two.get("/lazy", &cookie(&session)).await;
    assert_eq!((status, body.ends_with("\nnone")), (StatusCode::OK, true), "{body}");
    assert_eq!(two.get("/guarded", &cookie(&session)).await.0, StatusCode::UNAUTHORIZED);

    let set = TokenSet::from_response(two.issuer.log_in("alice")).expect("a token set");
    two.second.log_in(&session, set).await.expect("logged in");
    for _ in 0..2 {
        for path in ["/guarded", "/lazy", "/later"] {
            let (status, body) = two.get(path, &cookie(&session)).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            let (first, second) = body.split_once('\n').expect("two tokens");
            assert!(two.first.issuer.is_access_token_live(first), "{path}");
            assert!(two.issuer.is_access_token_live(second), "{path}");
        }
        let (_, issuers) = two.get("/claims", &cookie(&session)).await;
        let expected = format!(
            "Some({:?})\nSome({:?})",
            two.first.issuer.issuer_url(),
            two.issuer.issuer_url()
        );
        assert_eq!(issuers, expected);
        two.first.expire();
    }
    assert_eq!((two.first.issuer.refreshes(), two.issuer.refreshes()), (1, 1));
}

#[tokio::test]
async fn a_handler_that_names_a_provider_without_a_layer_is_told_so() {
    let two = Two::new();
    let app = Router::new()
        .route("/", get(async |_: SecondToken| ()))
        .layer(TokenRefreshLayer::new(&two.first.refresher))
        .layer(two.first.refresher.session_layer());
    let session = two.first.session_with(None, None);
    two.first.log_in_on(&session, "alice").await;
    let cookie = format!("id={}", session.id().expect("saved"));
    let request = Request::get("/").header(header::COOKIE, cookie).body(Body::empty()).unwrap();
    assert_eq!(app.oneshot(request).await.unwrap().status(), StatusCode::INTERNAL_SERVER_ERROR);
}

/// Answers every rejection with this status.
fn hook(
    status: u16,
) -> impl Fn(&RefreshError, &Parts) -> Option<Response<Bytes>> + Clone + Send + Sync + 'static {
    move |_, _| Response::builder().status(status).body(Bytes::new()).ok()
}

#[tokio::test]
async fn each_provider_has_its_own_hook_whichever_layer_is_inside() {
    let two = Two::new();
    let first = || TokenRefreshLayer::new(&two.first.refresher).lazy().on_rejection(hook(490));
    let second =
        || TokenRefreshLayer::new(&two.second).lazy().provider::<Second>().on_rejection(hook(491));
    let routes = || {
        Router::new()
            .route("/first", get(async |_: AccessToken| ()))
            .route("/second", get(async |_: SecondToken| ()))
    };
    for app in [routes().layer(first()).layer(second()), routes().layer(second()).layer(first())] {
        let app = app.layer(two.first.refresher.session_layer());
        for (path, status) in [("/first", 490), ("/second", 491)] {
            let request = Request::get(path).body(Body::empty()).expect("a request");
            let answer = app.clone().oneshot(request).await.expect("an answer");
            assert_eq!(answer.status().as_u16(), status, "{path}");
        }
    }
}

#[tokio::test]
async fn a_user_without_the_second_login_is_not_sent_to_the_first_ones_login_page() {
    let two = Two::new();
    let to_log_in = redirect_browsers_to("/auth/login").expect("a path");
    let app = Router::new()
        .route("/both", get(both))
        .route_layer(TokenRefreshLayer::new(&two.first.refresher).on_rejection(to_log_in))
        .layer(TokenRefreshLayer::new(&two.second).lazy().provider::<Second>())
        .layer(two.first.refresher.session_layer());
    let session = two.first.session_with(None, None);
    two.first.log_in_on(&session, "alice").await;
    let request = Request::get("/both")
        .header(header::COOKIE, format!("id={}", session.id().expect("saved")))
        .header("sec-fetch-mode", "navigate")
        .body(Body::empty())
        .expect("a request");
    let answer = app.oneshot(request).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "not in a circle");
}

/// By mistake both layers have the same place. The inner one counts, wholly.
#[tokio::test]
async fn a_token_and_its_login_are_never_of_two_providers() {
    let two = Two::new();
    let session = two.first.session_with(None, None);
    two.first.log_in_on(&session, "alice").await;
    let set = TokenSet::from_response(two.issuer.log_in("alice")).expect("a token set");
    two.second.log_in(&session, set).await.expect("logged in");
    let both = async |token: AccessToken, login: LoginTokens| {
        format!("{}\n{}", token.secret(), login.token().await.expect("fresh").secret())
    };
    let (outer, inner) =
        (TokenRefreshLayer::new(&two.first.refresher), TokenRefreshLayer::new(&two.second));
    for inner in [inner.clone(), inner.lazy()] {
        let app = Router::new().route("/", get(both)).layer(inner).layer(outer.clone());
        let app = app.layer(two.first.refresher.session_layer());
        let cookie = format!("id={}", session.id().expect("saved"));
        let request = Request::get("/").header(header::COOKIE, cookie).body(Body::empty()).unwrap();
        let response = app.oneshot(request).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.expect("a body");
        let body = String::from_utf8(body.to_vec()).expect("text");
        let (token, login) = body.split_once('\n').expect("two tokens");
        assert!(two.issuer.is_access_token_live(token), "it is the inner layer's");
        assert_eq!(token, login);
    }
}

/// Two layers of one place: "the inner one counts, wholly".
#[tokio::test]
async fn a_hook_of_another_refresher_does_not_answer() {
    let first = World::on_memory();
    let second = TokenRefresher::builder(support::endpoint(&first.issuer), first.sessions.clone())
        .session_key("oauth.second")
        .clock(first.clock.clock())
        .build()
        .unwrap();
    let session = first.session_with(None, None);
    first.log_in_on(&session, "alice").await;
    let outer = TokenRefreshLayer::new(&first.refresher)
        .on_rejection(|_, _| Response::builder().status(490).body(Bytes::new()).ok());
    let mut answers = Vec::new();
    for inner in [TokenRefreshLayer::new(&second), TokenRefreshLayer::new(&second).lazy()] {
        let app = Router::new().route("/", get(async |_: AccessToken| ())).layer(inner);
        let app = app.layer(outer.clone()).layer(first.refresher.session_layer());
        let cookie = format!("id={}", session.id().unwrap());
        let request = Request::get("/").header(header::COOKIE, cookie).body(Body::empty()).unwrap();
        answers.push(app.oneshot(request).await.unwrap().status().as_u16());
    }
    assert_eq!(answers, [401, 401], "the first provider's hook answers for the second");
}
