//! An application whose tenants have a provider each.

mod audit;
mod back_channel;
mod refused;
mod resolvers;
mod separate;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use support::LIFE;
use tower_token_refresh::{
    EndpointResolver, RefreshError, TokenEndpoint, TokenRefresher, TokenRefresherBuilder, TokenSet,
    testing::{ManualClock, StrictIssuer},
    tower_sessions::{MemoryStore, Session},
};

/// The application: its own provider, and those of its tenants.
pub(crate) struct App {
    pub(crate) clock: ManualClock,
    pub(crate) own: StrictIssuer,
    pub(crate) red: StrictIssuer,
    pub(crate) blue: StrictIssuer,
    pub(crate) tenants: Tenants,
    pub(crate) refresher: TokenRefresher,
}

/// What the resolver knows.
#[derive(Clone, Default)]
pub(crate) struct Tenants {
    pub(crate) endpoints: Arc<HashMap<String, TokenEndpoint>>,
    pub(crate) asked: Arc<AtomicUsize>,
    pub(crate) fails: Arc<AtomicBool>,
}

#[async_trait]
impl EndpointResolver for Tenants {
    async fn endpoint(&self, issuer: &str) -> Result<Option<TokenEndpoint>, tower::BoxError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) {
            return Err("the database is down".into());
        }
        Ok(self.endpoints.get(issuer).cloned())
    }
}

impl App {
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub(crate) fn with(
        configure: impl FnOnce(TokenRefresherBuilder) -> TokenRefresherBuilder,
    ) -> Self {
        let clock = ManualClock::new();
        let [own, red, blue] = ["own", "red", "blue"].map(|name| issuer(&clock, name));
        let endpoints = [&red, &blue].map(|issuer| (issuer.issuer_url(), endpoint(issuer)));
        let tenants = Tenants { endpoints: Arc::new(endpoints.into()), ..Tenants::default() };
        let builder = TokenRefresher::builder(endpoint(&own), MemoryStore::default())
            .endpoint_resolver(tenants.clone())
            .clock(clock.clock());
        let refresher = configure(builder).build().expect("the settings agree");
        Self { clock, own, red, blue, tenants, refresher }
    }

    pub(crate) fn session(&self) -> Session {
        Session::new(None, Arc::new(self.refresher.session_store()), None)
    }

    /// Logs a user in at one of the providers.
    pub(crate) async fn log_in(&self, at: &StrictIssuer, user: &str) -> Session {
        let session = self.session();
        self.try_log_in(&session, at, user).await.expect("logged in");
        session
    }

    pub(crate) async fn try_log_in(
        &self,
        session: &Session,
        at: &StrictIssuer,
        user: &str,
    ) -> Result<(), RefreshError> {
        let set = TokenSet::from_response(at.log_in(user)).expect("a token set");
        self.refresher.log_in(session, set.with_issuer(at.issuer_url())).await
    }

    pub(crate) async fn token(&self, session: &Session) -> Result<String, RefreshError> {
        Ok(self.refresher.valid_token(session).await?.secret().to_owned())
    }

    pub(crate) fn expire(&self) {
        self.clock.advance(LIFE);
    }
}

pub(crate) fn issuer(clock: &ManualClock, name: &str) -> StrictIssuer {
    StrictIssuer::builder()
        .clock(clock.clock())
        .issuer_url(&format!("https://id.example.test/realms/{name}"))
        .client(&format!("client-of-{name}"), "secret")
        .access_token_lifetime(LIFE)
        .build()
}

pub(crate) fn endpoint(issuer: &StrictIssuer) -> TokenEndpoint {
    let url = issuer.issuer_url();
    let name = url.rsplit('/').next().expect("a path");
    let auth = tower_token_refresh::ClientAuth::basic(format!("client-of-{name}"), "secret");
    TokenEndpoint::discover(issuer.issuer_url(), auth).lazy().transport(issuer.transport())
}
