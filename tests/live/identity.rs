//! At real providers: refreshed ID tokens and the claims of access tokens verify by the keys the
//! provider shows, also by new ones.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use support::providers::{Browser, Provider};
use tower_sessions::{MemoryStore, Session};
use tower_token_refresh::{
    AccessToken, ClaimsTrust, Logout, StandardClaims, TokenRefresher, TokenSet, tower_sessions,
};

/// Somebody who is logged in, by the real clock.
struct Visitor {
    refresher: TokenRefresher,
    session: Session,
    subject: String,
}

impl Visitor {
    async fn at(provider: &Provider) -> Self {
        let refresher = TokenRefresher::builder(provider.endpoint().await, MemoryStore::default())
            .claims_trust(ClaimsTrust::Verified { audience: None })
            .build()
            .expect("the settings agree");
        let session = Session::new(None, Arc::new(refresher.session_store()), None);
        let user = provider.new_user().await;
        let mut response = Browser::new().log_in(provider, &user).await;
        // Without the first ID token: an ID token there is later is one that came with a refresh
        // and verified.
        response["id_token"] = Value::Null;
        let set =
            TokenSet::from_response(response).expect("a token set").with_subject(&user.subject);
        refresher.log_in(&session, set).await.expect("logged in");
        Self { refresher, session, subject: user.subject }
    }

    async fn token(&self) -> AccessToken {
        self.refresher.valid_token(&self.session).await.expect("a token")
    }

    /// As if an API had refused the token.
    async fn refresh(&self) -> AccessToken {
        let rejected = self.token().await;
        self.refresher.newer_token(&self.session, &rejected).await.expect("a newer token")
    }

    /// The ID token that was stored last: one that did not verify would not be.
    async fn log_out(self) -> Option<String> {
        let outcome = self.refresher.log_out(&self.session, Logout::EndSession).await;
        outcome.expect("logged out").id_token().map(str::to_owned)
    }
}

fn header_of(jwt: &str) -> Value {
    let header = jwt.split('.').next().expect("a JWT");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header).expect("base64url"))
        .expect("JSON")
}

async fn a_refreshed_id_token_verifies(provider: Provider) {
    let never_refreshed = Visitor::at(&provider).await;
    assert_eq!(never_refreshed.log_out().await, None);

    let visitor = Visitor::at(&provider).await;
    let second = visitor.refresh().await;
    assert_eq!(second.subject(), Some(visitor.subject.as_str()));
    assert!(provider.is_live(second.secret()).await);
    let id_token = visitor.log_out().await.expect("it came with the refresh");
    assert_eq!(header_of(&id_token)["alg"], "RS256");
}

#[tokio::test]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn keycloaks_refreshed_id_token_verifies() {
    a_refreshed_id_token_verifies(Provider::keycloak().await).await;
}

#[tokio::test]
#[ignore = "needs oidc-provider: see tests/services/run"]
async fn oidc_providers_refreshed_id_token_verifies() {
    a_refreshed_id_token_verifies(Provider::oidc_provider().await).await;
}

#[tokio::test]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn keycloaks_new_realm_key_is_fetched_when_a_token_names_it() {
    let provider = Provider::keycloak().await;
    let visitor = Visitor::at(&provider).await;
    let before = visitor.refresh().await;
    provider.rotate_keys().await;
    let after = visitor.refresh().await;
    let key = &header_of(after.secret())["kid"];
    assert_ne!(key, &header_of(before.secret())["kid"], "another key signed it");
    after.verify().await.expect("the access token verifies by the new key");
    let id_token = visitor.log_out().await.expect("an ID token");
    assert_eq!(&header_of(&id_token)["kid"], key, "and so did the ID token");
}

#[tokio::test]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn keycloaks_access_token_has_verified_claims() {
    let provider = Provider::keycloak().await;
    let visitor = Visitor::at(&provider).await;
    let token = visitor.token().await;
    token.verify().await.expect("it verifies");
    let claims = token.claims::<StandardClaims>().expect("claims");
    assert_eq!(claims.sub.as_deref(), Some(visitor.subject.as_str()));
}
