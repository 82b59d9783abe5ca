//! What a request with a valid token pays, against the session code one would write by hand.
//!
//! Every variant is the same Axum router with the same request, sent by `oneshot` on one thread;
//! the variants take turns in small blocks, and a ratio is taken within each round.
//!
//! The same over Redis and PostgreSQL where there are any:
//! `tests/services/run redis postgres -- cargo bench --bench fast_path`.

mod by_hand;
#[path = "../common/mod.rs"]
mod common;

use std::{env, hint::black_box, sync::Arc, time::SystemTime};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    middleware::from_fn,
    routing::get,
};
use by_hand::{
    hand_written, hand_written_guard, hand_written_with_claims, handed_over, session_by_hand,
};
use common::{
    ACCESS_TOKEN_BYTES, ID_TOKEN_BYTES, REFRESH_TOKEN_BYTES, Samples, print_goal, token_response,
};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::ServiceExt;
use tower_sessions::{MemoryStore, Session, SessionStore};
use tower_sessions_redis_store::{
    RedisStore,
    fred::{
        prelude::{ClientLike, Config},
        types::Builder,
    },
};
use tower_sessions_sqlx_store::{PostgresStore, sqlx::postgres::PgPoolOptions};
use tower_token_refresh::{
    AccessToken, Claims, ClientAuth, TokenEndpoint, TokenRefreshLayer, TokenRefresher, TokenSet,
    testing::StrictIssuer, token_store::SealKeys, tower_sessions,
};

const ROUNDS: usize = 2000;
const REQUESTS: usize = 50;
const SERVER_ROUNDS: usize = 110;

/// One way of serving the request.
struct Variant {
    name: &'static str,
    router: Router,
    cookie: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let variants = variants().await;
    let mut samples = vec![Samples::default(); variants.len()];
    for variant in &variants {
        run(variant).await;
    }
    for round in 0..ROUNDS {
        // Another one begins each round, so that none always follows the same neighbour.
        for turn in 0..variants.len() {
            let index = (round + turn) % variants.len();
            samples[index].0.push(run(&variants[index]).await);
        }
    }
    println!(
        "\nThe fast path: ns per request, medians of {ROUNDS} rounds of {REQUESTS} requests, all variants in turn.\n\
         Tokens: access {ACCESS_TOKEN_BYTES} B, ID {ID_TOKEN_BYTES} B, refresh {REFRESH_TOKEN_BYTES} B; 14 claims.\n"
    );
    for (variant, samples) in variants.iter().zip(&samples) {
        println!("  {:<58}{:>7.0}", variant.name, samples.median());
    }
    println!();
    let against = |ours: usize, hand: usize, goal: f64, what: &str| {
        let ratio = samples[ours].per_round(&samples[hand]);
        print_goal(what, ratio.median(), Some(ratio.spread()), goal);
    };
    against(3, 2, 0.90, "token, ours / by hand        ");
    against(4, 2, 0.90, "token, ours lazy / by hand   ");
    against(6, 5, 0.55, "with claims, ours / by hand  ");
    against(7, 3, 1.05, "token, ours sealed / ours    ");
    against(9, 3, 1.15, "token, ours measured / ours  ");
    let in_a_layer = samples[3].per_round(&samples[8]);
    println!("token, ours / by hand in a middleware: {:.2} (no goal)", in_a_layer.median());
    over_servers().await;
}

/// The session comes from a server: there it pays that it is small.
async fn over_servers() {
    match env::var("TEST_REDIS_URL") {
        Ok(url) => {
            let config = Config::from_url(&url).expect("a Redis URL");
            let pool = Builder::from_config(config).build_pool(4).expect("a pool");
            pool.init().await.expect("Redis answers");
            over("Redis", RedisStore::new(pool)).await;
        }
        Err(_) => println!("over Redis: not measured, TEST_REDIS_URL is not set"),
    }
    match env::var("TEST_POSTGRES_URL") {
        Ok(url) => {
            let pool = PgPoolOptions::new().connect(&url).await.expect("PostgreSQL answers");
            let store = PostgresStore::new(pool);
            store.migrate().await.expect("the schema is created");
            over("PostgreSQL", store).await;
        }
        Err(_) => println!("over PostgreSQL: not measured, TEST_POSTGRES_URL is not set"),
    }
}

async fn over(name: &str, store: impl SessionStore + Clone) {
    let (by_hand, hand_cookie) = session_by_hand(store.clone()).await;
    let (refresher, our_cookie) = session_of_ours(store, None).await;
    let variants = [
        Variant {
            name: "by hand",
            router: Router::new().route("/", get(hand_written)).layer(by_hand),
            cookie: hand_cookie,
        },
        Variant { name: "ours", router: ours(&refresher), cookie: our_cookie },
    ];
    let mut samples = [Samples::default(), Samples::default()];
    for round in 0..SERVER_ROUNDS {
        for turn in 0..2 {
            let index = (round + turn) % 2;
            let nanos = run(&variants[index]).await;
            // The first rounds warm up.
            if round >= 10 {
                samples[index].0.push(nanos);
            }
        }
    }
    let ratio = samples[1].per_round(&samples[0]);
    let what = format!(
        "over {name}: token, ours {:.0} us / by hand {:.0} us",
        samples[1].median() / 1000.0,
        samples[0].median() / 1000.0
    );
    print_goal(&what, ratio.median(), Some(ratio.spread()), 1.0);
}

async fn variants() -> [Variant; 10] {
    let (by_hand, hand_cookie) = session_by_hand(MemoryStore::default()).await;
    let (refresher, our_cookie) = session_of_ours(MemoryStore::default(), None).await;
    let (sealing, sealed_cookie) =
        session_of_ours(MemoryStore::default(), Some(SealKeys::new([7; 32]))).await;
    let recorder = PrometheusBuilder::new().build_recorder();
    let (measured, measured_cookie) = {
        let _recording = metrics::set_default_local_recorder(&recorder);
        session_of_ours(MemoryStore::default(), None).await
    };
    let guard = TokenRefreshLayer::new(&refresher);
    let sessions = refresher.session_layer();
    let bare = get(async || "hello");
    let variant =
        |name, router: Router, cookie: &str| Variant { name, router, cookie: cookie.into() };
    [
        variant("bare router", Router::new().route("/", bare.clone()), &hand_cookie),
        variant(
            "+ SessionManagerLayer, session untouched",
            Router::new().route("/", bare).layer(by_hand.clone()),
            &hand_cookie,
        ),
        variant(
            "+ session.get::<Tokens>() and an expiry check, by hand",
            Router::new().route("/", get(hand_written)).layer(by_hand.clone()),
            &hand_cookie,
        ),
        variant("ours: TokenRefreshLayer + AccessToken", ours(&refresher), &our_cookie),
        variant(
            "ours: TokenRefreshLayer, lazy + AccessToken",
            Router::new()
                .route("/", get(our_token))
                .layer(guard.clone().lazy())
                .layer(sessions.clone()),
            &our_cookie,
        ),
        variant(
            "by hand, with the claims decoded",
            Router::new().route("/", get(hand_written_with_claims)).layer(by_hand.clone()),
            &hand_cookie,
        ),
        variant(
            "ours: TokenRefreshLayer + AccessToken + Claims",
            Router::new().route("/", get(our_token_with_claims)).layer(guard).layer(sessions),
            &our_cookie,
        ),
        variant("ours, sealed: TokenRefreshLayer + AccessToken", ours(&sealing), &sealed_cookie),
        variant(
            "by hand in a middleware, for all routes below it",
            Router::new()
                .route("/", get(handed_over))
                .layer(from_fn(hand_written_guard))
                .layer(by_hand),
            &hand_cookie,
        ),
        variant("ours with a Prometheus recorder", ours(&measured), &measured_cookie),
    ]
}

/// A route that wants a token.
fn ours(refresher: &TokenRefresher) -> Router {
    Router::new()
        .route("/", get(our_token))
        .layer(TokenRefreshLayer::new(refresher))
        .layer(refresher.session_layer())
}

async fn our_token(token: AccessToken) -> StatusCode {
    black_box(token.secret());
    StatusCode::OK
}

async fn our_token_with_claims(token: AccessToken, claims: Claims) -> StatusCode {
    black_box(token.secret());
    if claims.has_role("shop-api", "admin") { StatusCode::OK } else { StatusCode::FORBIDDEN }
}

async fn session_of_ours(
    store: impl SessionStore,
    keys: Option<SealKeys>,
) -> (TokenRefresher, String) {
    let issuer = StrictIssuer::new();
    let endpoint = TokenEndpoint::new(issuer.token_url(), ClientAuth::basic("web", "secret"))
        .transport(issuer.transport());
    let builder = TokenRefresher::builder(endpoint, store);
    let builder = match keys {
        Some(keys) => builder.seal_with(keys),
        None => builder,
    };
    let refresher = builder.build().expect("the settings agree");
    let session = Session::new(None, Arc::new(refresher.session_store()), None);
    let set = TokenSet::from_response(token_response("alice")).expect("a token response");
    let set = set.with_expires_at(
        SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(unix_now() + 3600),
    );
    refresher.log_in(&session, set).await.expect("logged in");
    (refresher, cookie(&session))
}

fn cookie(session: &Session) -> String {
    format!("id={}", session.id().expect("a saved session has an id"))
}

/// Nanoseconds per request.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
async fn run(variant: &Variant) -> f64 {
    let started = std::time::Instant::now();
    for _ in 0..REQUESTS {
        let request = Request::builder()
            .uri("/")
            .header(header::COOKIE, &variant.cookie)
            .body(Body::empty())
            .expect("a valid request");
        let response = variant.router.clone().oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::OK, "{}", variant.name);
        black_box(response);
    }
    started.elapsed().as_nanos() as f64 / REQUESTS as f64
}

#[expect(clippy::disallowed_methods, reason = "what code written by hand would call")]
fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
