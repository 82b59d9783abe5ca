//! Extractors for applications with several providers.

use std::{fmt, marker::PhantomData, ops::Deref};

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;

use super::{
    extract::{Extract, ExtractIfAny, extracted, extracted_if_any},
    place::Named,
};
use crate::error::RefreshError;

/// What a handler extracts where an application has several providers: `T`, from the provider that
/// the type `P` names. `T` is [`AccessToken`](crate::AccessToken),
/// [`LoginTokens`](crate::LoginTokens) or [`Claims`](crate::Claims).
///
/// `P` is any type of yours. [`TokenRefreshLayer::provider`](crate::TokenRefreshLayer::provider) puts
/// it on the layer of that provider. Give the refreshers
/// [session keys](crate::TokenRefresherBuilder::session_key) of their own, so that a session can hold
/// a login of each. Build the second one over the first one's
/// [`session_store`](crate::TokenRefresher::session_store), and use the session layer of the
/// second one only. [`docs::several_providers`](crate::docs::several_providers) shows it all.
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_token_refresh::{AccessToken, FromProvider, TokenRefreshLayer, TokenRefresher};
///
/// /// Whose repositories the application shows. It is linked, not logged in with.
/// struct GitHub;
///
/// async fn repositories(
///     user: AccessToken,
///     github: Option<FromProvider<GitHub, AccessToken>>,
/// ) -> String {
///     match github {
///         Some(github) => format!("good until {:?}", github.expires_at()),
///         None => "link your account first".to_owned(),
///     }
/// }
///
/// /// `github` was built over `company.session_store()`.
/// fn app(company: TokenRefresher, github: TokenRefresher) -> Router {
///     Router::new()
///         .route("/repositories", get(repositories))
///         .route_layer(TokenRefreshLayer::new(&company))
///         .layer(TokenRefreshLayer::new(&github).lazy().provider::<GitHub>())
///         .layer(github.session_layer())
/// }
/// # let _ = app;
/// ```
pub struct FromProvider<P, T>(T, PhantomData<fn() -> P>);

impl<P, T> FromProvider<P, T> {
    fn new(inner: T) -> Self {
        Self(inner, PhantomData)
    }

    /// What was extracted.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<P, T> Deref for FromProvider<P, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<P, T: Clone> Clone for FromProvider<P, T> {
    fn clone(&self) -> Self {
        Self::new(self.0.clone())
    }
}

impl<P, T: fmt::Debug> fmt::Debug for FromProvider<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<S: Sync, P: 'static, T: Extract> FromRequestParts<S> for FromProvider<P, T> {
    type Rejection = RefreshError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, RefreshError> {
        extracted::<Named<P>, _>(parts).await.map(Self::new)
    }
}

impl<S: Sync, P: 'static, T: ExtractIfAny> OptionalFromRequestParts<S> for FromProvider<P, T> {
    type Rejection = RefreshError;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> Result<Option<Self>, RefreshError> {
        Ok(extracted_if_any::<Named<P>, _>(parts).await?.map(Self::new))
    }
}
