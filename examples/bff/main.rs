//! A backend for a frontend: the browser holds a session cookie, the tokens stay here, and `/api`
//! is passed on to your API with a fresh bearer token. It works with any OpenID provider.
//!
//! Against a Keycloak whose realm `test` has the client `web`, with
//! `http://127.0.0.1:8080/auth/callback` as a valid redirect URI:
//!
//! ```sh
//! export ISSUER_URL=http://127.0.0.1:8180/realms/test
//! export CLIENT_ID=web CLIENT_SECRET=secret
//! export UPSTREAM_URL=http://127.0.0.1:9000
//! cargo run --example bff
//! # open http://127.0.0.1:8080
//! ```
//!
//! | variable | default | what it is |
//! |---|---|---|
//! | `ISSUER_URL` | required | the provider, exactly as its discovery document names it; https, or http to loopback |
//! | `ALLOW_HTTP_ISSUER` | 0 | 1 allows plain http to the provider over a network: whoever is on the way can read all tokens |
//! | `ACCEPT_ISSUERS` | none | other names of the provider, separated by spaces: `https://login.microsoftonline.com/{tenantid}/v2.0` for Microsoft Entra's `common`, `accounts.google.com` for Google. With `{tenantid}` the users of *every* tenant can log in, so your API must check `tid`; see `TokenEndpoint::accept_issuer` |
//! | `CLIENT_ID` | required | the name of this application at the provider |
//! | `CLIENT_SECRET` | none: a public client | sent with `client_secret_basic` |
//! | `UPSTREAM_URL` | required | the API, http or https; `/api/orders` goes to `orders` below its path |
//! | `UPSTREAMS` | none | other APIs for paths below `/api`, separated by spaces: `/api/orders=https://orders.example /api/users=http://users:9000/v1`. The longest path wins |
//! | `BASE_URL` | `http://127.0.0.1:8080` | this application as the browser sees it, without a path |
//! | `LISTEN` | host and port of `BASE_URL` | `host:port`; required if `BASE_URL` is https, as a proxy does TLS then |
//! | `SCOPES` | `openid profile email` | separated by spaces; `openid` must be one of them |
//! | `LOGIN_PARAMS` | none | added to the request that logs in, as in a query: `audience=https://api.example`, `access_type=offline&prompt=consent` |
//! | `REFRESH_PARAMS` | none | added to every refresh: `resource=https://api.example` |
//! | `REDIS_URL` | none | sessions and tokens in Redis: `redis://` |
//! | `DATABASE_URL` | none | sessions and tokens in SQL: `postgres://` or `sqlite:`; without either variable they are in memory |
//! | `TOKEN_KEYS` | none | seals the tokens in the store: what `openssl rand -base64 32` prints. With `new,old`, the new one seals and both open |
//! | `INDEX_KEY` | none | lets the provider end logins (OpenID Connect Back-Channel Logout 1.0): another such key |
//! | `STATIC_DIR` | none: a page that says who is logged in | a directory with a single-page app, whose `index.html` is served for each page that is no file |
//! | `AUDIT_KEY` | none: a random one | another such key: users have the same hash in the audit lines of all processes |
//! | `METRICS_LISTEN` | none | `host:port` at which `GET /metrics` is served for Prometheus, and `/healthz` and `/readyz` for an orchestrator |
//! | `REFRESH_*` | the library's | times and limits, one variable for each key of the library's `RefreshConfig`: `REFRESH_LEEWAY=10s`, `REFRESH_REQUEST_TIMEOUT=20s`, `REFRESH_STORE_TIMEOUT=5s`, `REFRESH_ATTEMPTS=3` |
//!
//! `CLIENT_SECRET`, `TOKEN_KEYS`, `INDEX_KEY`, `AUDIT_KEY`, `REDIS_URL` and `DATABASE_URL` may also
//! stand in a file each, named by `CLIENT_SECRET_FILE` and so on. All settings may stand in one TOML
//! file named by `CONFIG_FILE`, in lower case, with the times and limits in a table `[refresh]`; a
//! variable counts more. A key that is no setting is an error:
//!
//! ```toml
//! issuer_url = "https://id.example.com/realms/shop"
//! client_id = "web"
//!
//! [refresh]
//! request_timeout = "20s"
//! ```
//!
//! If a process dies during a refresh, another one takes over after about the sum of
//! `REFRESH_REQUEST_TIMEOUT` (15 s), `REFRESH_STORE_TIMEOUT` (10 s) and ten seconds.
//!
//! With Redis or PostgreSQL, run as many processes of it as you like; with SQLite, as many as you
//! like on one machine. In memory it is one process.
//!
//! | argument | |
//! |---|---|
//! | `--help` | prints these tables |
//! | `--check` | serves nothing: reads the settings, shows them without secrets, asks the provider whether it knows this client, tries the stores, and connects to the APIs. Exit code 0 if all is well, 1 if something cannot be reached or refuses, 2 if a setting cannot work |
//! | `--demo` | needs no settings: runs with a provider and an API of its own, and prints its URL. An access token lives for a minute there; `POST /demo/expire` lets the caller's expire at once, and `GET /demo/stats` counts `refreshes` and `token_requests` |
//!
//! An empty variable counts as missing; an empty file of a secret is an error. A variable that looks
//! like a misspelt one of these, or begins with `REFRESH_` and is none of them, is named in the log,
//! and is an error for `--check`. A setting that cannot work, or an unknown argument, is one line on
//! stderr and exit code 2. A port or a session store that cannot be used, or a discovery document
//! that is not this provider's, is one line and exit code 1. It starts without its provider, if that
//! is down or does not answer within ten seconds; the next login tries again. SIGTERM or ctrl-c stops
//! it: requests get ten seconds to end, and then refreshes the sum of `REFRESH_REQUEST_TIMEOUT`,
//! `REFRESH_STORE_TIMEOUT` and five seconds, 30 s by default.
//!
//! | route | |
//! |---|---|
//! | `GET /` | who is logged in; with `STATIC_DIR`, the app and its files |
//! | `GET /auth/login?return_to=/path` | to the provider, and from there back to the path |
//! | `GET /auth/callback` | where the provider sends the browser |
//! | `GET /auth/me` | who is logged in, as JSON: `name`, `roles`, `expires_at` and `expires_in` (seconds) of the access token; 401 for nobody. In an outage it still names the user, and the others are `null` |
//! | `POST /auth/logout` | ends the login here, then at the provider |
//! | `POST /auth/back-channel-logout` | the provider ends logins with a signed token; 404 without `INDEX_KEY` |
//! | `/api/{*path}` | to the API with a bearer token; without a login 401, or to the login for a browser that opens a page. WebSockets get the token at their handshake; they and event streams end with the login |
//! | `GET /healthz` | 200 while the process serves |
//! | `GET /readyz` | whether to send requests here, as JSON: 503 while the session store does not answer, or at the end. Not for a provider that is down: a good token needs none |
//!
//! The application is in `app/`; this file only starts and stops it.

mod app;

use std::{
    env, future,
    io::{self, IsTerminal},
    process::ExitCode,
};

use app::{
    arguments::{Command, help},
    check::check,
    demo::Demo,
    end, metrics,
    proxy::Limits,
    serve,
    settings::{Settings, misspelt},
};
use metrics_exporter_prometheus::PrometheusHandle;
use mimalloc::MiMalloc;
use tokio_util::task::AbortOnDropHandle;
use tower_token_refresh::{Clock, serve::Server};
use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

/// Tokens are strings of a kilobyte or two that live as long as a request. glibc's allocator is
/// slow at these.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    // tower-sessions opens a span for each request, which would cost more than all other logging.
    let quiet = [("tower_sessions", Level::WARN), ("sqlx", Level::WARN)];
    let mut levels = Targets::new().with_default(Level::INFO).with_targets(quiet);
    let arguments = env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    let command = match Command::read(arguments) {
        Ok(command) => command,
        Err(error) => return failed(2, &[error]),
    };
    if command == Command::Check {
        // A check tries a made-up login, of which the library warns. What failed it says itself.
        levels = levels.with_target("tower_token_refresh", LevelFilter::OFF);
    }
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines.with_filter(levels)).init();
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let misspelt = misspelt(names);
    let settings = Settings::read(|name| env::var_os(name)).map_err(|error| error.to_string());
    match command {
        Command::Help => {
            print!("{}", help());
            ExitCode::SUCCESS
        }
        Command::Demo => match demo().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(1, &[error]),
        },
        Command::Serve => {
            for line in &misspelt {
                tracing::warn!("{line}");
            }
            match settings {
                Err(error) => failed(2, &[error]),
                Ok(settings) => match run(&settings).await {
                    Ok(()) => ExitCode::SUCCESS,
                    Err(error) => failed(1, &[error]),
                },
            }
        }
        Command::Check => match settings {
            Err(error) => failed(2, &[misspelt, vec![error]].concat()),
            Ok(_) if !misspelt.is_empty() => failed(2, &misspelt),
            Ok(settings) => checked(&settings).await,
        },
    }
}

fn failed(code: u8, lines: &[String]) -> ExitCode {
    for line in lines {
        eprintln!("{line}");
    }
    ExitCode::from(code)
}

async fn checked(settings: &Settings) -> ExitCode {
    for (name, value) in settings.shown() {
        println!("{name}={value}");
    }
    let problems = check(settings).await;
    if problems.is_empty() { ExitCode::SUCCESS } else { failed(1, &problems) }
}

async fn run(settings: &Settings) -> Result<(), String> {
    let stop = told_to_stop().map_err(|error| format!("signals cannot be received: {error}"))?;
    // First of all: what comes after it is measured.
    let metrics = match &settings.metrics_listen {
        None => None,
        Some(listen) => Some(record_metrics(listen).await?),
    };
    let (app, refresher) = app::start(settings, Clock::system()).await?;
    let server = Server::bind(settings.listen.as_str())
        .await
        .map_err(|error| format!("LISTEN {:?}: cannot listen there: {error}", settings.listen))?;
    let metrics = metrics.map(|(server, recorded)| {
        let refresher = refresher.clone();
        let serving =
            async move { metrics::serve(server, recorded, &refresher, future::pending()).await };
        AbortOnDropHandle::new(tokio::spawn(serving))
    });
    tracing::info!(listen = %settings.listen, url = %settings.base, "serving");
    serve(server, app, Limits::of(settings), stop).await;
    end(&refresher, settings).await;
    // Last of all: the end is measured as well.
    drop(metrics);
    Ok(())
}

async fn record_metrics(listen: &str) -> Result<(Server, PrometheusHandle), String> {
    let unusable = |error: &dyn std::error::Error| format!("METRICS_LISTEN {listen:?}: {error}");
    let recorded = metrics::record().map_err(|error| unusable(&error))?;
    let server = Server::bind(listen).await.map_err(|error| unusable(&error))?;
    Ok((server, recorded))
}

async fn demo() -> Result<(), String> {
    let stop = told_to_stop().map_err(|error| format!("signals cannot be received: {error}"))?;
    let demo = Demo::start().await?;
    let (app, refresher) = app::start_demo(&demo).await?;
    println!("{}", demo.url);
    // The provider serves as long as its handle lives.
    let (server, settings, _provider) = demo.server();
    serve(server, app, Limits::of(&settings), stop).await;
    end(&refresher, &settings).await;
    Ok(())
}

/// Listens for the signals from now on; the future resolves at the first of them.
#[cfg(unix)]
fn told_to_stop() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
    })
}

#[cfg(windows)]
fn told_to_stop() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut ctrl_c = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        ctrl_c.recv().await;
        tracing::info!("stopping");
    })
}
