//! Where a layer leaves the token, the refresher and its hook for what lies below it, in the request's
//! extensions.
//!
//! Two layers of different providers must not overwrite each other's, so each may have a place of its
//! own, named by a type of the application.

use std::marker::PhantomData;

use http::Extensions;

use super::rejection::Hook;
use crate::{refresher::TokenRefresher, tokens::AccessToken};

/// One place.
pub(crate) trait Place: 'static {
    fn put_token(extensions: &mut Extensions, token: AccessToken);
    /// What a layer of another refresher has left here goes, all of it.
    fn enter(extensions: &mut Extensions, refresher: &TokenRefresher);
    fn put_refresher(extensions: &mut Extensions, refresher: TokenRefresher);
    fn put_hook(extensions: &mut Extensions, hook: Hook);
    fn hook(extensions: &Extensions) -> Option<&Hook>;
    #[cfg(feature = "axum")]
    fn token(extensions: &Extensions) -> Option<&AccessToken>;
    #[cfg(feature = "axum")]
    fn refresher(extensions: &Extensions) -> Option<&TokenRefresher>;
}

/// What a layer needs of its place, without the type.
#[derive(Clone, Copy)]
pub(crate) struct Puts {
    pub(crate) enter: fn(&mut Extensions, &TokenRefresher),
    pub(crate) token: fn(&mut Extensions, AccessToken),
    pub(crate) refresher: fn(&mut Extensions, TokenRefresher),
    pub(crate) hook: fn(&mut Extensions, Hook),
    /// The hook of this layer, or of one around it for the same provider.
    pub(crate) hook_in: fn(&Extensions) -> Option<&Hook>,
}

impl Puts {
    pub(crate) fn into<P: Place>() -> Self {
        Self {
            enter: P::enter,
            token: P::put_token,
            refresher: P::put_refresher,
            hook: P::put_hook,
            hook_in: P::hook,
        }
    }
}

/// The place of the application's only provider. The token lies there as it is, for applications
/// without axum.
pub(crate) struct Only;

/// The place of the provider that the type `P` names.
pub(crate) struct Named<P>(PhantomData<P>);

/// What lies in a place.
struct In<P, T>(T, PhantomData<fn() -> P>);

impl<P, T: Clone> Clone for In<P, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

/// True if another refresher was here.
fn clear_of_others<P: 'static>(extensions: &mut Extensions, refresher: &TokenRefresher) -> bool {
    let held = extensions.get::<In<P, TokenRefresher>>();
    let is_others = held.is_some_and(|held| !held.0.is_same_as(refresher));
    if is_others {
        extensions.remove::<In<P, TokenRefresher>>();
        extensions.remove::<In<P, Hook>>();
    }
    is_others
}

impl Place for Only {
    fn put_token(extensions: &mut Extensions, token: AccessToken) {
        extensions.insert(token);
    }

    fn enter(extensions: &mut Extensions, refresher: &TokenRefresher) {
        if clear_of_others::<Self>(extensions, refresher) {
            extensions.remove::<AccessToken>();
        }
    }

    fn put_refresher(extensions: &mut Extensions, refresher: TokenRefresher) {
        Named::<Self>::put_refresher(extensions, refresher);
    }

    fn put_hook(extensions: &mut Extensions, hook: Hook) {
        Named::<Self>::put_hook(extensions, hook);
    }

    fn hook(extensions: &Extensions) -> Option<&Hook> {
        Named::<Self>::hook(extensions)
    }

    #[cfg(feature = "axum")]
    fn token(extensions: &Extensions) -> Option<&AccessToken> {
        extensions.get()
    }

    #[cfg(feature = "axum")]
    fn refresher(extensions: &Extensions) -> Option<&TokenRefresher> {
        Named::<Self>::refresher(extensions)
    }
}

impl<P: 'static> Place for Named<P> {
    fn put_token(extensions: &mut Extensions, token: AccessToken) {
        extensions.insert(In::<P, _>(token, PhantomData));
    }

    fn enter(extensions: &mut Extensions, refresher: &TokenRefresher) {
        if clear_of_others::<P>(extensions, refresher) {
            extensions.remove::<In<P, AccessToken>>();
        }
    }

    fn put_refresher(extensions: &mut Extensions, refresher: TokenRefresher) {
        extensions.insert(In::<P, _>(refresher, PhantomData));
    }

    fn put_hook(extensions: &mut Extensions, hook: Hook) {
        extensions.insert(In::<P, _>(hook, PhantomData));
    }

    fn hook(extensions: &Extensions) -> Option<&Hook> {
        extensions.get::<In<P, Hook>>().map(|held| &held.0)
    }

    #[cfg(feature = "axum")]
    fn token(extensions: &Extensions) -> Option<&AccessToken> {
        extensions.get::<In<P, AccessToken>>().map(|held| &held.0)
    }

    #[cfg(feature = "axum")]
    fn refresher(extensions: &Extensions) -> Option<&TokenRefresher> {
        extensions.get::<In<P, TokenRefresher>>().map(|held| &held.0)
    }
}
