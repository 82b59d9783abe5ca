//! [`Identity`]: who is logged in.

use std::{fmt, ops::Deref, sync::Arc};

use http::request::Parts;
use serde::de::DeserializeOwned;

use super::{
    extract::{Extract, ExtractIfAny, extractor, refresher},
    place::Place,
    service::session_in,
};
use crate::{
    error::{RefreshError, RefreshErrorKind},
    tokens::StandardClaims,
};

/// Who is logged in, as `T`: the claims of the ID token that was verified at log in, or what
/// [`TokenSet::with_identity`](crate::TokenSet::with_identity) said there.
///
/// It works with opaque access tokens, never waits for the provider, and does not care whether the
/// access token is still good: in an outage the page still knows its user. When this process knows
/// the login, no store is asked either. `Option<Identity>` is None for whoever is not logged in.
///
/// A `T` of your own is as strict as you write it, as with [`Claims`](crate::Claims). What you let
/// users *do* is for the API to decide, by the access token.
///
/// ```
/// # use tower_token_refresh::Identity;
/// async fn home(user: Option<Identity>) -> String {
///     match user {
///         Some(user) => format!("hello, {}", user.name.as_deref().unwrap_or("you")),
///         None => "hello, stranger".to_owned(),
///     }
/// }
/// # let _ = home;
/// ```
///
/// It needs a [`TokenRefreshLayer`](crate::TokenRefreshLayer), as `AccessToken` does; for public
/// pages a [`lazy`](crate::TokenRefreshLayer::lazy) one.
///
/// If a refresh brings a new ID token, the claims are those of that one, which was verified as
/// well; it may say less (`acr`, `auth_time`). What `with_identity` or
/// [`user_info`](crate::LoginRoutes::user_info) said stays as it was.
///
/// It learns of an end at the provider only by a refresh or a logout token. While the token store
/// is down, a login that this process knows counts as good.
///
/// # Errors
/// As a required extractor: 401 if nobody is logged in, 500 if nothing is known of the user or it
/// does not fit `T`, 503 if a store is down and this process does not know the login. `Debug` is
/// that of `T`.
pub struct Identity<T = StandardClaims>(Arc<T>);

impl<T> Deref for Identity<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Clone for Identity<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: fmt::Debug> fmt::Debug for Identity<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Extract for Identity<T> {
    async fn extract<P: Place>(parts: &mut Parts) -> Result<Self, RefreshError> {
        let refresher = refresher::<P>(parts)?;
        let asked = refresher.known_token(session_in(&parts.extensions)?);
        // Boxed, as for an access token.
        let token = Box::pin(asked).await?;
        let misconfigured =
            |message: &'static str| RefreshError::new(RefreshErrorKind::Misconfigured, message);
        match token.identity_as() {
            Some(Ok(identity)) => Ok(Self(identity)),
            Some(Err(error)) => {
                let message = "what is known of the user does not fit what this route asks for";
                Err(misconfigured(message).with_source(error))
            }
            None => Err(misconfigured(
                "nothing is known of the user: the login has no ID token, and \
                 `TokenSet::with_identity` was not called",
            )),
        }
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> ExtractIfAny for Identity<T> {}

extractor!(Identity<T>);
