//! Endpoints of well-known providers. `docs/providers.md` has what each one does, with the sources.

use super::{auth::ClientAuth, discover::Discover, token_endpoint::TokenEndpoint};

const ENTRA: &str = "https://login.microsoftonline.com";
/// The tenant of all personal Microsoft accounts.
const CONSUMERS: &str =
    "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0";

/// # Providers
/// Each fixes what the provider publishes: its issuer or its endpoints. What must be set at the
/// provider and at login is in [`docs::providers`](crate::docs::providers). A domain may have
/// `https://` in front.
///
/// ```
/// use tower_token_refresh::{ClientAuth, TokenEndpoint};
///
/// let auth = ClientAuth::post("my-app", "s3cret");
/// let endpoint = TokenEndpoint::auth0("my-tenant.eu.auth0.com", auth).lazy();
/// # let _ = endpoint;
/// ```
impl TokenEndpoint {
    /// Microsoft Entra ID, by discovery. `tenant` is the tenant's id, or `common`, `organizations`
    /// or `consumers`. Not a domain name of a tenant: its document is expected to name the id.
    ///
    /// **The danger.** With `common` and `organizations`, tokens of *every* tenant are accepted: see
    /// [`accept_issuer`](Self::accept_issuer). Check the `tid` claim against the tenants you know.
    ///
    /// Ask for the scope `offline_access` at login. Entra has no revocation endpoint.
    pub fn entra(tenant: impl AsRef<str>, auth: ClientAuth) -> Discover {
        let tenant = tenant.as_ref();
        let endpoint = Self::discover(format!("{ENTRA}/{tenant}/v2.0"), auth);
        match tenant {
            "common" | "organizations" => {
                endpoint.accept_issuer(format!("{ENTRA}/{{tenantid}}/v2.0"))
            }
            "consumers" => endpoint.accept_issuer(CONSUMERS),
            _ => endpoint,
        }
    }

    /// Google, by discovery. Its tokens may name `accounts.google.com` without a scheme.
    ///
    /// Log in with `access_type=offline` and `prompt=consent`, or there is no refresh token. It is
    /// not rotated.
    pub fn google(auth: ClientAuth) -> Discover {
        Self::discover("https://accounts.google.com", auth).accept_issuer("accounts.google.com")
    }

    /// GitHub, for GitHub Apps whose user tokens expire. The tokens of an OAuth app do not, and are
    /// served until the API refuses them.
    ///
    /// It has no ID tokens, no revocation endpoint of RFC 7009 and no end session endpoint. Name the
    /// user with [`TokenSet::with_subject`](crate::TokenSet::with_subject).
    #[must_use]
    pub fn github(auth: ClientAuth) -> Self {
        Self::new("https://github.com/login/oauth/access_token", auth)
            .issuer("https://github.com/login/oauth")
            .authorization_url("https://github.com/login/oauth/authorize")
    }

    /// Okta, by discovery. `domain` alone is the org authorization server; for a custom one, add its
    /// path: `my-org.okta.com/oauth2/default`.
    ///
    /// Ask for the scope `offline_access` at login.
    pub fn okta(domain: impl AsRef<str>, auth: ClientAuth) -> Discover {
        Self::discover(https(domain.as_ref()), auth)
    }

    /// Auth0, by discovery. Older tenants leave the end session endpoint out of their document, so it
    /// is set here.
    ///
    /// Ask for the scope `offline_access` at login, and send Auth0's `audience` parameter there
    /// if the access token is for an API of yours.
    pub fn auth0(domain: impl AsRef<str>, auth: ClientAuth) -> Discover {
        let base = https(domain.as_ref());
        let end_session = format!("{base}/oidc/logout");
        Self::discover(format!("{base}/"), auth)
            .with(|endpoint| endpoint.end_session_url(end_session))
    }

    /// Amazon Cognito. `domain` is that of the user pool, such as
    /// `my-app.auth.eu-west-1.amazoncognito.com` or one of your own.
    ///
    /// The issuer cannot be told from it. To have tokens verified, also set
    /// [`issuer`](Self::issuer) (`https://cognito-idp.REGION.amazonaws.com/POOL-ID`) and
    /// [`jwks_url`](Self::jwks_url) (the issuer with `/.well-known/jwks.json`). Do not ask for
    /// `offline_access`: Cognito refuses it. Its `/logout` is no OpenID Connect end session endpoint.
    #[must_use]
    pub fn cognito(domain: impl AsRef<str>, auth: ClientAuth) -> Self {
        let base = https(domain.as_ref());
        Self::new(format!("{base}/oauth2/token"), auth)
            .revocation_url(format!("{base}/oauth2/revoke"))
            .authorization_url(format!("{base}/oauth2/authorize"))
    }

    /// Keycloak, by discovery. `realm_url` is like `https://id.example/realms/my-realm`.
    ///
    /// [`docs::keycloak`](crate::docs::keycloak) has the settings of realm and client.
    pub fn keycloak(realm_url: impl AsRef<str>, auth: ClientAuth) -> Discover {
        Self::discover(realm_url.as_ref().trim_end_matches('/'), auth)
    }
}

fn https(domain: &str) -> String {
    let domain = domain.trim_end_matches('/');
    if domain.contains("://") { domain.to_owned() } else { format!("https://{domain}") }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;
    use crate::endpoint::{
        Provider, TokenTypeHint, Transport,
        test_support::{Script, answer, refresh_token, tokens},
    };

    fn auth() -> ClientAuth {
        ClientAuth::basic("app", "secret")
    }

    /// Answers discovery with a document of this issuer, and everything else with tokens.
    fn provider_of(issuer: &str) -> (Transport, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, issuer) = (asked.clone(), issuer.to_owned());
        let transport = Script::default().answering(move |request, _| {
            log.lock().unwrap().push(request.uri().to_string());
            let is_document = request.uri().path().ends_with("/.well-known/openid-configuration");
            let body: Value = if is_document {
                json!({"issuer": issuer, "token_endpoint": "https://id.example/token"})
            } else {
                tokens()
            };
            answer(200, body.to_string())
        });
        (transport, asked)
    }

    async fn asks(endpoint: TokenEndpoint, issuer: &str) -> (Provider, Vec<String>) {
        let (transport, asked) = provider_of(issuer);
        let provider = endpoint.transport(transport).validate().expect("settings that agree");
        provider.refresh_always(&refresh_token()).await.expect("tokens");
        let asked = asked.lock().unwrap().clone();
        (provider, asked)
    }

    #[tokio::test]
    async fn each_is_discovered_where_it_says_it_is_and_accepts_the_issuer_that_it_names() {
        let document = |issuer: &str| format!("{issuer}/.well-known/openid-configuration");
        for (endpoint, at, names) in [
            (TokenEndpoint::entra("1-2", auth()), "https://login.microsoftonline.com/1-2/v2.0", ""),
            (
                TokenEndpoint::entra("common", auth()),
                "https://login.microsoftonline.com/common/v2.0",
                "https://login.microsoftonline.com/{tenantid}/v2.0",
            ),
            (
                TokenEndpoint::entra("consumers", auth()),
                "https://login.microsoftonline.com/consumers/v2.0",
                CONSUMERS,
            ),
            (TokenEndpoint::google(auth()), "https://accounts.google.com", ""),
            (TokenEndpoint::okta("a.okta.com", auth()), "https://a.okta.com", ""),
            (
                TokenEndpoint::okta("https://a.okta.com/oauth2/default", auth()),
                "https://a.okta.com/oauth2/default",
                "",
            ),
            (
                TokenEndpoint::auth0("a.auth0.com", auth()),
                "https://a.auth0.com",
                "https://a.auth0.com/",
            ),
            (
                TokenEndpoint::keycloak("https://id.example/realms/a/", auth()),
                "https://id.example/realms/a",
                "",
            ),
        ] {
            let names = if names.is_empty() { at } else { names };
            let (_, asked) = asks(endpoint.lazy(), names).await;
            assert_eq!(asked, [document(at), "https://id.example/token".to_owned()]);
        }
    }

    #[tokio::test]
    async fn the_others_have_fixed_endpoints() {
        let (github, asked) = asks(TokenEndpoint::github(auth()), "").await;
        assert_eq!(asked, ["https://github.com/login/oauth/access_token"]);
        assert_eq!(github.issuer_id(), "https://github.com/login/oauth");

        let cognito = TokenEndpoint::cognito("a.auth.eu-west-1.amazoncognito.com", auth());
        let (transport, asked) = provider_of("");
        let cognito = cognito.transport(transport).validate().expect("settings that agree");
        cognito.refresh_always(&refresh_token()).await.expect("tokens");
        cognito.revoke(&refresh_token(), TokenTypeHint::RefreshToken).await.expect("revoked");
        let at = "https://a.auth.eu-west-1.amazoncognito.com/oauth2";
        assert_eq!(*asked.lock().unwrap(), [format!("{at}/token"), format!("{at}/revoke")]);
    }

    #[tokio::test]
    async fn auth0s_end_session_endpoint_needs_no_discovery() {
        let (provider, _) =
            asks(TokenEndpoint::auth0("a.auth0.com", auth()).lazy(), "https://a.auth0.com/").await;
        let end_session = provider.end_session_url().await.expect("discovered");
        assert_eq!(end_session.expect("set").to_string(), "https://a.auth0.com/oidc/logout");
    }
}
