//! What one writes in an afternoon: a middleware that looks at the token and, if it has expired,
//! refreshes it.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tower_token_refresh::{
    Clock,
    testing::{IssuerServer, StrictIssuer},
    tower_sessions::{MemoryStore, Session, SessionManagerLayer},
};

use crate::storm::orders_of;

/// Takes a form to the token endpoint, and brings what a granted request is answered with.
pub type Post = Arc<dyn Fn(String) -> Posted + Send + Sync>;
pub type Posted = Pin<Box<dyn Future<Output = Option<Bytes>> + Send>>;

#[derive(Clone)]
struct App {
    issuer: StrictIssuer,
    clock: Clock,
    send: Post,
}

#[derive(Clone, Serialize, Deserialize)]
struct Tokens {
    access_token: String,
    refresh_token: String,
    expires_at: SystemTime,
}

pub fn app(provider: &IssuerServer, clock: Clock) -> Router {
    let send = by_http(provider.token_url());
    router(provider.issuer().clone(), send, clock, MemoryStore::default())
}

/// One process of it: several share their sessions.
pub fn router(issuer: StrictIssuer, send: Post, clock: Clock, sessions: MemoryStore) -> Router {
    let app = App { issuer, clock, send };
    Router::new()
        .route("/orders", get(orders))
        .layer(from_fn_with_state(app.clone(), refresh_if_expired))
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .with_state(app)
        .layer(SessionManagerLayer::new(sessions))
}

fn by_http(token_url: String) -> Post {
    let client = reqwest::Client::new();
    Arc::new(move |form| {
        let request = client
            .post(&token_url)
            .basic_auth("web", Some("secret"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        Box::pin(async move {
            let answer = request.send().await.ok()?;
            answer.error_for_status().ok()?.bytes().await.ok()
        })
    })
}

async fn log_in(State(app): State<App>, session: Session) -> Result<(), Response> {
    let tokens = app.tokens(&app.issuer.log_in("alice")).ok_or_else(unauthorized)?;
    session.insert("tokens", tokens).await.map_err(|_| unauthorized())
}

async fn log_out(session: Session) -> Result<(), Response> {
    session.flush().await.map_err(|_| unauthorized())
}

async fn refresh_if_expired(
    State(app): State<App>,
    session: Session,
    mut request: Request,
    next: Next,
) -> Response {
    let Ok(Some(mut tokens)) = session.get::<Tokens>("tokens").await else {
        return unauthorized();
    };
    if tokens.expires_at <= app.clock.now() {
        let Some(fresh) = app.refresh(&tokens).await else {
            return unauthorized();
        };
        tokens = fresh;
        if session.insert("tokens", &tokens).await.is_err() {
            return unauthorized();
        }
    }
    request.extensions_mut().insert(tokens);
    next.run(request).await
}

async fn orders(
    State(app): State<App>,
    axum::Extension(tokens): axum::Extension<Tokens>,
) -> Response {
    orders_of(&app.issuer, &tokens.access_token).into_response()
}

impl App {
    async fn refresh(&self, tokens: &Tokens) -> Option<Tokens> {
        let form = form_urlencoded(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", &tokens.refresh_token),
        ]);
        let answer = (self.send)(form).await?;
        self.tokens(&serde_json::from_slice(&answer).ok()?)
    }

    fn tokens(&self, answer: &Value) -> Option<Tokens> {
        Some(Tokens {
            access_token: answer["access_token"].as_str()?.to_owned(),
            refresh_token: answer["refresh_token"].as_str()?.to_owned(),
            expires_at: self.clock.now() + Duration::from_secs(answer["expires_in"].as_u64()?),
        })
    }
}

fn form_urlencoded(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn unauthorized() -> Response {
    StatusCode::UNAUTHORIZED.into_response()
}
