//! Browsers that close the tab: over real connections, a request whose client goes away.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use support::{
    TokenOp, World,
    http::{cookie, serve},
    variants::leave,
};
use tokio::sync::Notify;
use tower_sessions::{Session, session::Id};
use tower_token_refresh::{
    AccessToken, Logout, TokenRefreshLayer, testing::Endpoint, tower_sessions,
};

/// Tells when the server lets go of a request that has not been answered.
#[derive(Clone, Default)]
struct Abandoned(Arc<Notify>);

impl Abandoned {
    async fn watch(self, request: Request, next: Next) -> Response {
        let mut watch = Watch { abandoned: self, answered: false };
        let response = next.run(request).await;
        watch.answered = true;
        response
    }
}

struct Watch {
    abandoned: Abandoned,
    answered: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.answered {
            self.abandoned.0.notify_one();
        }
    }
}

async fn application(world: &World) -> (String, Abandoned) {
    let abandoned = Abandoned::default();
    let refresher = world.refresher.clone();
    let log_out = move |session: Session| async move {
        refresher.log_out(&session, Logout::EndSession).await.map(|_| "logged out")
    };
    let watch = abandoned.clone();
    let app = Router::new()
        .route("/guarded", get(async |token: AccessToken| token.secret().to_owned()))
        .layer(TokenRefreshLayer::new(&world.refresher))
        .route("/logout", get(log_out))
        .layer(world.refresher.session_layer())
        .layer(middleware::from_fn(move |request, next| watch.clone().watch(request, next)));
    (serve(app).await, abandoned)
}

fn open(url: String, id: Id) -> tokio::task::JoinHandle<reqwest::Result<String>> {
    // A client of its own each time, so that a dropped request closes its connection.
    let request = reqwest::Client::new().get(url).header("cookie", cookie(id)).send();
    tokio::spawn(async move { request.await?.error_for_status()?.text().await })
}

#[tokio::test]
async fn a_browser_leaves_during_the_refresh_and_the_next_request_finds_its_result() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    let (url, abandoned) = application(&world).await;
    let post = world.issuer.gate_after(Endpoint::Token);
    let browser = open(format!("{url}/guarded"), id);
    post.reached().await;
    leave(browser).await;
    abandoned.0.notified().await;
    post.open();

    let secret = open(format!("{url}/guarded"), id).await.unwrap().unwrap();

    assert!(world.issuer.is_access_token_live(&secret));
    assert_eq!(world.issuer.refresh_requests(), 1);
    world.assert_logged_in(id).await;
}

#[tokio::test]
async fn a_browser_leaves_while_the_tokens_are_stored_and_the_other_tab_is_served() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    world.expire();
    let (url, abandoned) = application(&world).await;
    let put = world.tokens.gate_before(TokenOp::Put);
    let browser = open(format!("{url}/guarded"), id);
    put.reached().await;
    let other_tab = open(format!("{url}/guarded"), id);
    leave(browser).await;
    abandoned.0.notified().await;
    put.open();

    assert!(world.issuer.is_access_token_live(&other_tab.await.unwrap().unwrap()));
    assert_eq!(world.issuer.refresh_requests(), 1);
    world.assert_logged_in(id).await;
}

#[tokio::test]
async fn a_browser_leaves_during_its_log_out_and_is_logged_out() {
    let world = World::on_memory();
    let id = world.log_in("alice").await;
    let grant = world.pointer(id).await.expect("a login");
    let refresh_token = world.stored_refresh_token(id).await.expect("a refresh token");
    let (url, abandoned) = application(&world).await;
    let (end, revoked) =
        (world.tokens.gate_before(TokenOp::End), world.issuer.gate_after(Endpoint::Revocation));
    let browser = open(format!("{url}/logout"), id);
    end.reached().await;
    leave(browser).await;
    abandoned.0.notified().await;
    end.open();
    revoked.reached().await;

    assert_eq!(world.stored(id).await, None);
    assert!(world.tokens_of(&grant).await.is_ended());
    assert!(!world.issuer.session_alive(&refresh_token));
}
