//! A strict identity provider and a movable clock, for the tests of your own application (feature
//! `testing`).
//!
//! [`StrictIssuer`] behaves like Keycloak with *Revoke Refresh Token* on and *Refresh Token Max
//! Reuse* 0, or [like](StrictIssuerBuilder::like) one of [ten other providers](ProviderKind).
//! As in Keycloak, every refresh rotates the refresh token, and whoever presents a consumed one ends
//! the whole login, with its newest tokens. An application that refreshes twice with one token loses
//! its login here, as it would in production.
//!
//! A browser can log in there, too. The authorization endpoint (code flow; PKCE with S256 is
//! required) wants no password: it logs in `login_hint`, or `alice` without one, and sends the
//! browser back at once. Any http or https `redirect_uri` is accepted, but the exchange must name
//! the same one. A code is good once, for 60 s. The end session endpoint ends the session of its
//! `id_token_hint`.
//!
//! # Two providers, measured
//! When a consumed refresh token comes back, both end every refresh and access token of this
//! browser's logins at the client. Another browser keeps its own. The same tests run against this
//! issuer, Keycloak 26.4.0 and oidc-provider 9.13.3 (`tests/provider_contract`), so these rows are
//! true of all three:
//!
//! | what | Keycloak 26.4 | oidc-provider 9.13 |
//! |---|---|---|
//! | access and refresh tokens | JWTs | opaque |
//! | `session_state`, `refresh_expires_in` in the answer, `sid` in the ID token | yes | no |
//! | ID token and `scope` in the answer to a refresh | yes | yes |
//! | a refresh ends the old access token | no | no |
//! | a refresh with a narrower `scope` gets | the whole scope | the narrower one |
//! | a consumed token comes back: `invalid_grant` | `Maximum allowed refresh token reuse exceeded` | `grant request is invalid` |
//! | an even older one comes back | `Stale token`, with the same end | the same |
//! | any token of that login afterwards | `Session doesn't have required client` | the same |
//! | the browser's other login | ends as well | ends as well |
//! | the browser logs in again | it was still logged in: the same `sid` | it gets new tokens |
//! | the old tokens then | stay dead: `refresh token issued before the client session started` | stay dead |
//! | they harm the new login | no | no |
//! | revoking a refresh token, newest or consumed, ends | the browser's logins and its session: the next login has another `sid` | the browser's logins |
//! | a refresh after that | `Session not active` | `grant request is invalid` |
//! | revoking an access token ends | only itself | **all of the browser's logins** |
//! | revoking an unknown or dead token | 200, with `{"error":"invalid_token"}` in it | 200, empty |
//! | revoking an ID token | 400 `unsupported_token_type` | the same |
//! | refresh token past its life | `Token is not active` | `grant request is invalid` |
//! | wrong client secret | 401 `unauthorized_client`, no `WWW-Authenticate` | 401 `invalid_client`, a challenge if it came by Basic |
//! | unknown client | 401 `invalid_client`, no `WWW-Authenticate` | the same, a challenge if it came by Basic |
//! | no client at all | 401 `invalid_client` | 400 `invalid_request` |
//! | a field missing, twice, or not as a form | 400 `invalid_request` | the same |
//! | a wider scope; an unknown grant type | 400 `invalid_scope`; `unsupported_grant_type` | the same |
//! | GET at the token endpoint | 405 | 404 |
//!
//! In two things the issuer is stricter than Keycloak:
//! - It refuses a secret that is sent by Basic and in the form at once, or by a public client, as
//!   RFC 6749 (2.3) says. Keycloak accepts it.
//! - Keycloak counts in seconds. Within one second it accepts an older refresh token as the newer
//!   one, and tokens of an ended login become good again if the browser logs in less than two
//!   seconds after they were issued. A test that relied on this would fail at random.
//!
//! oidc-provider accepts an access token for 15 s after its end (`clockTolerance`). The issuer does
//! not, nor does the oidc-provider that it is compared with. The `error_description` of a refused
//! refresh token is the real provider's; other descriptions may differ, and of the answer to a GET
//! only the status is the same.
//!
//! # Nine providers, read
//! Nobody has compared the issuer with these. What the tables say stands in public documentation or
//! in public reports of the literal answer, linked below.
//!
//! | like | access token, its life | refresh token, its life | a refresh brings | a used refresh token comes back |
//! |---|---|---|---|---|
//! | [GitHub](ProviderKind::GitHub) | opaque, 8 h | opaque, 183 days | a new one; the old access token ends | is refused |
//! | [Google](ProviderKind::Google) | opaque, 1 h | opaque, 183 days without use | none: the same goes on | it is the one |
//! | [Entra](ProviderKind::Entra) | JWT, 3599 s | opaque, 90 days | a new one | stays good |
//! | [Okta](ProviderKind::Okta) | JWT, 1 h | opaque, 90 days from the login | a new one | for 30 s another new one, then it ends the login |
//! | [Auth0](ProviderKind::Auth0) | JWT, 24 h | opaque, 30 days from the login | a new one | ends the login |
//! | [Cognito](ProviderKind::Cognito) | JWT, 1 h | opaque, 30 days from the login | none: the same goes on | it is the one |
//! | [Slack](ProviderKind::Slack) | opaque, 12 h | opaque, endless | a new one | is refused |
//! | [HubSpot](ProviderKind::HubSpot) | opaque, 30 min | opaque, endless | the same | it is the one |
//! | [Fitbit](ProviderKind::Fitbit) | JWT, 8 h | opaque, endless | a new one | is refused |
//!
//! | like | the accent of an answer | a dead refresh token | a wrong secret |
//! |---|---|---|---|
//! | GitHub | a form, unless `Accept` names JSON; `bearer`, `refresh_token_expires_in`, an empty `scope`, no ID token | **200** `bad_refresh_token` | **200** `incorrect_client_credentials` |
//! | Google | none | 400 `invalid_grant`, `Token has been expired or revoked.` | 401 `invalid_client` |
//! | Entra | `ext_expires_in` | 400 `invalid_grant`, an AADSTS number in the description and in `error_codes`; `suberror` if it was not used in time | 401 `invalid_client`, 7000215 |
//! | Okta | none | 400 `invalid_grant`, `The refresh token is invalid or expired.` | 401 `invalid_client` |
//! | Auth0 | none | **403** `invalid_grant`, `Unknown or invalid refresh token.` | 401 **`access_denied`** |
//! | Cognito | no `scope` | 400 `invalid_grant`, without a description | 400 `invalid_client` |
//! | Slack | `ok`, type `user`, commas in `scope`, no ID token; a login nests its tokens in `authed_user` | **200** `{"ok":false,"error":"invalid_refresh_token"}` | **200** `bad_client_secret` |
//! | HubSpot | `bearer`, `hub_id`, a list `scopes`, no ID token | 400 `{"status":"BAD_REFRESH_TOKEN",...}` | not found: by the book, in its shape |
//! | Fitbit | `user_id`, no ID token | 400 `{"errors":[{"errorType":"invalid_grant",...}],"success":false}`, the token itself in `message` | 401, `errorType` `invalid_client` |
//!
//! The sources:
//! - GitHub: [refresh](https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens),
//!   [form or JSON](https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps),
//!   [errors](https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors).
//!   The words of `bad_refresh_token` are from the tests of several public clients.
//! - Google: [refresh and revocation](https://developers.google.com/identity/protocols/oauth2/web-server),
//!   [six months](https://developers.google.com/identity/protocols/oauth2#expiration),
//!   [a dead token](https://github.com/dolfim/django-gmailapi-backend/issues/9),
//!   [an unknown one](https://github.com/google/oauth2client/issues/451),
//!   [a wrong client](https://github.com/SocialiteProviders/Providers/issues/564).
//! - Entra: [refresh tokens](https://learn.microsoft.com/en-us/entra/identity-platform/refresh-tokens),
//!   [a dead token](https://github.com/Azure/azure-cli/issues/14244),
//!   [its `suberror`](https://github.com/microsoft/foundry-dev-tools/issues/707),
//!   [a wrong client](https://github.com/OfficeDev/microsoft-365-agents-toolkit/issues/8621).
//! - Okta: [rotation and grace](https://developer.okta.com/docs/guides/refresh-tokens/main/),
//!   [lifetimes](https://support.okta.com/help/s/article/What-is-the-lifetime-of-the-JWT-tokens),
//!   [the fixed end](https://support.okta.com/help/s/article/refresh-token-expiration-behavior),
//!   [a dead token](https://github.com/okta/okta-react-native/issues/109).
//! - Auth0: [rotation and overlap](https://auth0.com/docs/secure/tokens/refresh-tokens/configure-refresh-token-rotation),
//!   lifetimes of [refresh](https://auth0.com/docs/secure/tokens/refresh-tokens/configure-refresh-token-expiration)
//!   and [access tokens](https://auth0.com/docs/secure/tokens/access-tokens/update-access-token-lifetime),
//!   [a dead token](https://support.auth0.com/center/s/article/troubleshoot-refresh-token-unknown-or-invalid-before-expiry-403-unknown-or-invalid-refresh-token),
//!   [a wrong client](https://github.com/auth0-samples/auth0-angular-samples/issues/201).
//! - Cognito: [the token endpoint](https://docs.aws.amazon.com/cognito/latest/developerguide/token-endpoint.html),
//!   [rotation](https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_RefreshTokenRotationType.html),
//!   [revocation](https://docs.aws.amazon.com/cognito/latest/developerguide/revocation-endpoint.html),
//!   [a dead token](https://github.com/aws/aws-sdk-js/issues/3836),
//!   [a wrong client](https://github.com/amazon-archives/amazon-cognito-auth-js/issues/116).
//! - Slack: [rotation](https://docs.slack.dev/authentication/using-token-rotation),
//!   [errors](https://docs.slack.dev/reference/methods/oauth.v2.access),
//!   [a login nests and a refresh does not](https://github.com/NVIDIA/nemoclaw-community/issues/122).
//! - HubSpot: [the answer](https://developers.hubspot.com/changelog/additional-details-returned-when-generating-oauth-access-tokens),
//!   [its life](https://developers.hubspot.com/changelog/upcoming-expiration-of-oauth-access-tokens-is-changing),
//!   [a dead token](https://nango.dev/blog/hubspot-oauth-bad-refresh-token).
//! - Fitbit: [refresh](https://dev.fitbit.com/build/reference/web-api/authorization/refresh-token),
//!   [lifetimes](https://dev.fitbit.com/build/reference/web-api/developer-guide/best-practices),
//!   [a dead token](https://github.com/home-assistant/core/issues/141223),
//!   [a wrong client](https://github.com/djchen/oauth2-fitbit/issues/12).
//!
//! What no source says is by the book (RFC 6749, RFC 7009, OpenID Connect): a missing client where
//! it is not in the table, a GET at the token endpoint, a narrower scope, whether Google sends an
//! ID token with a refresh (the issuer does), whether a used token at GitHub, Slack or Fitbit ends
//! more than itself (here it does not). Every kind has all endpoints, also those that the provider
//! lacks, such as GitHub's discovery or Entra's revocation. Where a login ends, its access tokens
//! end here, too; a provider that hands out JWTs can only wait for their end.
//!
//! # Four ways to reach it
//! The issuer is a state machine without I/O. It answers
//! - as a function: [`StrictIssuer::handle`];
//! - in memory: [`StrictIssuer::transport`], which works with paused time;
//! - over wiremock: [`StrictIssuer::start_wiremock`] and [`StrictIssuer::mount`];
//! - over a real HTTP server: [`StrictIssuer::serve`] and [`StrictIssuer::serve_on`].
//!
//! It traces each login, refresh and logout, and why a refresh token was refused, at the level
//! `DEBUG` and without a token.
//!
//! ```
//! use std::time::Duration;
//! use tower_token_refresh::testing::{ManualClock, StrictIssuer};
//!
//! let clock = ManualClock::new();
//! let issuer = StrictIssuer::builder()
//!     .clock(clock.clock())
//!     .access_token_lifetime(Duration::from_secs(300))
//!     .build();
//!
//! let tokens = issuer.log_in("alice");
//! let access_token = tokens["access_token"].as_str().unwrap();
//! assert!(issuer.is_access_token_live(access_token));
//!
//! clock.advance(Duration::from_secs(300));
//! assert!(!issuer.is_access_token_live(access_token));
//! ```

mod addresses;
mod answer;
mod authorization;
mod builder;
mod client_assertion;
mod client_auth;
mod clock;
mod dpop;
mod fake_lock;
mod gate;
mod grants;
mod http;
mod in_memory;
mod issuer;
mod logout_tokens;
mod memory_tokens;
mod probes;
mod provider;
mod revocation;
mod script;
mod signing;
mod state;
mod tokens;
mod wire;
mod wiremock;

pub use self::{
    addresses::Endpoint,
    builder::StrictIssuerBuilder,
    clock::ManualClock,
    fake_lock::FakeLock,
    gate::Gate,
    http::IssuerServer,
    issuer::{AnswerLost, StrictIssuer},
    memory_tokens::MemoryTokens,
    provider::ProviderKind,
    wiremock::WiremockIssuer,
};
