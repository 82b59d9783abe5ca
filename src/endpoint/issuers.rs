//! [`Issuers`]: which issuers tokens and the discovery document may name.

use std::sync::Arc;

use serde_json::Value;

use super::{discovery::address::without_secrets, jwt::JwtClaims, token_endpoint::TokenEndpoint};
use crate::ConfigError;

/// Stands for the `tid` claim of the token (Microsoft Entra).
const TENANT: &str = "{tenantid}";

/// The configured or discovered issuer, and those accepted beside it.
#[derive(Debug, Clone)]
pub(crate) struct Issuers {
    own: Arc<str>,
    accepted: Arc<[String]>,
}

impl Issuers {
    pub(crate) fn new(own: &str, accepted: &[String]) -> Self {
        Self { own: own.into(), accepted: accepted.into() }
    }

    /// The configured or discovered issuer.
    pub(crate) fn own(&self) -> &str {
        &self.own
    }

    /// Whether a token with these claims may name `iss`.
    pub(crate) fn accepts(&self, iss: &str, claims: &JwtClaims) -> bool {
        let tenant = claims.get("tid").and_then(Value::as_str).filter(|tid| !tid.is_empty());
        *self.own == *iss
            || self.accepted.iter().any(|accepted| match tenant {
                Some(tenant) => accepted.replace(TENANT, tenant) == iss,
                None => accepted == iss && !accepted.contains(TENANT),
            })
    }

    /// Whether the discovery document may name `issuer`. A `{tenantid}` in it stands for itself.
    pub(crate) fn may_name_document(&self, issuer: &str) -> bool {
        *self.own == *issuer || self.accepted.iter().any(|accepted| accepted == issuer)
    }

    /// Whether the answer to an authorization request may name `iss` (RFC 9207). Which tenant it
    /// is, the ID token tells later.
    #[cfg(feature = "login")]
    pub(crate) fn may_answer(&self, iss: &str) -> bool {
        *self.own == *iss
            || self.accepted.iter().any(|accepted| match accepted.split_once(TENANT) {
                Some((before, after)) => iss
                    .strip_prefix(before)
                    .and_then(|rest| rest.strip_suffix(after))
                    .is_some_and(|tenant| !tenant.is_empty() && !tenant.contains('/')),
                None => accepted == iss,
            })
    }

    /// Whether both are spellings of one issuer. Deliberately not for `{tenantid}`: two tenants are
    /// two issuers.
    pub(crate) fn are_one(&self, one: &str, other: &str) -> bool {
        let is_spelling = |iss: &str| !iss.contains(TENANT) && self.may_name_document(iss);
        one == other || (is_spelling(one) && is_spelling(other))
    }
}

/// Checks the arguments of [`accept_issuer`](TokenEndpoint::accept_issuer).
pub(super) fn check(accepted: &[String], own: Option<&str>) -> Result<(), ConfigError> {
    let broken = |value: &str, rule| {
        let value = if value.is_empty() { "empty".into() } else { without_secrets(value) };
        Err(ConfigError::Range { what: "accept_issuer", value, rule })
    };
    for issuer in accepted {
        if issuer.is_empty() {
            return broken(issuer, "must not be empty");
        }
        if issuer.replace(TENANT, "").contains(['{', '}']) {
            return broken(issuer, "only {tenantid} may stand in braces");
        }
        if own.is_none() {
            return broken(issuer, "the endpoint needs an issuer of its own, or discovery");
        }
    }
    Ok(())
}

/// # Issuers
impl TokenEndpoint {
    /// Accepts `issuer` beside the configured or discovered one. Tokens whose `iss` is checked (ID
    /// tokens, access tokens with [`ClaimsTrust::Verified`](crate::ClaimsTrust), logout tokens) may
    /// name it, and so may the discovery document. Call it once for each issuer.
    ///
    /// OpenID Connect Discovery 1.0, section 4.3, wants the document's issuer to equal the one it
    /// was asked for, and OpenID Connect Core 1.0, section 3.1.3.7 (2), wants `iss` to equal that.
    /// These providers differ:
    ///
    /// | provider | discovered at | accept |
    /// |---|---|---|
    /// | Microsoft Entra, any tenant | `https://login.microsoftonline.com/common/v2.0` (or `organizations`) | `https://login.microsoftonline.com/{tenantid}/v2.0` |
    /// | Azure AD B2C | `https://TENANT.b2clogin.com/TENANT.onmicrosoft.com/POLICY/v2.0` | `https://TENANT.b2clogin.com/TENANT-ID/v2.0/` |
    /// | Google | `https://accounts.google.com` | `accounts.google.com`, which older tokens name |
    ///
    /// It is compared character for character. In a token's `iss`, `{tenantid}` stands for the
    /// token's own `tid` claim; in the discovery document it stands for itself.
    ///
    /// **The danger.** Whoever can get the keys of this endpoint to sign for an accepted issuer is
    /// believed. With `{tenantid}`, these are the users of *every* tenant: the owner of any tenant
    /// makes users as it likes, with any name and e-mail address. So check `tid` against the tenants
    /// that you know, and tell users apart by `tid` and `sub` together (or `oid`), never by e-mail.
    /// Accept no issuer of another provider: a refresh whose `iss` changes from one accepted issuer
    /// to another (without `{tenantid}`) does not end the login.
    ///
    /// Building the refresher refuses an empty issuer, braces around anything but `tenantid`, and an
    /// endpoint that has no [`issuer`](Self::issuer) of its own and no discovery.
    #[must_use]
    pub fn accept_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.accepted_issuers.push(issuer.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        ClientAuth,
        endpoint::test_support::{Script, answer},
    };

    const COMMON: &str = "https://login.microsoftonline.com/common/v2.0";
    const ANY_TENANT: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";
    const TENANT_A: &str = "https://login.microsoftonline.com/aaaa/v2.0";
    const GOOGLE: &str = "https://accounts.google.com";
    const B2C: &str = "https://contoso.b2clogin.com/contoso.onmicrosoft.com/b2c_1_in/v2.0/";
    const B2C_NAMED: &str = "https://contoso.b2clogin.com/1111/v2.0/";

    fn issuers(own: &str, accepted: &[&str]) -> Issuers {
        let accepted: Vec<_> = accepted.iter().map(|issuer| (*issuer).to_owned()).collect();
        Issuers::new(own, &accepted)
    }

    #[test]
    fn a_token_may_name_the_own_issuer_and_the_accepted_ones() {
        for (own, accepted, claims, passes) in [
            (GOOGLE, &[][..], json!({"iss": GOOGLE}), true),
            (GOOGLE, &[], json!({"iss": "accounts.google.com"}), false),
            (GOOGLE, &["accounts.google.com"], json!({"iss": "accounts.google.com"}), true),
            (GOOGLE, &["accounts.google.com"], json!({"iss": GOOGLE}), true),
            (GOOGLE, &["accounts.google.com"], json!({"iss": "http://accounts.google.com"}), false),
            (B2C, &[B2C_NAMED], json!({"iss": B2C_NAMED}), true),
            (B2C, &[B2C_NAMED], json!({"iss": "https://contoso.b2clogin.com/1111/v2.0"}), false),
            (COMMON, &[ANY_TENANT], json!({"iss": TENANT_A, "tid": "aaaa"}), true),
            (COMMON, &[ANY_TENANT], json!({"iss": COMMON, "tid": "aaaa"}), true),
            (COMMON, &[ANY_TENANT], json!({"iss": TENANT_A, "tid": "bbbb"}), false),
            (COMMON, &[ANY_TENANT], json!({"iss": TENANT_A, "tid": ""}), false),
            (COMMON, &[ANY_TENANT], json!({"iss": TENANT_A, "tid": ["aaaa"]}), false),
            (COMMON, &[ANY_TENANT], json!({"iss": TENANT_A}), false),
            (COMMON, &[ANY_TENANT], json!({"iss": ANY_TENANT}), false),
            (
                COMMON,
                &[ANY_TENANT],
                json!({"iss": "https://login.microsoftonline.com//v2.0", "tid": ""}),
                false,
            ),
            (COMMON, &[], json!({"iss": TENANT_A, "tid": "aaaa"}), false),
        ] {
            let iss = claims["iss"].as_str().expect("text");
            let claims = claims.as_object().expect("claims");
            assert_eq!(
                issuers(own, accepted).accepts(iss, claims),
                passes,
                "{own} {accepted:?} {claims:?}"
            );
        }
    }

    #[cfg(feature = "login")]
    #[test]
    fn the_answer_to_a_login_may_name_any_tenant_and_no_other_issuer() {
        let entra = issuers(COMMON, &[ANY_TENANT]);
        for (iss, passes) in [
            (COMMON, true),
            (TENANT_A, true),
            ("https://login.microsoftonline.com//v2.0", false),
            ("https://login.microsoftonline.com/a/b/v2.0", false),
            ("https://login.microsoftonline.com/aaaa/v2.0/", false),
            ("https://evil.example/aaaa/v2.0", false),
        ] {
            assert_eq!(entra.may_answer(iss), passes, "{iss}");
        }
        assert!(issuers(GOOGLE, &["accounts.google.com"]).may_answer("accounts.google.com"));
        assert!(!issuers(GOOGLE, &[]).may_answer("accounts.google.com"));
    }

    #[test]
    fn two_spellings_are_one_issuer_and_two_tenants_are_not() {
        let google = issuers(GOOGLE, &["accounts.google.com"]);
        assert!(google.are_one(GOOGLE, "accounts.google.com"));
        assert!(google.are_one("https://elsewhere.example", "https://elsewhere.example"));
        assert!(!google.are_one(GOOGLE, "https://elsewhere.example"));
        let entra = issuers(COMMON, &[ANY_TENANT]);
        assert!(!entra.are_one(TENANT_A, "https://login.microsoftonline.com/bbbb/v2.0"));
        assert!(!entra.are_one(COMMON, TENANT_A) && !entra.are_one(COMMON, ANY_TENANT));
    }

    #[test]
    fn what_cannot_be_an_issuer_is_refused() {
        let at = |endpoint: TokenEndpoint| {
            endpoint.transport(Script::default().answering(|_, _| answer(200, "")))
        };
        let bare = || at(TokenEndpoint::new("https://id.example/token", ClientAuth::none("app")));
        let own = || bare().issuer("https://id.example");
        for (endpoint, message) in [
            (own().accept_issuer(""), "accept_issuer is empty: must not be empty"),
            (
                own().accept_issuer("https://id.example/{tenant}/v2.0"),
                "accept_issuer is https://id.example/{tenant}/v2.0: only {tenantid} may stand in braces",
            ),
            (
                bare().accept_issuer("https://id.example"),
                "accept_issuer is https://id.example: the endpoint needs an issuer of its own, or discovery",
            ),
        ] {
            assert_eq!(endpoint.validate().expect_err(message).to_string(), message);
        }
        let provider = own().accept_issuer(ANY_TENANT).accept_issuer("id.example").validate();
        assert_eq!(provider.expect("good").issuer(), Some("https://id.example"));
        let discovered = TokenEndpoint::discover(COMMON, ClientAuth::none("app"));
        assert!(at(discovered.accept_issuer(ANY_TENANT).lazy()).validate().is_ok());
    }
}
