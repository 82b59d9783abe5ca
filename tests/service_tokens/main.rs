//! Tokens of the application itself, and tokens that a user's token is exchanged for.

mod beside_logins;
mod coalesced;
mod exchanged;
mod failures;
mod from_fn;
mod in_trouble;
#[path = "../client_auth/keys.rs"]
mod keys;
mod signed;
mod targets;

use std::time::Duration;

use support::LIFE;
use tokio::task::JoinHandle;
use tower_token_refresh::{
    AccessToken, ClientAuth, RefreshError, ServiceTokens, ServiceTokensBuilder, TokenEndpoint,
    TokenExchange, TokenRefresher, TokenTarget,
    testing::{Endpoint, ManualClock, StrictIssuer, StrictIssuerBuilder},
};

/// A service that calls an API in its own name.
pub(crate) struct Service {
    pub(crate) issuer: StrictIssuer,
    pub(crate) clock: ManualClock,
    pub(crate) tokens: ServiceTokens,
}

impl Service {
    pub(crate) fn new() -> Self {
        Self::with(|issuer| issuer, |tokens| tokens)
    }

    pub(crate) fn with(
        issuer: impl FnOnce(StrictIssuerBuilder) -> StrictIssuerBuilder,
        configure: impl FnOnce(ServiceTokensBuilder) -> ServiceTokensBuilder,
    ) -> Self {
        let clock = ManualClock::new();
        let builder = StrictIssuer::builder().clock(clock.clock()).access_token_lifetime(LIFE);
        let issuer = issuer(builder).build();
        let builder = ServiceTokens::builder(endpoint(&issuer, "secret")).clock(clock.clock());
        let tokens = configure(builder).build().expect("the settings agree");
        Self { issuer, clock, tokens }
    }

    /// Asks in a task of its own.
    pub(crate) fn ask(&self) -> JoinHandle<Result<AccessToken, RefreshError>> {
        let tokens = self.tokens.clone();
        tokio::spawn(async move { tokens.token().await })
    }

    pub(crate) async fn token(&self) -> String {
        self.tokens.token().await.expect("a token").secret().to_owned()
    }

    pub(crate) fn requests(&self) -> usize {
        self.issuer.requests(Endpoint::Token)
    }
}

pub(crate) fn endpoint(issuer: &StrictIssuer, secret: &str) -> TokenEndpoint {
    TokenEndpoint::new(issuer.token_url(), ClientAuth::basic("web", secret))
        .transport(issuer.transport())
}

/// Tokens of a refresher's users for another API.
pub(crate) fn orders(refresher: &TokenRefresher) -> TokenExchange {
    TokenExchange::new(refresher, TokenTarget::new().audience("orders")).expect("a target")
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
