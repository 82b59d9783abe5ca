//! All that differs between the providers, and where the strict issuer deliberately differs from
//! them.

use tower_token_refresh::testing::ProviderKind;

/// What a provider does and says.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    /// `session_state`, `refresh_expires_in`, `not-before-policy` in the answer, and `sid` in the
    /// ID token.
    pub(crate) names_session: bool,
    pub(crate) jwt_tokens: bool,
    /// The scope of a refresh that asked for `openid` alone.
    pub(crate) narrowed_scope: Scope,
    /// The description of `invalid_grant` for each reason.
    pub(crate) reused: &'static str,
    pub(crate) older_reused: &'static str,
    pub(crate) after_reuse: &'static str,
    pub(crate) after_revocation: &'static str,
    pub(crate) before_new_login: &'static str,
    pub(crate) expired: &'static str,
    pub(crate) unknown: &'static str,
    /// Whether the browser gets another session after a refresh token was revoked; None where no
    /// token names one.
    pub(crate) revocation_ends_session: Option<bool>,
    pub(crate) revoked_access_token: Reach,
    /// `error` in the 200 that answers the revocation of a token which is not live.
    pub(crate) nothing_to_revoke: &'static str,
    pub(crate) wrong_secret: Refused,
    pub(crate) wrong_secret_in_form: Refused,
    pub(crate) unknown_client: Refused,
    pub(crate) no_client: Refused,
    /// Basic, and the secret in the form besides.
    pub(crate) two_ways_at_once: Option<Refused>,
    pub(crate) public_client_with_secret: Option<Refused>,
    /// The status of a GET at the token endpoint.
    pub(crate) get: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// What was asked for.
    Asked,
    /// All that was granted.
    Granted,
}

/// What ends with a revoked access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Itself,
    TheBrowsersLogins,
}

/// An OAuth error, and whether a challenge comes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) error: &'static str,
    pub(crate) challenge: bool,
}

const fn refused(status: u16, error: &'static str) -> Refused {
    Refused { status, error, challenge: false }
}

const fn challenged(status: u16, error: &'static str) -> Refused {
    Refused { status, error, challenge: true }
}

pub(crate) const KEYCLOAK: Manners = Manners {
    names_session: true,
    jwt_tokens: true,
    narrowed_scope: Scope::Granted,
    reused: "Maximum allowed refresh token reuse exceeded",
    older_reused: "Stale token",
    after_reuse: "Session doesn't have required client",
    after_revocation: "Session not active",
    before_new_login: "refresh token issued before the client session started",
    expired: "Token is not active",
    unknown: "Invalid refresh token",
    revocation_ends_session: Some(true),
    revoked_access_token: Reach::Itself,
    nothing_to_revoke: "invalid_token",
    wrong_secret: refused(401, "unauthorized_client"),
    wrong_secret_in_form: refused(401, "unauthorized_client"),
    unknown_client: refused(401, "invalid_client"),
    no_client: refused(401, "invalid_client"),
    two_ways_at_once: None,
    public_client_with_secret: None,
    get: 405,
};

const GRANT: &str = "grant request is invalid";

pub(crate) const OIDC_PROVIDER: Manners = Manners {
    names_session: false,
    jwt_tokens: false,
    narrowed_scope: Scope::Asked,
    reused: GRANT,
    older_reused: GRANT,
    after_reuse: GRANT,
    after_revocation: GRANT,
    before_new_login: GRANT,
    expired: GRANT,
    unknown: GRANT,
    revocation_ends_session: None,
    revoked_access_token: Reach::TheBrowsersLogins,
    nothing_to_revoke: "",
    wrong_secret: challenged(401, "invalid_client"),
    wrong_secret_in_form: refused(401, "invalid_client"),
    unknown_client: challenged(401, "invalid_client"),
    no_client: refused(400, "invalid_request"),
    two_ways_at_once: Some(refused(400, "invalid_request")),
    public_client_with_secret: Some(refused(401, "invalid_client")),
    get: 404,
};

/// The issuer is stricter than Keycloak where that is lenient with a client's mistake.
pub(crate) fn of_strict_issuer(kind: ProviderKind) -> Manners {
    match kind {
        ProviderKind::Keycloak => Manners {
            two_ways_at_once: Some(refused(400, "invalid_request")),
            public_client_with_secret: Some(refused(401, "unauthorized_client")),
            ..KEYCLOAK
        },
        ProviderKind::OidcProvider => OIDC_PROVIDER,
        kind => panic!("no manners known of {kind:?}"),
    }
}
