//! Logs, spans and the labels of metrics, at every level and of every crate below.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, StatusCode, header};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde_json::json;
use support::{KEY, Op, TokenOp, World, log::Log, variants::session_at};
use tower::ServiceExt;
use tower_sessions::session::Id;
use tower_token_refresh::{
    AccessToken, Logout, TokenRefreshLayer, testing::Endpoint, tower_sessions,
};

use super::{CLIENT_SECRET, FREE_TEXT, Secrets, refresher, with_keys, world};

/// With the default transport, over a socket: what hyper and reqwest say counts as well.
#[tokio::test]
async fn nothing_that_is_traced_of_requests_over_a_socket_shows_a_secret() {
    let traced = Log::of_this_thread();
    let world = World::configured(|issuer| issuer.client("web", CLIENT_SECRET), |builder| builder);
    let _server = world.issuer.serve().await.expect("a loopback port");
    let world = World { refresher: refresher(&world, None, with_keys), ..world };
    let issuer = &world.issuer;
    let app = axum::Router::new()
        .route("/", axum::routing::get(async |_: AccessToken| StatusCode::OK))
        .layer(TokenRefreshLayer::new(&world.refresher))
        .layer(world.refresher.session_layer());

    let id = world.log_in("alice").await;
    let secrets_of_ids = Secrets::of(issuer).and_ids(&world, id).await;
    let ask = async || {
        let request = Request::get("/").header(header::COOKIE, format!("id={id}"));
        let request = request.body(axum::body::Body::empty()).expect("a request");
        app.clone().oneshot(request).await.expect("infallible").status()
    };
    world.expire();
    assert_eq!(ask().await, StatusCode::OK);
    world.expire();
    issuer.fail_next(500, FREE_TEXT);
    assert_eq!(ask().await, StatusCode::SERVICE_UNAVAILABLE);
    world.expire();
    let refusal = json!({ "error": "invalid_scope", "error_description": FREE_TEXT });
    issuer.fail_next(400, refusal.to_string());
    assert_eq!(ask().await, StatusCode::INTERNAL_SERVER_ERROR);
    // An ID token that does not verify, then somebody else's tokens.
    world.expire();
    issuer.edit_next(|answer| {
        let token = answer["id_token"].as_str().expect("an ID token");
        let (signed, _) = token.rsplit_once('.').expect("a JWT");
        answer["id_token"] = json!(format!("{signed}."));
    });
    assert_eq!(ask().await, StatusCode::OK);
    world.expire();
    issuer.switch_user_next(FREE_TEXT);
    assert_eq!(ask().await, StatusCode::UNAUTHORIZED);
    let leaving = world.log_in("bob").await;
    let session = world.session(leaving);
    world.refresher.log_out(&session, Logout::EndSession).await.expect("logged out");

    // What the provider itself traces names its users.
    let text: Vec<_> = traced.text().lines().map(str::to_owned).collect();
    let is_ours = |line: &&String| !line.contains(" tower_token_refresh::testing");
    let text = text.iter().filter(is_ours).cloned().collect::<Vec<_>>().join("\n");
    for line in [
        "token refresh ended",
        "token refresh failed",
        "was presented again",
        "a refreshed ID token was dropped",
        "have another user or issuer",
    ] {
        assert!(text.contains(line), "it was not traced: {line}");
    }
    secrets_of_ids.assert_absent_in("the trace", &text);
    Secrets::of(issuer).assert_absent_in("the trace", &text);
}

/// What goes wrong with stores, marks and keys, each once.
#[tokio::test(start_paused = true)]
async fn nothing_that_is_traced_of_stores_that_fail_shows_a_secret() {
    let labels = Labels::of_this_thread();
    let traced = Log::of_this_thread();
    let mut secrets = Vec::new();
    for keys in [true, false] {
        let world = world();
        let transport = Some(world.issuer.transport());
        let world = match keys {
            true => World { refresher: refresher(&world, transport, with_keys), ..world },
            false => world,
        };
        secrets.push(everything_goes_wrong(&world).await);
    }
    let text = traced.text();
    for line in [
        "token refresh ended",
        "does not take new tokens",
        "does not take the end of a login",
        "still lacks new tokens",
        "a token could not be confirmed",
        "the mark of a refresh that failed is still",
        "another process had presented before",
        "a token record cannot be opened",
        "the circuit breaker opened",
        "the provider did not revoke",
    ] {
        assert!(text.contains(line), "it was not traced: {line}");
    }
    let labels = labels.text();
    assert!(labels.contains("token_refresh_unsaved_total"));
    for secrets in secrets {
        secrets.assert_absent_in("the trace", &text);
        secrets.assert_absent_in("a metric", &labels);
    }
}

async fn everything_goes_wrong(world: &World) -> Secrets {
    let id = world.log_in("alice").await;
    let token = async || world.refresher.valid_token(&world.session(id)).await;

    // New tokens that the store takes late, and a token that it cannot confirm.
    world.expire();
    world.tokens.refuse(TokenOp::Put);
    token().await.expect("served");
    world.tokens.accept(TokenOp::Put);
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.expire();
    token().await.expect("refreshed");
    let ahead = Duration::from_secs(31);
    world.tokens.refuse_everything(true);
    for _ in 0..2 {
        world.clock.advance(ahead);
        let _ = token().await;
    }
    world.tokens.refuse_everything(false);

    // A mark that stays, and a refresh that another process has made meanwhile.
    world.expire();
    world.issuer.fail_next(403, FREE_TEXT);
    let post = world.issuer.gate_before(Endpoint::Token);
    let waiting = world.ask(&world.session(id));
    post.reached().await;
    world.tokens.refuse(TokenOp::Swap);
    post.open();
    waiting.await.expect("no panic").expect_err("refused");
    world.tokens.accept(TokenOp::Swap);
    let other = refresher(world, Some(world.issuer.transport()), with_keys);
    // Until then the answer of the firewall counts.
    world.clock.advance(Duration::from_secs(1));
    let post = world.issuer.gate_before(Endpoint::Token);
    let waiting = world.ask(&world.session(id));
    post.reached().await;
    world.clock.advance(Duration::from_secs(30));
    let _ = other.valid_token(&session_at(&other, id)).await;
    world.clock.advance(Duration::from_secs(5));
    let _ = other.valid_token(&session_at(&other, id)).await;
    world.issuer.fail_next_oauth(400, "invalid_grant");
    post.open();
    let _ = waiting.await.expect("no panic");

    // Tokens that no key opens, or that are none, and a pointer to nothing.
    let secrets = Secrets::of(&world.issuer).and_ids(world, id).await;
    let keyless = refresher(world, Some(world.issuer.transport()), |builder| builder);
    let _ = keyless.valid_token(&session_at(&keyless, id)).await;
    let stray = world.log_in("carol").await;
    let mut session = world.stored(stray).await.expect("a session");
    for pointer in ["g1.00000000000000000000000000000001", FREE_TEXT] {
        session.data.insert(KEY.into(), pointer.into());
        world.sessions.overwrite(&session).await;
        world.refresher.valid_token(&world.session(stray)).await.expect_err("no tokens");
    }
    world.sessions.fail_next(Op::Load);
    token().await.expect_err("no session store");

    // A provider that is down, a logout that neither it nor the store takes, and the end.
    let mut unlucky = Vec::<Id>::new();
    for _ in 0..6 {
        unlucky.push(world.log_in("dave").await);
    }
    world.expire();
    for id in unlucky {
        world.issuer.drop_request_next_at(Endpoint::Token);
        let _ = world.refresher.valid_token(&world.session(id)).await;
    }
    let secrets = Secrets([secrets.0, Secrets::of(&world.issuer).0].concat());
    world.tokens.refuse_everything(true);
    world.issuer.fail_next_at(Endpoint::Revocation, 400, FREE_TEXT);
    let session = world.session(id);
    world.refresher.log_out(&session, Logout::EndSession).await.expect_err("no token store");
    let shutdown = world.refresher.shutdown(Duration::from_secs(60)).await;
    shutdown.expect_err("the store lacks the end of a login");
    secrets
}

/// The names and labels of all counters.
#[derive(Clone, Default)]
struct Labels(Arc<Mutex<String>>);

impl Labels {
    fn of_this_thread() -> Self {
        let labels = Self::default();
        let recorder: &'static Self = Box::leak(Box::new(labels.clone()));
        // The recorder stays for as long as the test's thread.
        #[expect(clippy::mem_forget, reason = "its guard would take it away again")]
        std::mem::forget(metrics::set_default_local_recorder(recorder));
        labels
    }

    fn text(&self) -> String {
        self.0.lock().expect("not poisoned").clone()
    }
}

impl Recorder for Labels {
    fn describe_counter(&self, _key: KeyName, _unit: Option<Unit>, _text: SharedString) {}

    fn describe_gauge(&self, _key: KeyName, _unit: Option<Unit>, _text: SharedString) {}

    fn describe_histogram(&self, _key: KeyName, _unit: Option<Unit>, _text: SharedString) {}

    fn register_counter(&self, key: &Key, _metadata: &Metadata<'_>) -> Counter {
        let mut labels = self.0.lock().expect("not poisoned");
        labels.push_str(&format!("{key} {key:?}\n"));
        Counter::noop()
    }

    fn register_gauge(&self, _key: &Key, _metadata: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
