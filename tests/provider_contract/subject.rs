//! Who a rule is checked on: one of the providers or the strict issuer, with the manners expected
//! of it.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use support::providers::{Answer, Browser, Provider, User};
use tower_token_refresh::testing::{ManualClock, ProviderKind, StrictIssuer};

use crate::manners::{self, Manners, Refused};

pub(crate) struct Subject {
    pub(crate) provider: Provider,
    pub(crate) manners: Manners,
    time: Time,
}

/// Whose time passes while a rule waits for something.
enum Time {
    Real,
    Manual { clock: ManualClock, kind: ProviderKind },
}

/// Longer than any wait of the contract, in moments.
const PATIENCE: usize = 200;

impl Subject {
    pub(crate) async fn keycloak() -> Self {
        Self { provider: Provider::keycloak().await, manners: manners::KEYCLOAK, time: Time::Real }
    }

    pub(crate) async fn oidc_provider() -> Self {
        Self {
            provider: Provider::oidc_provider().await,
            manners: manners::OIDC_PROVIDER,
            time: Time::Real,
        }
    }

    pub(crate) async fn strict(kind: ProviderKind) -> Self {
        let clock = ManualClock::new();
        let issuer = StrictIssuer::builder().like(kind).clock(clock.clock()).build();
        Self::serve(kind, clock, &issuer).await
    }

    async fn serve(kind: ProviderKind, clock: ManualClock, issuer: &StrictIssuer) -> Self {
        let manners = manners::of_strict_issuer(kind);
        Self {
            provider: Provider::serve(issuer).await,
            manners,
            time: Time::Manual { clock, kind },
        }
    }

    /// Asked by a client whose access tokens live for two seconds and whose refresh tokens live for
    /// four.
    pub(crate) async fn with_brief_tokens(&self) -> Self {
        let Time::Manual { clock, kind } = &self.time else {
            return self.with_client("web-brief", Some("secret"));
        };
        let issuer = StrictIssuer::builder()
            .like(*kind)
            .client("web-brief", "secret")
            .access_token_lifetime(Duration::from_secs(2))
            .refresh_token_lifetime(Duration::from_secs(4))
            .clock(clock.clock())
            .build();
        Self::serve(*kind, clock.clone(), &issuer).await.with_client("web-brief", Some("secret"))
    }

    /// Asked by a client without a secret.
    pub(crate) async fn with_public_client(&self) -> Self {
        let Time::Manual { clock, kind } = &self.time else { return self.with_client("spa", None) };
        let issuer =
            StrictIssuer::builder().like(*kind).public_client("spa").clock(clock.clock()).build();
        Self::serve(*kind, clock.clone(), &issuer).await.with_client("spa", None)
    }

    fn with_client(&self, id: &'static str, secret: Option<&'static str>) -> Self {
        let time = match &self.time {
            Time::Real => Time::Real,
            Time::Manual { clock, kind } => Time::Manual { clock: clock.clone(), kind: *kind },
        };
        Self {
            provider: self.provider.with_client(id, secret),
            manners: self.manners.clone(),
            time,
        }
    }

    /// A fresh user in a fresh browser, logged in.
    pub(crate) async fn log_in(&self) -> (User, Browser, Tokens) {
        let (user, browser) = (self.provider.new_user().await, Browser::new());
        let tokens = self.log_in_at(&browser, &user).await;
        (user, browser, tokens)
    }

    pub(crate) async fn log_in_at(&self, browser: &Browser, user: &User) -> Tokens {
        Tokens(browser.log_in(&self.provider, user).await)
    }

    /// A refresh that must succeed.
    pub(crate) async fn refreshed(&self, tokens: &Tokens) -> Tokens {
        let answer = self.provider.refresh(tokens.refresh()).await;
        assert_eq!(answer.status, 200, "{:?}", answer.text("error_description"));
        Tokens(answer.body)
    }

    /// A refresh that must be refused with `invalid_grant` and these words.
    pub(crate) async fn assert_refused(&self, refresh_token: &str, words: &str) {
        let answer = self.provider.refresh(refresh_token).await;
        let found =
            (answer.status.as_u16(), answer.text("error"), answer.text("error_description"));
        assert_eq!(found, (400, "invalid_grant", words));
    }

    pub(crate) async fn is_live(&self, tokens: &Tokens) -> bool {
        self.provider.is_live(tokens.access()).await
    }

    /// Until the provider's clock, which counts whole seconds, is more than a second past the issue
    /// of these.
    pub(crate) async fn until_well_after(&self, tokens: &Tokens) {
        let (_, _, mut newest) = self.log_in().await;
        for _ in 0..PATIENCE {
            if newest.issued_at() > tokens.issued_at() + 1 {
                return;
            }
            self.moment().await;
            newest = self.refreshed(&newest).await;
        }
        panic!("the provider's clock stands still");
    }

    /// Until the access token has ended.
    pub(crate) async fn until_ended(&self, tokens: &Tokens) {
        for _ in 0..PATIENCE {
            if !self.is_live(tokens).await {
                return;
            }
            self.moment().await;
        }
        panic!("the access token does not end");
    }

    /// A little time between two looks: the provider's own, or the issuer's by hand.
    async fn moment(&self) {
        match &self.time {
            Time::Real => tokio::time::sleep(Duration::from_millis(100)).await,
            Time::Manual { clock, .. } => clock.advance(Duration::from_secs(1)),
        }
    }
}

/// A token response.
pub(crate) struct Tokens(pub(crate) Value);

impl Tokens {
    pub(crate) fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_else(|| panic!("no {field} in the answer"))
    }

    pub(crate) fn access(&self) -> &str {
        self.text("access_token")
    }

    pub(crate) fn refresh(&self) -> &str {
        self.text("refresh_token")
    }

    /// The claims of the ID token.
    pub(crate) fn claims(&self) -> Value {
        claims(self.text("id_token")).expect("an ID token is a JWT")
    }

    fn issued_at(&self) -> i64 {
        self.claims()["iat"].as_i64().expect("a time")
    }
}

/// The claims of a JWT; None for what is none.
pub(crate) fn claims(token: &str) -> Option<Value> {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

impl Refused {
    pub(crate) fn check(self, answer: &Answer) {
        let found = (answer.status.as_u16(), answer.text("error"), !answer.challenge.is_empty());
        assert_eq!(found, (self.status, self.error, self.challenge));
    }
}
