//! `--demo`: everything on this machine, with nothing to set. The provider is the strict one of the
//! tests, which logs everybody in; access tokens live for a minute, so that a visitor sees
//! refreshes.
//!
//! | route | |
//! |---|---|
//! | `POST /demo/expire` | the caller's access token expires now: the next call needs a refresh. 204 |
//! | `GET /demo/stats` | `{"refreshes": n, "token_requests": n}`, counted at the provider |

use std::{
    collections::HashMap,
    ffi::OsString,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::json;
use tokio::net::TcpListener;
use tower_token_refresh::{
    AccessToken, Clock, RefreshError, TimeSource,
    serve::Server,
    testing::{IssuerServer, StrictIssuer},
};

use super::{App, settings::Settings};

const TOKEN_LIFE: Duration = Duration::from_secs(60);
const ANY_PORT: (&str, u16) = ("127.0.0.1", 0);

pub struct Demo {
    pub settings: Settings,
    pub clock: Clock,
    pub url: String,
    listener: TcpListener,
    issuer: IssuerServer,
    time: SkippingTime,
}

impl Demo {
    /// Starts the provider and the API, and listens. An error is one line.
    pub async fn start() -> Result<Self, String> {
        let no_port = |error| format!("the demo needs three free ports on 127.0.0.1: {error}");
        let time = SkippingTime::new();
        let clock = Clock::new(time.clone());
        let issuer =
            StrictIssuer::builder().clock(clock.clone()).access_token_lifetime(TOKEN_LIFE).build();
        let issuer = issuer.serve().await.map_err(no_port)?;
        let upstream = serve_api(issuer.issuer().clone()).await.map_err(no_port)?;
        let listener = TcpListener::bind(ANY_PORT).await.map_err(no_port)?;
        let address = listener.local_addr().map_err(no_port)?.to_string();
        let url = format!("http://{address}");
        let variables = HashMap::from([
            ("ISSUER_URL", issuer.issuer_url()),
            ("CLIENT_ID", "web".to_owned()),
            ("CLIENT_SECRET", "secret".to_owned()),
            ("UPSTREAM_URL", upstream),
            ("BASE_URL", url.clone()),
            ("LISTEN", address),
        ]);
        // Deliberately nothing of the environment's.
        let settings = Settings::read(|name| variables.get(name).map(OsString::from));
        let settings = settings.map_err(|error| error.to_string())?;
        Ok(Self { settings, clock, url, listener, issuer, time })
    }

    pub fn server(self) -> (Server, Settings, IssuerServer) {
        (Server::from_listener(self.listener), self.settings, self.issuer)
    }

    /// Below the layers of the other routes.
    pub(super) fn routes(&self) -> Router<App> {
        let (time, clock) = (self.time.clone(), self.clock.clone());
        let expire = move |token: Result<AccessToken, RefreshError>| async move {
            // Time passes for everybody, so all other tokens are older by as much.
            time.skip(token?.expires_at().duration_since(clock.now()).unwrap_or_default());
            Ok::<_, RefreshError>(StatusCode::NO_CONTENT)
        };
        let issuer = self.issuer.issuer().clone();
        let stats = async move || {
            let (refreshes, requests) = (issuer.refreshes(), issuer.token_requests());
            let counts = Json(json!({ "refreshes": refreshes, "token_requests": requests }));
            ([(header::CACHE_CONTROL, "no-store")], counts)
        };
        Router::new().route("/demo/expire", post(expire)).route("/demo/stats", get(stats))
    }
}

/// The API behind the demo. It takes tokens that are good at the provider, and only these.
async fn serve_api(issuer: StrictIssuer) -> std::io::Result<String> {
    let answer = async move |uri: Uri, headers: HeaderMap| -> Response {
        let sent = headers.get(header::AUTHORIZATION).and_then(|sent| sent.to_str().ok());
        let token = sent.and_then(|sent| sent.strip_prefix("Bearer ")).unwrap_or_default();
        if !issuer.is_access_token_live(token) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        let orders = [json!({ "id": 1, "item": "a kettle" }), json!({ "id": 2, "item": "tea" })];
        Json(json!({ "path": uri.path(), "orders": orders })).into_response()
    };
    let listener = TcpListener::bind(ANY_PORT).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let api = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, api).await });
    Ok(url)
}

/// The system's time, and what was skipped of it. Provider and application share it.
#[derive(Clone)]
struct SkippingTime {
    system: Clock,
    skipped: Arc<Mutex<Duration>>,
}

impl SkippingTime {
    fn new() -> Self {
        Self { system: Clock::system(), skipped: Arc::default() }
    }

    fn skip(&self, by: Duration) {
        *self.skipped.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    fn skipped(&self) -> Duration {
        *self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TimeSource for SkippingTime {
    fn now(&self) -> SystemTime {
        self.system.now() + self.skipped()
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic() + self.skipped()
    }
}
