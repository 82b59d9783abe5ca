//! The strict issuer is as the providers are: every rule is one body, run against the issuer in
//! both of its modes and against Keycloak and oidc-provider themselves. What they do differently
//! stands in `manners`, and nowhere else.

mod clients;
mod expiry;
mod manners;
mod requests;
mod reuse;
mod revocation;
mod rotation;
mod subject;

/// Each rule, for each of the four.
macro_rules! contract {
    ($($file:ident::$rule:ident,)*) => { $(
        mod $rule {
            use crate::{$file::$rule as rule, subject::Subject};
            use tower_token_refresh::testing::ProviderKind;

            #[tokio::test]
            async fn on_strict_issuer_as_keycloak() {
                rule(&Subject::strict(ProviderKind::Keycloak).await).await;
            }

            #[tokio::test]
            async fn on_strict_issuer_as_oidc_provider() {
                rule(&Subject::strict(ProviderKind::OidcProvider).await).await;
            }

            #[tokio::test]
            #[ignore = "needs Keycloak: see tests/services/run"]
            async fn on_keycloak() {
                rule(&Subject::keycloak().await).await;
            }

            #[tokio::test]
            #[ignore = "needs oidc-provider: see tests/services/run"]
            async fn on_oidc_provider() {
                rule(&Subject::oidc_provider().await).await;
            }
        }
    )* };
}

contract! {
    rotation::a_login_and_a_refresh_bring_these_fields,
    rotation::a_refresh_rotates_and_ends_no_access_token,
    rotation::two_logins_of_a_browser_refresh_on_their_own,
    rotation::a_scope_is_narrowed_for_one_refresh_at_most,
    reuse::a_consumed_token_ends_every_token_of_its_login,
    reuse::an_older_token_does_the_same,
    reuse::it_ends_the_other_login_of_the_browser_too,
    reuse::it_ends_nothing_in_another_browser,
    reuse::the_browser_logs_in_again_and_the_old_tokens_stay_dead,
    revocation::of_a_refresh_token_ends_the_browsers_logins,
    revocation::of_a_consumed_refresh_token_does_the_same,
    revocation::of_a_refresh_token_ends_nothing_in_another_browser,
    revocation::of_an_access_token,
    revocation::of_what_is_not_live,
    revocation::of_an_id_token_is_refused,
    expiry::an_access_token_ends_by_itself,
    expiry::a_refresh_token_ends_by_itself,
    clients::a_wrong_client_is_refused_and_consumes_nothing,
    clients::a_client_may_name_itself_in_the_form,
    clients::a_public_client_sends_its_id,
    requests::a_bad_request_is_refused_and_consumes_nothing,
    requests::a_token_of_another_kind_is_no_refresh_token,
    requests::userinfo_challenges_whoever_has_no_live_token,
}
