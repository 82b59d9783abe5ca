//! `--check`: whether this application could work with its settings, before anybody relies on it.
//!
//! Each thing is tried by doing it: the document is fetched, a session is written, read and
//! removed, and a login with made-up tokens goes through the token store to the provider, which
//! must refuse these tokens and not this client. Of the APIs only the connection is tried: nobody is
//! logged in who could call them.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::{net::TcpStream, time::timeout};
use tower_token_refresh::{
    Clock, RefreshErrorKind as Kind, TokenRefresher, TokenSet,
    tower_sessions::{Expiry, Session, cookie::time},
};

use super::{
    provider,
    provider::with_causes,
    proxy::Limits,
    settings::{Sessions, Settings, Upstream},
    stores,
};

/// How long what a check writes may stay, should nobody remove it.
const KEPT: Duration = Duration::from_secs(60);

/// Prints what is well. Whatever is not is a line of the answer.
pub async fn check(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    let endpoint = match provider::discovered(settings).await {
        Ok(endpoint) => {
            println!("ok: the provider's discovery document");
            Some(endpoint)
        }
        Err(problem) => {
            problems.push(problem);
            None
        }
    };
    // A store is tried also where the provider is not there.
    let is_known = endpoint.is_some();
    let endpoint = endpoint.unwrap_or_else(|| provider::undiscovered(settings));
    for upstream in &settings.upstreams {
        note(api(upstream).await, &mut problems);
    }
    match stores::open(settings, endpoint).await {
        Err(problem) => problems.push(problem),
        Ok(builder) => match builder.clock(Clock::system()).build() {
            Err(error) => problems.push(super::cannot_work(error)),
            Ok(refresher) => {
                note(routes(&refresher, settings), &mut problems);
                note(session(&refresher, settings).await, &mut problems);
                if is_known {
                    note(login(&refresher, settings).await, &mut problems);
                }
            }
        },
    }
    problems
}

async fn api(upstream: &Upstream) -> Result<&'static str, String> {
    let port = upstream.authority.port_u16().unwrap_or(if upstream.is_https() { 443 } else { 80 });
    let host = upstream.authority.host().trim_matches(['[', ']']);
    let connect = timeout(Limits::default().connect, TcpStream::connect((host, port))).await;
    let setting = if upstream.prefix == "/api" { "UPSTREAM_URL" } else { "UPSTREAMS" };
    let at = &upstream.authority;
    match connect {
        Ok(Ok(_)) => Ok("a connection to an API"),
        Ok(Err(error)) => Err(format!("{setting}: {at} cannot be reached: {error}")),
        Err(_) => Err(format!("{setting}: {at} cannot be reached: it does not answer")),
    }
}

fn note(tried: Result<&'static str, String>, problems: &mut Vec<String>) {
    match tried {
        Ok(well) => println!("ok: {well}"),
        Err(problem) => problems.push(problem),
    }
}

/// As they are served, with each setting in its place.
fn routes(refresher: &TokenRefresher, settings: &Settings) -> Result<&'static str, String> {
    super::router(settings, refresher, Clock::system(), Limits::of(settings), None)
        .map(|_| "the routes")
}

async fn session(refresher: &TokenRefresher, settings: &Settings) -> Result<&'static str, String> {
    let store = Arc::new(refresher.session_store());
    let expiry = Expiry::OnInactivity(time::Duration::seconds(60));
    let written = async {
        let session = Session::new(None, store.clone(), Some(expiry));
        session.insert("check", true).await?;
        session.save().await?;
        let read = Session::new(session.id(), store, Some(expiry)).get::<bool>("check").await?;
        session.delete().await?;
        Ok::<_, tower_token_refresh::tower_sessions::session::Error>(read)
    };
    match written.await {
        Ok(Some(true)) => Ok("the session store"),
        Ok(_) => Err(format!("{}: a session that was written is not there", store_of(settings))),
        Err(error) => Err(format!("{}: {}", store_of(settings), with_causes(&error))),
    }
}

/// The provider checks the client before it looks at a token (RFC 6749, section 5.2).
async fn login(refresher: &TokenRefresher, settings: &Settings) -> Result<&'static str, String> {
    let made_up = format!("check-{}", uuid::Uuid::new_v4());
    let tokens = json!({ "access_token": made_up, "token_type": "Bearer", "expires_in": 0, "refresh_token": made_up });
    let set = TokenSet::from_response(tokens).map_err(|error| with_causes(&error))?;
    let handle = refresher
        .adopt(set.with_refresh_expires_in(KEPT))
        .await
        .map_err(|error| format!("{}: {}", store_of(settings), with_causes(&error)))?;
    let answer = refresher.tokens(&handle).token().await;
    let Err(error) = answer else {
        return Err(
            "ISSUER_URL: the provider takes refresh tokens that it has not issued".to_owned()
        );
    };
    let cause = with_causes(&error);
    let refuses_client =
        ["invalid_client", "unauthorized_client"].iter().find(|code| cause.contains(**code));
    match (error.kind(), refuses_client) {
        (Kind::SessionExpired, _) => Ok("the token store, and the client at the provider"),
        (_, Some(code)) => Err(match &settings.client_secret {
            Some(_) => format!(
                "CLIENT_SECRET: the provider does not take it for the client {:?} ({code}); copy that client's secret, or see that CLIENT_ID is right",
                settings.client_id
            ),
            None => format!(
                "CLIENT_ID {:?}: the provider does not take it without a secret ({code}); set CLIENT_SECRET, or make it a public client there",
                settings.client_id
            ),
        }),
        _ => Err(format!("ISSUER_URL {:?}: {cause}", settings.issuer)),
    }
}

fn store_of(settings: &Settings) -> &'static str {
    match settings.sessions {
        Sessions::Memory => "the memory",
        Sessions::Redis(_) => "REDIS_URL",
        Sessions::Postgres(_) | Sessions::Sqlite(_) => "DATABASE_URL",
    }
}
