//! What one would write by hand: the tokens in the session, a look at it per request.

use std::{collections::HashMap, hint::black_box, sync::Arc};

use axum::{
    Extension,
    extract::Request,
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use tower_sessions::{Session, SessionManagerLayer, SessionStore};
use tower_token_refresh::tower_sessions;

use super::{common::token_response, cookie, unix_now};

const HAND_KEY: &str = "tokens";

#[derive(Serialize, Deserialize)]
pub(super) struct HandTokens {
    access_token: String,
    refresh_token: String,
    id_token: String,
    scope: String,
    expires_at: u64,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "decoding them is what is measured")]
struct HandClaims {
    iss: String,
    sub: String,
    aud: String,
    exp: u64,
    iat: u64,
    jti: String,
    azp: String,
    sid: String,
    scope: String,
    preferred_username: String,
    email: String,
    name: String,
    realm_access: HandRoles,
    resource_access: HashMap<String, HandRoles>,
}

#[derive(Deserialize)]
struct HandRoles {
    roles: Vec<String>,
}

impl HandClaims {
    fn of(token: &str) -> Option<Self> {
        let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        serde_json::from_slice(&payload).ok()
    }

    fn has_role(&self, client: &str, role: &str) -> bool {
        self.resource_access.get(client).is_some_and(|at| at.roles.iter().any(|name| name == role))
    }
}

pub(super) async fn hand_written(session: Session) -> StatusCode {
    match hand_held(&session).await {
        Some(tokens) => {
            black_box(&tokens.access_token);
            StatusCode::OK
        }
        None => StatusCode::UNAUTHORIZED,
    }
}

pub(super) async fn hand_written_guard(
    session: Session,
    mut request: Request,
    next: Next,
) -> Response {
    match hand_held(&session).await {
        Some(tokens) => {
            request.extensions_mut().insert(Arc::new(tokens));
            next.run(request).await
        }
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

pub(super) async fn handed_over(Extension(tokens): Extension<Arc<HandTokens>>) -> StatusCode {
    black_box(&tokens.access_token);
    StatusCode::OK
}

pub(super) async fn hand_written_with_claims(session: Session) -> StatusCode {
    let Some(tokens) = hand_held(&session).await else {
        return StatusCode::UNAUTHORIZED;
    };
    match HandClaims::of(&tokens.access_token) {
        Some(claims) if claims.has_role("shop-api", "admin") => {
            black_box(&tokens.access_token);
            StatusCode::OK
        }
        _ => StatusCode::FORBIDDEN,
    }
}

async fn hand_held(session: &Session) -> Option<HandTokens> {
    let tokens: HandTokens = session.get(HAND_KEY).await.ok()??;
    (unix_now() + 5 < tokens.expires_at).then_some(tokens)
}

pub(super) async fn session_by_hand<S: SessionStore + Clone>(
    store: S,
) -> (SessionManagerLayer<S>, String) {
    let session = Session::new(None, Arc::new(store.clone()), None);
    let response = token_response("alice");
    let text = |field: &str| response[field].as_str().expect("a string").to_owned();
    let tokens = HandTokens {
        access_token: text("access_token"),
        refresh_token: text("refresh_token"),
        id_token: text("id_token"),
        scope: text("scope"),
        expires_at: unix_now() + 3600,
    };
    session.insert(HAND_KEY, tokens).await.expect("the store does not fail");
    session.save().await.expect("the store does not fail");
    (SessionManagerLayer::new(store), cookie(&session))
}
