//! What the application's own code is asked about a login.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::response::{IntoResponse, Response};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use tower::BoxError;
use tower_sessions::Session;

use crate::{
    ClaimsError, LoginTokens, TokenSet, TokenSetError,
    tokens::{claims, claims_of},
};

/// How long the application's own code may take.
pub(super) const APPLICATION_LIMIT: Duration = Duration::from_secs(10);

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// [`LoginRoutes::on_login`](crate::LoginRoutes::on_login).
pub(super) type OnLogin =
    Arc<dyn Fn(VerifiedLogin) -> BoxFuture<Result<(), Response>> + Send + Sync>;
/// [`LoginRoutes::user_info`](crate::LoginRoutes::user_info).
pub(super) type AskUserInfo =
    Arc<dyn Fn(TokenSet) -> BoxFuture<Result<UserInfo, BoxError>> + Send + Sync>;

/// A login that the provider has confirmed, before the session gets it. For
/// [`LoginRoutes::on_login`](crate::LoginRoutes::on_login).
///
/// `Debug` shows nothing of the user.
#[derive(Clone)]
pub struct VerifiedLogin {
    pub(super) claims: Arc<Map<String, Value>>,
    pub(super) session: Session,
    pub(super) tokens: LoginTokens,
}

impl VerifiedLogin {
    /// Who the user is, as `T`: the claims of the verified ID token, or what
    /// [`user_info`](crate::LoginRoutes::user_info) said.
    ///
    /// # Errors
    /// They do not fit `T`.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, ClaimsError> {
        claims::from_json(json!(*self.claims).to_string().as_bytes())
    }

    /// The session that gets the login. What is put into it is saved with the login.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The tokens of the login, to ask an API about the user.
    #[must_use]
    pub fn tokens(&self) -> &LoginTokens {
        &self.tokens
    }
}

impl fmt::Debug for VerifiedLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedLogin").finish_non_exhaustive()
    }
}

/// Who the user is, as a provider without ID tokens says it. For
/// [`LoginRoutes::user_info`](crate::LoginRoutes::user_info).
///
/// `Debug` shows nothing of the user.
#[derive(Clone)]
pub struct UserInfo {
    pub(super) subject: String,
    pub(super) claims: Map<String, Value>,
}

impl UserInfo {
    /// `subject`: what tells the user apart from all others at this provider and never changes,
    /// such as GitHub's numeric `id`. Never a name or an e-mail address, which somebody else may
    /// get.
    pub fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), claims: Map::new() }
    }

    /// Adds what [`Identity`](crate::Identity) is to know of the user. It is stored with the login,
    /// so keep it small. `sub` is always the subject.
    ///
    /// # Errors
    /// `claims` do not serialize to a JSON object.
    pub fn with_claims(mut self, claims: impl Serialize) -> Result<Self, TokenSetError> {
        self.claims.extend(claims_of("user info", claims)?);
        Ok(self)
    }

    pub(super) fn into_claims(self) -> Map<String, Value> {
        let mut claims = self.claims;
        claims.insert("sub".to_owned(), Value::String(self.subject));
        claims
    }
}

impl fmt::Debug for UserInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserInfo").finish_non_exhaustive()
    }
}

pub(super) fn on_login<F, R, E>(hook: F) -> OnLogin
where
    F: Fn(VerifiedLogin) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), E>> + Send + 'static,
    E: IntoResponse,
{
    Arc::new(move |login| {
        let asked = hook(login);
        Box::pin(async move { asked.await.map_err(IntoResponse::into_response) })
    })
}
