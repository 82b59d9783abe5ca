//! [`AuthorizationGrant`]: what a token request presents, and what it asks for.
//!
//! | grant | what is in the form |
//! |---|---|
//! | refresh token (RFC 6749, section 6) | the refresh token, and the endpoint's `refresh_param`s |
//! | authorization code (RFC 6749, section 4.1.3; RFC 7636, section 4.5) | the code, the redirect URI and the verifier |
//! | client credentials (RFC 6749, section 4.4) | the target |
//! | JWT bearer (RFC 7523, section 2.1) | a new assertion for each attempt, and the target |
//! | token exchange (RFC 8693, section 2.1) | the user's access token, and the target |
//! | on behalf of, Entra's words for the same | the user's access token as an assertion, and the target |
//!
//! Only a refresh token can be used up, so only that is remembered where the provider refuses it.

use http::Uri;
use secrecy::{ExposeSecret, SecretString};

use super::{
    error::EndpointError, jwt_bearer::JwtBearer, request::Params, resilience::Fingerprint,
    target::TokenTarget,
};
use crate::Clock;

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What is presented at the token endpoint. Deliberately without `Debug`.
#[derive(Clone, Copy)]
pub(crate) enum AuthorizationGrant<'a> {
    RefreshToken(&'a SecretString),
    #[cfg_attr(not(feature = "login"), allow(dead_code, reason = "the login routes use it"))]
    AuthorizationCode(AuthorizationCode<'a>),
    ClientCredentials(&'a TokenTarget),
    JwtBearer(&'a JwtBearer, &'a TokenTarget),
    TokenExchange {
        /// The user's access token.
        subject_token: &'a str,
        target: &'a TokenTarget,
    },
    OnBehalfOf {
        /// The user's access token.
        subject_token: &'a str,
        target: &'a TokenTarget,
    },
}

/// What a login has brought back, and what shows that it is ours.
#[derive(Clone, Copy)]
pub(crate) struct AuthorizationCode<'a> {
    pub(crate) code: &'a str,
    /// As it was in the authorization request.
    pub(crate) redirect_uri: &'a str,
    pub(crate) verifier: &'a str,
}

/// The fields of a form, in order. They hold secrets.
pub(super) type Fields<'a> = Vec<(&'a str, SecretOr<'a>)>;

/// A value of a form.
pub(super) enum SecretOr<'a> {
    /// Made for this form.
    Made(SecretString),
    Lent(&'a str),
}

impl SecretOr<'_> {
    pub(super) fn expose(&self) -> &str {
        match self {
            Self::Made(secret) => secret.expose_secret(),
            Self::Lent(text) => text,
        }
    }
}

impl<'a> AuthorizationGrant<'a> {
    /// The value of `grant_type`.
    pub(crate) fn grant_type(&self) -> &'static str {
        match self {
            Self::RefreshToken(_) => "refresh_token",
            Self::AuthorizationCode(_) => "authorization_code",
            Self::ClientCredentials(_) => "client_credentials",
            Self::JwtBearer(..) | Self::OnBehalfOf { .. } => {
                "urn:ietf:params:oauth:grant-type:jwt-bearer"
            }
            Self::TokenExchange { .. } => "urn:ietf:params:oauth:grant-type:token-exchange",
        }
    }

    /// What an error or a hostile answer may repeat, and is no new token.
    pub(super) fn presented(&self) -> &'a str {
        match self {
            Self::RefreshToken(token) => token.expose_secret(),
            _ => "",
        }
    }

    /// What is asked for, if that is said.
    fn target(&self) -> Option<&'a TokenTarget> {
        match *self {
            Self::RefreshToken(_) | Self::AuthorizationCode(_) => None,
            Self::ClientCredentials(target)
            | Self::JwtBearer(_, target)
            | Self::TokenExchange { target, .. }
            | Self::OnBehalfOf { target, .. } => Some(target),
        }
    }

    /// Tells it from the requests of others, for limits that are somebody's own.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let target = || self.target().map(TokenTarget::to_secret_form).unwrap_or_default();
        match self {
            Self::RefreshToken(token) => Fingerprint::of(token.expose_secret()),
            Self::AuthorizationCode(login) => Fingerprint::of(login.code),
            Self::ClientCredentials(_) | Self::JwtBearer(..) => {
                Fingerprint::of(&format!("{} {}", self.grant_type(), target()))
            }
            Self::TokenExchange { subject_token, .. } | Self::OnBehalfOf { subject_token, .. } => {
                Fingerprint::of(&format!("{subject_token} {}", target()))
            }
        }
    }

    /// The form without the client's credentials, for one attempt.
    pub(super) async fn fields(
        &self,
        to: &Uri,
        refresh_params: &'a Params,
        clock: &Clock,
    ) -> Result<Fields<'a>, EndpointError> {
        let lent = |(name, value)| (name, SecretOr::Lent(value));
        let mut fields = vec![lent(("grant_type", self.grant_type()))];
        match *self {
            Self::RefreshToken(token) => {
                fields.push(lent(("refresh_token", token.expose_secret())));
                let added = refresh_params.iter().map(|(name, value)| (&**name, &**value));
                fields.extend(added.map(lent));
            }
            Self::AuthorizationCode(login) => {
                fields.push(lent(("code", login.code)));
                fields.push(lent(("redirect_uri", login.redirect_uri)));
                fields.push(lent(("code_verifier", login.verifier)));
            }
            Self::ClientCredentials(_) => {}
            Self::JwtBearer(bearer, target) => {
                let assertion = bearer.assertion(to, target, clock).await?;
                fields.push(("assertion", SecretOr::Made(assertion)));
            }
            Self::TokenExchange { subject_token, .. } => {
                fields.push(lent(("subject_token", subject_token)));
                fields.push(lent(("subject_token_type", ACCESS_TOKEN)));
            }
            Self::OnBehalfOf { subject_token, .. } => {
                fields.push(lent(("assertion", subject_token)));
                fields.push(lent(("requested_token_use", "on_behalf_of")));
            }
        }
        fields.extend(self.target().into_iter().flat_map(TokenTarget::pairs).map(lent));
        Ok(fields)
    }
}
