//! Everything that the providers do differently, in one place.

mod apis;
mod clouds;
mod measured;

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use http::StatusCode;
use serde_json::Value;

use super::{answer::Answer, state::Refusal, wire::OAuthError};

/// Which provider a [`StrictIssuer`](super::StrictIssuer) behaves like, for
/// [`like`](super::StrictIssuerBuilder::like). The [module](super) has the tables of differences,
/// and says which were measured and which were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProviderKind {
    /// Keycloak 26.4 with *Revoke Refresh Token* on and *Refresh Token Max Reuse* 0.
    #[default]
    Keycloak,
    /// node's oidc-provider 9.13 with `rotateRefreshToken` on.
    OidcProvider,
    /// A GitHub App whose user access tokens expire.
    GitHub,
    /// Google's OAuth 2.0 for web servers, with offline access.
    Google,
    /// Microsoft Entra ID, for a confidential client.
    Entra,
    /// Okta's org authorization server with *Rotate token after every use* on, which is its default
    /// only for single-page apps.
    Okta,
    /// Auth0 with *Allow Refresh Token Rotation* on, and no overlap period.
    Auth0,
    /// An Amazon Cognito user pool with refresh token rotation off.
    Cognito,
    /// Slack with token rotation on, for user tokens.
    Slack,
    /// A public app of HubSpot.
    HubSpot,
    /// Fitbit's Web API.
    Fitbit,
}

/// One column of the tables.
pub(super) struct Rules {
    pub(super) access_lifetime: Duration,
    pub(super) refresh_lifetime: Duration,
    /// Whether all refresh tokens of a login end when its first one does, used or not.
    pub(super) fixed_end: bool,
    pub(super) rotation: Rotation,
    /// Whether the answer to a refresh repeats a refresh token that stays the same.
    pub(super) repeats_same_token: bool,
    /// Whether a refresh ends the access token that came with the presented refresh token.
    pub(super) ends_old_access_token: bool,
    pub(super) opaque_access: bool,
    pub(super) opaque_refresh: bool,
    /// What opaque access and refresh tokens begin with.
    pub(super) prefixes: (&'static str, &'static str),
    pub(super) id_tokens: bool,
    /// `sid` in the tokens, and the session in what a token request brings.
    pub(super) names_session: bool,
    /// Whether a refresh gets the narrower scope it asks for; else it gets all that was granted.
    pub(super) narrows_scope: bool,
    pub(super) answer: fn(&Answer) -> Value,
    /// How the token and revocation endpoints write an error down, and with which status.
    pub(super) problem: fn(&OAuthError, SystemTime) -> (StatusCode, Value),
    /// Whether the token endpoint answers with a form unless the client accepts JSON.
    pub(super) writes_forms: bool,
    pub(super) refusal: fn(Refusal) -> Problem,
    pub(super) revoked_refresh_token: Reach,
    pub(super) revoked_access_token: Reach,
    /// What the revocation of a token that is not live says, always with 200.
    pub(super) nothing_to_revoke: &'static str,
    pub(super) no_client: Problem,
    pub(super) wrong_secret: Problem,
    pub(super) unknown_client: Problem,
    /// Sent to a client that tried Basic.
    pub(super) challenge: Option<&'static str>,
    pub(super) wrong_method: StatusCode,
}

/// A status, an error code and a description.
pub(super) type Problem = (StatusCode, &'static str, &'static str);

/// What a refresh does to the presented refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rotation {
    /// It is consumed. Whoever presents it again ends the login, unless it is the one consumed last
    /// and this time has not passed since.
    ReuseEndsLogin { grace: Duration },
    /// It is consumed. Whoever presents it again is refused, and nothing else happens.
    ReuseRefused,
    /// There is a newer one, but it stays good until its own end.
    OldStaysGood,
    /// It stays the only one.
    SameToken,
}

/// What ends with a revoked token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Only itself.
    Token,
    /// Every token that this browser's logins at the client brought.
    ClientSession,
    /// Those, and the browser is no longer logged in.
    UserSession,
}

impl ProviderKind {
    /// All of them, in the order of the tables.
    pub const ALL: &'static [Self] = &[
        Self::Keycloak,
        Self::OidcProvider,
        Self::GitHub,
        Self::Google,
        Self::Entra,
        Self::Okta,
        Self::Auth0,
        Self::Cognito,
        Self::Slack,
        Self::HubSpot,
        Self::Fitbit,
    ];

    /// Its name, as one writes it in a command line: in lower case and without blanks.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Keycloak => "keycloak",
            Self::OidcProvider => "oidc-provider",
            Self::GitHub => "github",
            Self::Google => "google",
            Self::Entra => "entra",
            Self::Okta => "okta",
            Self::Auth0 => "auth0",
            Self::Cognito => "cognito",
            Self::Slack => "slack",
            Self::HubSpot => "hubspot",
            Self::Fitbit => "fitbit",
        }
    }

    pub(super) fn rules(self) -> &'static Rules {
        match self {
            Self::Keycloak => &measured::KEYCLOAK,
            Self::OidcProvider => &measured::OIDC_PROVIDER,
            Self::GitHub => &apis::GITHUB,
            Self::Slack => &apis::SLACK,
            Self::HubSpot => &apis::HUBSPOT,
            Self::Fitbit => &apis::FITBIT,
            Self::Google => &clouds::GOOGLE,
            Self::Entra => &clouds::ENTRA,
            Self::Okta => &clouds::OKTA,
            Self::Auth0 => &clouds::AUTH0,
            Self::Cognito => &clouds::COGNITO,
        }
    }
}

impl Rotation {
    /// No second presentation is forgiven.
    pub(super) const STRICT: Self = Self::ReuseEndsLogin { grace: Duration::ZERO };

    /// Whether a refresh brings a new refresh token.
    pub(super) fn brings_a_new_token(self) -> bool {
        self != Self::SameToken
    }

    pub(super) fn consumes(self) -> bool {
        matches!(self, Self::ReuseEndsLogin { .. } | Self::ReuseRefused)
    }

    /// How long the refresh token that was consumed last is still accepted.
    pub(super) fn grace(self) -> Duration {
        match self {
            Self::ReuseEndsLogin { grace } => grace,
            _ => Duration::ZERO,
        }
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn days(days: u64) -> Duration {
    seconds(days * 24 * 60 * 60)
}

/// The lifetime of what does not end by itself: longer than any test.
const ENDLESS: Duration = days(36_500);

/// RFC 6749, where the documentation of a provider says nothing else.
const BY_THE_BOOK: Rules = Rules {
    access_lifetime: seconds(3600),
    refresh_lifetime: ENDLESS,
    fixed_end: false,
    rotation: Rotation::STRICT,
    repeats_same_token: true,
    ends_old_access_token: false,
    opaque_access: false,
    opaque_refresh: true,
    prefixes: ("at-", "rt-"),
    id_tokens: true,
    names_session: false,
    narrows_scope: true,
    answer: Answer::standard,
    problem: |error, _| error.standard(),
    writes_forms: false,
    refusal: |_| (StatusCode::BAD_REQUEST, "invalid_grant", "The refresh token is not valid"),
    revoked_refresh_token: Reach::ClientSession,
    revoked_access_token: Reach::Token,
    nothing_to_revoke: "",
    no_client: INVALID_CLIENT,
    wrong_secret: INVALID_CLIENT,
    unknown_client: INVALID_CLIENT,
    challenge: None,
    wrong_method: StatusCode::METHOD_NOT_ALLOWED,
};

const INVALID_CLIENT: Problem =
    (StatusCode::UNAUTHORIZED, "invalid_client", "Client authentication failed");

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").finish_non_exhaustive()
    }
}
