//! What one writes in an afternoon: a middleware that looks at the token and, if it has expired,
//! refreshes it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
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

#[derive(Clone)]
struct App {
    issuer: StrictIssuer,
    token_url: Arc<str>,
    clock: Clock,
    client: reqwest::Client,
}

#[derive(Clone, Serialize, Deserialize)]
struct Tokens {
    access_token: String,
    refresh_token: String,
    expires_at: SystemTime,
}

pub fn app(provider: &IssuerServer, clock: Clock) -> Router {
    let app = App {
        issuer: provider.issuer().clone(),
        token_url: provider.token_url().into(),
        clock,
        client: reqwest::Client::new(),
    };
    Router::new()
        .route("/orders", get(orders))
        .layer(from_fn_with_state(app.clone(), refresh_if_expired))
        .route("/login", post(log_in))
        .with_state(app)
        .layer(SessionManagerLayer::new(MemoryStore::default()))
}

async fn log_in(State(app): State<App>, session: Session) -> Result<(), Response> {
    let tokens = app.tokens(&app.issuer.log_in("alice")).ok_or_else(unauthorized)?;
    session.insert("tokens", tokens).await.map_err(|_| unauthorized())
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
        let answer = self
            .client
            .post(&*self.token_url)
            .basic_auth("web", Some("secret"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await
            .ok()?;
        let answer = answer.error_for_status().ok()?.bytes().await.ok()?;
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
