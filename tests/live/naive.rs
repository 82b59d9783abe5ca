//! The middleware one writes in an afternoon: look at the token; if it has expired, refresh it; go
//! on.

use std::time::{Duration, SystemTime};

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use support::providers::{CLIENT_ID, CLIENT_SECRET, Provider};
use tower_sessions::Session;
use tower_token_refresh::{Clock, tower_sessions};

use crate::gate::Gate;

#[derive(Clone)]
pub struct Naive {
    clock: Clock,
    gate: Gate,
    token_url: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Tokens {
    access_token: String,
    refresh_token: String,
    expires_at: SystemTime,
}

impl Naive {
    pub fn new(provider: &Provider, clock: Clock, gate: Gate) -> Self {
        Self { clock, gate, token_url: provider.url("token_endpoint").into() }
    }

    fn tokens(&self, answer: &Value) -> Option<Tokens> {
        Some(Tokens {
            access_token: answer["access_token"].as_str()?.to_owned(),
            refresh_token: answer["refresh_token"].as_str()?.to_owned(),
            expires_at: self.clock.now() + Duration::from_secs(answer["expires_in"].as_u64()?),
        })
    }

    async fn refresh(&self, tokens: &Tokens) -> Option<Tokens> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("refresh_token", &tokens.refresh_token)
            .finish();
        let request = Request::post(&self.token_url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(
                header::AUTHORIZATION,
                format!("Basic {}", BASE64_STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"))),
            )
            .body(Bytes::from(form))
            .ok()?;
        let answer = self.gate.clone().pass(request).await.ok()?;
        if answer.status() != StatusCode::OK {
            return None;
        }
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        self.tokens(&serde_json::from_slice(&body).ok()?)
    }
}

pub async fn log_in(
    State(naive): State<Naive>,
    session: Session,
    Json(answer): Json<Value>,
) -> StatusCode {
    let tokens = naive.tokens(&answer).expect("a token response");
    session.insert("tokens", tokens).await.expect("a store that works");
    StatusCode::OK
}

pub async fn refresh_if_expired(
    State(naive): State<Naive>,
    session: Session,
    mut request: Request<Body>,
    next: Next,
) -> Response {
    let Some(mut tokens) = session.get::<Tokens>("tokens").await.expect("a store that works")
    else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    if tokens.expires_at <= naive.clock.now() {
        let Some(fresh) = naive.refresh(&tokens).await else {
            return StatusCode::UNAUTHORIZED.into_response();
        };
        session.insert("tokens", &fresh).await.expect("a store that works");
        tokens = fresh;
    }
    request.extensions_mut().insert(tokens);
    next.run(request).await
}

pub async fn show_token(Extension(tokens): Extension<Tokens>) -> String {
    tokens.access_token
}
