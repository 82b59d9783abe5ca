//! Everything that Keycloak and oidc-provider do differently, in one place.

use std::fmt;

use http::StatusCode;

use super::state::Refusal;

/// Which provider a [`StrictIssuer`](super::StrictIssuer) behaves like, for
/// [`like`](super::StrictIssuerBuilder::like). The [module](super) has the table of differences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProviderKind {
    /// Keycloak 26.4 with *Revoke Refresh Token* on and *Refresh Token Max Reuse* 0.
    #[default]
    Keycloak,
    /// node's oidc-provider 9.13 with `rotateRefreshToken` on.
    OidcProvider,
}

/// One column of the table.
pub(super) struct Rules {
    /// `sid`, `session_state`, `refresh_expires_in` and `not-before-policy` in what a token request
    /// brings.
    pub(super) names_session: bool,
    pub(super) opaque_tokens: bool,
    /// Whether a refresh gets the narrower scope it asks for; else it gets all that was granted.
    pub(super) narrows_scope: bool,
    pub(super) revoked_refresh_token: Reach,
    pub(super) revoked_access_token: Reach,
    /// What the revocation of a token that is not live says, always with 200.
    pub(super) nothing_to_revoke: &'static str,
    pub(super) refusal: fn(Refusal) -> &'static str,
    pub(super) no_client: (StatusCode, &'static str, &'static str),
    pub(super) wrong_secret: &'static str,
    pub(super) bad_client: &'static str,
    /// Sent to a client that tried Basic.
    pub(super) challenge: Option<&'static str>,
    pub(super) wrong_method: StatusCode,
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
    pub(super) fn rules(self) -> &'static Rules {
        match self {
            Self::Keycloak => &KEYCLOAK,
            Self::OidcProvider => &OIDC_PROVIDER,
        }
    }
}

const INVALID_CLIENT: &str = "Invalid client or Invalid client credentials";

static KEYCLOAK: Rules = Rules {
    names_session: true,
    opaque_tokens: false,
    narrows_scope: false,
    revoked_refresh_token: Reach::UserSession,
    revoked_access_token: Reach::Token,
    nothing_to_revoke: r#"{"error":"invalid_token","error_description":"Invalid token"}"#,
    refusal: |refusal| match refusal {
        Refusal::Unknown => "Invalid refresh token",
        Refusal::Expired => "Token is not active",
        Refusal::SessionEnded => "Session not active",
        Refusal::ClientSessionEnded => "Session doesn't have required client",
        Refusal::BeforeClientSession => "refresh token issued before the client session started",
        Refusal::Reused => "Maximum allowed refresh token reuse exceeded",
        Refusal::Stale => "Stale token",
    },
    no_client: (StatusCode::UNAUTHORIZED, "invalid_client", INVALID_CLIENT),
    wrong_secret: "unauthorized_client",
    bad_client: INVALID_CLIENT,
    challenge: None,
    wrong_method: StatusCode::METHOD_NOT_ALLOWED,
};

static OIDC_PROVIDER: Rules = Rules {
    names_session: false,
    opaque_tokens: true,
    narrows_scope: true,
    revoked_refresh_token: Reach::ClientSession,
    revoked_access_token: Reach::ClientSession,
    nothing_to_revoke: "",
    refusal: |_| "grant request is invalid",
    no_client: (
        StatusCode::BAD_REQUEST,
        "invalid_request",
        "no client authentication mechanism provided",
    ),
    wrong_secret: "invalid_client",
    bad_client: "client authentication failed",
    challenge: Some(
        r#"Basic realm="test", error="invalid_client", error_description="client authentication failed""#,
    ),
    wrong_method: StatusCode::NOT_FOUND,
};

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").finish_non_exhaustive()
    }
}
