//! The application: what stands where, and in which order a request passes it.
//!
//! ```text
//! CSRF -> session -> token layer -> proxy          /api   needs a login
//!                                -> home page      /      works without one
//!                 -> callback, log out             /auth
//!      -> log in, health                           no session is read
//!      -> log out by the provider                  no browser calls it, and no cookie counts
//! ```
//!
//! The token layer is lazy, so one of it serves public and guarded routes: a handler that extracts
//! an `AccessToken` or `LoginTokens` is guarded, one that extracts an `Option<AccessToken>` is open
//! to everybody.

pub mod attempt;
pub mod cookies;
mod login;
mod logout;
pub mod page;
mod provider;
pub mod proxy;
pub mod return_path;
pub mod settings;
mod stores;

use std::{future::Future, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::FromRef,
    routing::{any, get, post},
};
use cookies::CookieNames;
use provider::Provider;
use proxy::{Limits, Proxy};
use settings::{BaseUrl, Settings};
use tower::util::MapResponseLayer;
use tower_http::csrf::CsrfLayer;
use tower_token_refresh::{
    ClientAuth, Clock, ConfigError, TokenEndpoint, TokenRefreshLayer, TokenRefresher,
    rejection::redirect_browsers_to, serve::Server,
};

/// How long refreshes may take once serving has ended: a little longer than one write of new tokens.
pub const LAST_REFRESHES: Duration = Duration::from_secs(15);

const LOG_IN: &str = "/auth/login";
const LOG_OUT_BY_PROVIDER: &str = "/auth/back-channel-logout";

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

pub(crate) struct Parts {
    base: BaseUrl,
    names: CookieNames,
    clock: Clock,
    provider: Provider,
    refresher: TokenRefresher,
    proxy: Arc<Proxy>,
}

/// Opens the session store and puts the application together. The refresher is given back for its
/// shutdown. An error is one line without secrets.
pub async fn start(settings: &Settings, clock: Clock) -> Result<(Router, TokenRefresher), String> {
    start_with(settings, clock, Limits::default()).await
}

/// The same with other limits, for tests that reach them.
pub async fn start_with(
    settings: &Settings,
    clock: Clock,
    limits: Limits,
) -> Result<(Router, TokenRefresher), String> {
    let auth = match &settings.client_secret {
        Some(secret) => ClientAuth::basic(&settings.client_id, secret.as_str()),
        None => ClientAuth::none(&settings.client_id),
    };
    let mut endpoint = TokenEndpoint::discover(&settings.issuer, auth).lazy();
    for issuer in &settings.accept_issuers {
        endpoint = endpoint.accept_issuer(issuer);
    }
    for (name, value) in &settings.refresh_params {
        endpoint = endpoint.refresh_param(name, value);
    }
    if let Some(limit) = settings.request_timeout {
        endpoint = endpoint.request_timeout(limit);
    }
    let refresher = stores::open(settings, endpoint).await?.clock(clock.clone());
    let refresher = refresher.build().map_err(cannot_work)?;
    let names = CookieNames::new(settings.base.is_https());
    let proxy = Proxy::new(&settings.upstream, &settings.base, names, clock.clone(), limits);
    let app = App(Arc::new(Parts {
        base: settings.base.clone(),
        names,
        clock: clock.clone(),
        provider: Provider::new(settings, clock)?,
        refresher: refresher.clone(),
        proxy: Arc::new(proxy.map_err(cannot_work)?),
    }));
    app.provider.discover_early().await;
    let mut router = router(app)?;
    if settings.index_key.is_some() {
        // The token's signature says who calls. Cookies and the CSRF check play no part.
        router = router
            .route(LOG_OUT_BY_PROVIDER, refresher.back_channel_logout().map_err(cannot_work)?);
        tracing::info!(
            url = settings.base.with_path(LOG_OUT_BY_PROVIDER),
            "the provider can end logins here"
        );
    }
    Ok((router, refresher))
}

fn cannot_work(error: ConfigError) -> String {
    format!("the settings cannot work: {error}")
}

fn router(app: App) -> Result<Router, String> {
    let (names, refresher) = (app.names, app.refresher.clone());
    let log_in_first = redirect_browsers_to(LOG_IN).map_err(cannot_work)?;
    let tokens = TokenRefreshLayer::new(&refresher).lazy().on_rejection(log_in_first);
    let sessions = refresher.session_layer().with_name(names.session()).with_secure(names.secure());
    // TLS may end in a proxy, and `Host` may differ there: so the browser's origin is given.
    let csrf = CsrfLayer::new()
        .add_trusted_origin(app.base.origin())
        .map_err(|error| format!("BASE_URL cannot be used: {error}"))?;
    let router = Router::new()
        .route("/", get(page::home))
        .route("/api/", any(proxy::forward))
        .route("/api/{*path}", any(proxy::forward))
        .layer(tokens)
        .route("/auth/callback", get(login::callback))
        .route("/auth/logout", post(logout::log_out))
        .layer(sessions)
        .route(LOG_IN, get(login::start))
        .route("/healthz", get(async || "ok"))
        .with_state(app)
        .layer(csrf);
    Ok(if names.secure() {
        router.layer(MapResponseLayer::new(move |response| {
            cookies::mend_removal(names.session(), response)
        }))
    } else {
        router
    })
}

/// Serves until `stop`, and then ten seconds longer at most: the server's limits are ours, but for
/// bodies. Those for `/api` have a limit of the proxy's, which says so to the client and is not to
/// be overtaken.
pub async fn serve(server: Server, app: Router, stop: impl Future<Output = ()>) {
    let body = Limits::default().answer + Duration::from_secs(5);
    server.body_timeout(body).serve(app, stop).await;
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl FromRef<App> for Arc<Proxy> {
    fn from_ref(app: &App) -> Self {
        app.proxy.clone()
    }
}
