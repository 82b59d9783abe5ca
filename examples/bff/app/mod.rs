//! The application: what stands where, and in which order a request passes it.
//!
//! ```text
//! same origin -> its cookie -> session -> token layer -> proxy      /api   needs a login
//!                                                     -> home page  /      works without one
//!                                                     -> or the files of an app of one's own
//!                                      -> who is it       /auth/me  a script asks: never a redirect
//!                                      -> log in, callback, log out /auth
//!             -> alive, ready                            no session is read
//! log out by the provider                                no browser calls it, and no cookie counts
//! ```
//!
//! The token layer is lazy, so one of it serves public and guarded routes: a handler that extracts
//! an `AccessToken` or `LoginTokens` is guarded, one that extracts an `Option<AccessToken>` is open
//! to everybody.

pub mod arguments;
pub mod check;
pub mod cookies;
pub mod demo;
pub mod files;
mod me;
pub mod metrics;
pub mod page;
mod provider;
pub mod proxy;
pub mod settings;
mod stores;

use std::{future::Future, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{FromRef, Request},
    routing::{any, get},
};
use cookies::CookieNames;
use demo::Demo;
use files::Files;
use proxy::{Limits, Proxy};
use settings::Settings;
use tower_token_refresh::{
    Clock, ConfigError, SameOriginLayer, SessionCookieLayer, TokenRefreshLayer, TokenRefresher,
    rejection::redirect_browsers_to, serve::Server,
};

const LOG_IN: &str = "/auth/login";
const ME: &str = "/auth/me";
const LOG_OUT_BY_PROVIDER: &str = "/auth/back-channel-logout";

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

pub(crate) struct Parts {
    clock: Clock,
    client_id: String,
    proxy: Arc<Proxy>,
    /// Whether the home page offers what is there for show only.
    demo: bool,
}

/// Opens the session store and puts the application together. The refresher is given back for its
/// shutdown. An error is one line without secrets.
pub async fn start(settings: &Settings, clock: Clock) -> Result<(Router, TokenRefresher), String> {
    start_with(settings, clock, Limits::of(settings)).await
}

/// The same with other limits, for tests that reach them.
pub async fn start_with(
    settings: &Settings,
    clock: Clock,
    limits: Limits,
) -> Result<(Router, TokenRefresher), String> {
    assemble(settings, clock, limits, None).await
}

/// The same with the demo's own routes.
pub async fn start_demo(demo: &Demo) -> Result<(Router, TokenRefresher), String> {
    let limits = Limits::of(&demo.settings);
    assemble(&demo.settings, demo.clock.clone(), limits, Some(demo)).await
}

async fn assemble(
    settings: &Settings,
    clock: Clock,
    limits: Limits,
    demo: Option<&Demo>,
) -> Result<(Router, TokenRefresher), String> {
    let endpoint = provider::endpoint(settings).await?;
    let refresher = stores::open(settings, endpoint).await?.clock(clock.clone());
    let refresher = refresher.build().map_err(cannot_work)?;
    let router = router(settings, &refresher, clock, limits, demo)?;
    if settings.index_key.is_some() {
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

/// All routes and their layers. Nothing is asked or opened for it.
fn router(
    settings: &Settings,
    refresher: &TokenRefresher,
    clock: Clock,
    limits: Limits,
    demo: Option<&Demo>,
) -> Result<Router, String> {
    let names = CookieNames::new(settings.base.is_https());
    let proxy = Proxy::new(&settings.upstreams, &settings.base, names, &clock, limits);
    let (client_id, proxy) = (settings.client_id.clone(), Arc::new(proxy?));
    let app = App(Arc::new(Parts { clock, client_id, proxy, demo: demo.is_some() }));
    let log_in_first = redirect_browsers_to(LOG_IN).map_err(cannot_work)?;
    let tokens = TokenRefreshLayer::new(refresher).lazy().on_rejection(log_in_first);
    let sessions = refresher.session_layer().with_name(names.session()).with_secure(names.secure());
    let session_cookie = SessionCookieLayer::new(names.session()).map_err(cannot_work)?;
    // TLS may end in a proxy, and `Host` may differ there: so the browser's origin is given.
    let same_origin = SameOriginLayer::new(settings.base.origin())
        .map_err(|error| format!("BASE_URL cannot be used: {error}"))?;
    let router = home(settings)
        .merge(demo.map(Demo::routes).unwrap_or_default())
        .route("/api/", any(proxy::forward))
        .route("/api/{*path}", any(proxy::forward))
        .layer(tokens)
        .route(ME, get(me::me).layer(TokenRefreshLayer::new(refresher).lazy()))
        .merge(login_routes(settings, refresher)?)
        // In one piece, the outer one first: each layer of a router costs a request another box.
        .layer((session_cookie, sessions))
        .route("/healthz", refresher.liveness())
        .route("/readyz", refresher.readiness())
        .with_state(app)
        .layer(same_origin);
    if settings.index_key.is_none() {
        return Ok(router);
    }
    // The token's signature says who calls. Cookies and the page's origin play no part.
    let ended_by_provider = refresher.back_channel_logout().map_err(cannot_work)?;
    Ok(router.route(LOG_OUT_BY_PROVIDER, ended_by_provider))
}

/// The page that says who is logged in, or the files of an app of one's own.
fn home(settings: &Settings) -> Router<App> {
    match &settings.static_dir {
        None => Router::new().route("/", get(page::home)).fallback(page::not_found),
        Some(dir) => {
            let files = Files::new(dir);
            Router::new().fallback(move |request: Request| files.clone().serve(request))
        }
    }
}

fn login_routes<S>(settings: &Settings, refresher: &TokenRefresher) -> Result<Router<S>, String>
where
    S: Clone + Send + Sync + 'static,
{
    let mut routes = refresher
        .login_routes(settings.base.origin())
        .prefix("/auth")
        .scopes(settings.scopes.clone())
        .after_logout("/?logged_out")
        .on_failure(page::not_logged_in);
    for (name, value) in &settings.login_params {
        routes = routes.param(name, value);
    }
    routes.build().map_err(cannot_work)
}

/// Serves until `stop`, and then ten seconds longer at most: the server's limits are ours, but for
/// bodies. Those for `/api` have a limit of the proxy's, which says so to the client and is not to
/// be overtaken.
pub async fn serve(server: Server, app: Router, limits: Limits, stop: impl Future<Output = ()>) {
    let body = limits.answer + Duration::from_secs(5);
    server.body_timeout(body).serve(app, stop).await;
}

/// Waits for the refreshes under way once serving has ended, for as long as one may take with these
/// settings: the answer to a refresh token that was sent is lost otherwise, and the login with it.
pub async fn end(refresher: &TokenRefresher, settings: &Settings) {
    if let Err(error) = refresher.shutdown(settings.refresh.shutdown_limit()).await {
        tracing::warn!(%error, "tokens may be lost");
    }
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
