//! What a request pays that is refused because the provider is down: its token has expired and the
//! circuit is open.

mod common;

use std::{hint::black_box, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    routing::get,
};
use common::{Samples, token_response, verdict};
use tower::ServiceExt;
use tower_sessions::{MemoryStore, Session};
use tower_token_refresh::{
    AccessToken, ClientAuth, TokenEndpoint, TokenRefreshLayer, TokenRefresher, TokenSet,
    testing::{Endpoint, ManualClock, StrictIssuer},
    tower_sessions,
};

const ROUNDS: usize = 500;
const USERS: usize = 50;
const GOAL_MICROSECONDS: f64 = 20.0;

struct App {
    issuer: StrictIssuer,
    clock: ManualClock,
    refresher: TokenRefresher,
    router: Router,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let app = App::new();
    let unlucky = app.log_in("unlucky", 5).await;
    let expired = app.log_in("expired", USERS).await;
    app.clock.advance(Duration::from_secs(300));
    for cookie in &unlucky {
        app.issuer.drop_request_next_at(Endpoint::Token);
        app.ask(cookie, StatusCode::SERVICE_UNAVAILABLE).await;
    }
    let asked = app.issuer.token_requests();
    let valid = app.log_in("valid", USERS).await;
    let anonymous = vec![String::new(); USERS];

    let (mut refused, mut served, mut turned_away) =
        (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        refused.0.push(app.run(&expired, StatusCode::SERVICE_UNAVAILABLE).await);
        served.0.push(app.run(&valid, StatusCode::OK).await);
        turned_away.0.push(app.run(&anonymous, StatusCode::UNAUTHORIZED).await);
    }
    assert_eq!(app.issuer.token_requests(), asked, "the circuit was open all along");

    println!(
        "\nThe circuit is open: us per request, medians of {ROUNDS} rounds of {USERS} users in turn.\n"
    );
    println!("  no login, 401                            {:>7.2}", turned_away.median());
    println!("  a good token, served                     {:>7.2}", served.median());
    println!("  an expired token, refused with 503       {:>7.2}", refused.median());
    let (low, high) = refused.spread();
    println!(
        "\nrefused: {:.2} us (p10-p90 {low:.2}-{high:.2}), goal <= {GOAL_MICROSECONDS}: {}",
        refused.median(),
        verdict(refused.median() <= GOAL_MICROSECONDS)
    );
    println!("refused / served: {:.2}", refused.per_round(&served).median());
}

impl App {
    fn new() -> Self {
        let clock = ManualClock::new();
        let issuer = StrictIssuer::builder().clock(clock.clock()).build();
        let endpoint = TokenEndpoint::new(issuer.token_url(), ClientAuth::basic("web", "secret"))
            .transport(issuer.transport());
        let refresher = TokenRefresher::builder(endpoint, MemoryStore::default())
            .clock(clock.clock())
            .build()
            .expect("the settings agree");
        let router = Router::new()
            .route("/", get(async |token: AccessToken| drop(black_box(token))))
            .layer(TokenRefreshLayer::new(&refresher))
            .layer(refresher.session_layer());
        Self { issuer, clock, refresher, router }
    }

    /// The cookies of so many users.
    async fn log_in(&self, name: &str, users: usize) -> Vec<String> {
        let mut cookies = Vec::new();
        for user in 0..users {
            let session = Session::new(None, Arc::new(self.refresher.session_store()), None);
            let set = TokenSet::from_response(token_response(&format!("{name} {user}")))
                .expect("a response");
            self.refresher.log_in(&session, set).await.expect("logged in");
            cookies.push(format!("id={}", session.id().expect("a saved session has an id")));
        }
        cookies
    }

    async fn ask(&self, cookie: &str, expected: StatusCode) {
        let request =
            Request::builder().uri("/").header(header::COOKIE, cookie).body(Body::empty());
        let response = self
            .router
            .clone()
            .oneshot(request.expect("a valid request"))
            .await
            .expect("infallible");
        assert_eq!(response.status(), expected);
        black_box(response);
    }

    /// Microseconds per request.
    #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
    async fn run(&self, cookies: &[String], expected: StatusCode) -> f64 {
        let started = std::time::Instant::now();
        for cookie in cookies {
            self.ask(cookie, expected).await;
        }
        started.elapsed().as_nanos() as f64 / 1000.0 / cookies.len() as f64
    }
}
