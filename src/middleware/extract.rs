//! Extractors for axum handlers.

use std::{error::Error, fmt, ops::Deref, sync::Arc};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::{
    place::Place,
    problem,
    service::{rejected, session_in},
};
use crate::{
    error::{RefreshError, RefreshErrorKind},
    refresher::{LoginTokens, TokenRefresher},
    tokens::{AccessToken, ClaimsError, StandardClaims},
};

/// What a handler can extract, from the provider of any place.
pub(crate) trait Extract: Sized {
    fn extract<P: Place>(
        parts: &mut Parts,
    ) -> impl Future<Output = Result<Self, RefreshError>> + Send;
}

/// What a handler can do without.
pub(crate) trait ExtractIfAny: Extract {
    fn extract_if_any<P: Place>(
        parts: &mut Parts,
    ) -> impl Future<Output = Result<Option<Self>, RefreshError>> + Send {
        async {
            match Self::extract::<P>(parts).await {
                Ok(it) => Ok(Some(it)),
                Err(error) => match error.kind() {
                    RefreshErrorKind::NoTokens
                    | RefreshErrorKind::SessionExpired
                    | RefreshErrorKind::LoggedOut => Ok(None),
                    _ => Err(error),
                },
            }
        }
    }
}

impl Extract for AccessToken {
    async fn extract<P: Place>(parts: &mut Parts) -> Result<Self, RefreshError> {
        if let Some(token) = P::token(&parts.extensions) {
            return Ok(token.clone());
        }
        // Boxed: otherwise the future of every handler is as large as a refresh, even below a guard.
        let asked = refresher::<P>(parts)?.valid_token(session_in(&parts.extensions)?);
        let token = Box::pin(asked).await?;
        // A second extractor of this request gets the same token.
        P::put_token(&mut parts.extensions, token.clone());
        Ok(token)
    }
}

impl ExtractIfAny for AccessToken {}

impl Extract for LoginTokens {
    async fn extract<P: Place>(parts: &mut Parts) -> Result<Self, RefreshError> {
        let session = session_in(&parts.extensions)?;
        // Boxed, as above.
        Box::pin(refresher::<P>(parts)?.login_tokens(session)).await
    }
}

impl ExtractIfAny for LoginTokens {}

impl<T: DeserializeOwned + Send + Sync + 'static> Extract for Claims<T> {
    async fn extract<P: Place>(parts: &mut Parts) -> Result<Self, RefreshError> {
        let token = AccessToken::extract::<P>(parts).await?;
        Self::of(&token).await.map_err(|error| {
            if is_opaque(&error) {
                refresher::<P>(parts).map_or(error.clone(), |at| at.report_opaque_token(error))
            } else {
                error
            }
        })
    }
}

/// None also where the access token is opaque: nobody can say who the user is by it.
impl<T: DeserializeOwned + Send + Sync + 'static> ExtractIfAny for Claims<T> {
    async fn extract_if_any<P: Place>(parts: &mut Parts) -> Result<Option<Self>, RefreshError> {
        let Some(token) = AccessToken::extract_if_any::<P>(parts).await? else { return Ok(None) };
        match Self::of(&token).await {
            Ok(claims) => Ok(Some(claims)),
            Err(error) if is_opaque(&error) => {
                refresher::<P>(parts)?.report_opaque_token(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Claims<T> {
    async fn of(token: &AccessToken) -> Result<Self, RefreshError> {
        token.verify().await?;
        token.claims().map(Self).map_err(|error| {
            let message = "the access token is not a JWT with the claims this route asks for";
            RefreshError::new(RefreshErrorKind::Misconfigured, message).with_source(error)
        })
    }
}

fn is_opaque(error: &RefreshError) -> bool {
    let claims = error.source().and_then(|source| source.downcast_ref());
    matches!(claims, Some(ClaimsError::NotAJwt))
}

/// For a handler; an error may have the application's own answer.
pub(super) async fn extracted<P: Place, T: Extract>(parts: &mut Parts) -> Result<T, RefreshError> {
    T::extract::<P>(parts).await.map_err(|error| rejected(error, parts, P::hook))
}

/// The same, where nobody need be logged in.
pub(super) async fn extracted_if_any<P: Place, T: ExtractIfAny>(
    parts: &mut Parts,
) -> Result<Option<T>, RefreshError> {
    T::extract_if_any::<P>(parts).await.map_err(|error| rejected(error, parts, P::hook))
}

pub(super) fn refresher<P: Place>(parts: &Parts) -> Result<&TokenRefresher, RefreshError> {
    P::refresher(&parts.extensions).ok_or_else(|| {
        RefreshError::new(
            RefreshErrorKind::Misconfigured,
            "the route has no token refresh layer: add `.layer(TokenRefreshLayer::new(&refresher))`, \
             with `.lazy()` for pages that work without a login, and with `.provider()` if the handler asks for a provider by its name",
        )
    })
}

/// What a handler of the application's only provider extracts, as axum wants it. axum's trait for
/// an `Option` cannot be implemented for all types at once.
macro_rules! extractor {
    ($(#[$of_option:meta])* $name:ident $(<$claims:ident>)?) => {
        impl<S, $($claims)?> axum::extract::FromRequestParts<S> for $name $(<$claims>)?
        where
            S: Sync,
            $($claims: serde::de::DeserializeOwned + Send + Sync + 'static,)?
        {
            type Rejection = crate::error::RefreshError;

            async fn from_request_parts(
                parts: &mut http::request::Parts,
                _state: &S,
            ) -> Result<Self, Self::Rejection> {
                $crate::middleware::extract::extracted::<$crate::middleware::place::Only, _>(parts)
                    .await
            }
        }

        $(#[$of_option])*
        impl<S, $($claims)?> axum::extract::OptionalFromRequestParts<S> for $name $(<$claims>)?
        where
            S: Sync,
            $($claims: serde::de::DeserializeOwned + Send + Sync + 'static,)?
        {
            type Rejection = crate::error::RefreshError;

            async fn from_request_parts(
                parts: &mut http::request::Parts,
                _state: &S,
            ) -> Result<Option<Self>, Self::Rejection> {
                use $crate::middleware::{extract::extracted_if_any, place::Only};
                extracted_if_any::<Only, _>(parts).await
            }
        }
    };
}

pub(super) use extractor;

extractor! {
    /// None if nobody is logged in, or the login has expired or ended. Every other failure rejects
    /// the request: a provider that is down makes nobody anonymous.
    AccessToken
}
extractor! {
    /// None where `Option<AccessToken>` is.
    LoginTokens
}
extractor!(Claims<T>);

/// The claims of the access token, as `T`. The access token must be a JWT (RFC 9068 or Keycloak's).
///
/// [`StandardClaims`] take what a provider writes in its own way: no odd claim rejects a request. A
/// `T` of your own is as strict as you write it: a claim that does not fit its field is a 500, even
/// for a route that does not look at it. So ask only for what you need, and give a field that may
/// look odd the type `Option<serde_json::Value>`.
///
/// The default `T` is [`StandardClaims`]: the registered claims and Keycloak's roles. The first
/// type that a handler extracts is decoded once per token. Another type is decoded with each
/// request.
///
/// With [`ClaimsTrust::Verified`](crate::ClaimsTrust) the signature is verified once per token,
/// before any handler sees claims. [`AccessToken`] says what the trust rests on otherwise.
///
/// ```
/// # use tower_token_refresh::Claims;
/// async fn admin(claims: Claims) -> &'static str {
///     if claims.has_role("shop-api", "admin") { "hello, admin" } else { "hello" }
/// }
/// # let _ = admin;
/// ```
///
/// `Option<Claims>` is None where `Option<AccessToken>` is, and where the access token is opaque:
/// the first one is logged at ERROR. Who the user is, [`Identity`](crate::Identity) knows then,
/// too.
pub struct Claims<T = StandardClaims>(Arc<T>);

impl<T> Deref for Claims<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Clone for Claims<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: fmt::Debug> fmt::Debug for Claims<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl IntoResponse for RefreshError {
    fn into_response(self) -> Response {
        problem::response(self).map(Body::from)
    }
}
