//! huskarl has no web layer. Its guides `authorization_code` and `caching` are wired to a session
//! cookie: one token source with its cache per login, as "sharing a token store" asks for, and a
//! second try where an error says so (its example `cached_client`).

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
    time::Duration,
};

use axum::{
    Router,
    extract::{RawQuery, Request, State},
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use forward::{Api, serve, setting};
use huskarl::{
    authorizer::HttpAuthorizer,
    cache::{GrantTokenSource, InMemoryRefreshTokenStore, InMemoryTokenCache, NoSource, Recovery},
    core::{
        client_auth::ClientSecret, secrets::EnvVarSecret,
        server_metadata::AuthorizationServerMetadata,
    },
    grant::authorization_code::{AuthorizationCodeGrant, CompleteInput, PendingState, StartInput},
};
use huskarl_reqwest::ReqwestClient;
use tower_sessions::{MemoryStore, Session, SessionManagerLayer, cookie::SameSite};

#[derive(Clone)]
struct App {
    grant: AuthorizationCodeGrant,
    logins: Arc<RwLock<HashMap<String, Arc<HttpAuthorizer>>>>,
    api: Api,
    api_url: Uri,
}

#[tokio::main]
async fn main() {
    let http_client = ReqwestClient::builder().build().await.expect("a client");
    let metadata = AuthorizationServerMetadata::oidc_fetch()
        .issuer(setting("ISSUER_URL"))
        .http_client(&http_client)
        .call()
        .await
        .expect("the provider is there");
    let secret = EnvVarSecret::string("CLIENT_SECRET").expect("a secret");
    let grant = AuthorizationCodeGrant::builder_from_metadata(&metadata)
        .expect("the provider knows this grant")
        .client_id(setting("CLIENT_ID"))
        .http_client(http_client)
        .client_auth(ClientSecret::new(secret))
        .redirect_uri(format!("{}/callback", setting("BASE_URL")))
        .build()
        .await
        .expect("a grant");
    let app = App {
        grant,
        logins: Arc::default(),
        api: Api::from_settings(),
        api_url: setting("API_URL").parse().expect("a URL"),
    };
    let sessions = SessionManagerLayer::new(MemoryStore::default())
        .with_secure(false)
        .with_same_site(SameSite::Lax);
    let routes = Router::new()
        .route("/login", get(log_in))
        .route("/callback", get(callback))
        .route("/logout", post(log_out))
        .route("/api/{*path}", get(call))
        .layer(sessions)
        .with_state(app);
    serve(routes).await;
}

async fn log_in(State(app): State<App>, session: Session) -> Redirect {
    let input = StartInput::scope(bon::vec!["openid", "profile"]);
    let started = app.grant.start(input).await.expect("a URL");
    session.insert("pending", &started.pending_state).await.expect("memory");
    Redirect::to(&started.authorization_url.to_string())
}

async fn callback(State(app): State<App>, session: Session, RawQuery(query): RawQuery) -> Response {
    let pending: Option<PendingState> = session.remove("pending").await.expect("memory");
    let (Some(pending), Ok(input)) = (pending, query.unwrap_or_default().parse::<CompleteInput>())
    else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let completed = match app.grant.complete(&pending, input).await {
        Ok(completed) => completed,
        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    let source = GrantTokenSource::builder()
        .grant(app.grant.clone())
        .grant_parameters(NoSource)
        .refresh_store(InMemoryRefreshTokenStore::default())
        .build();
    source.prime(completed.token_response).await.expect("memory");
    let cache = InMemoryTokenCache::builder().source(source).build();
    session.cycle_id().await.expect("memory");
    session.insert("logged_in", true).await.expect("memory");
    session.save().await.expect("memory");
    let id = session.id().expect("it is saved").to_string();
    let authorizer = Arc::new(HttpAuthorizer::builder().cache(cache).build());
    app.logins.write().expect("no panic").insert(id, authorizer);
    Redirect::to("/").into_response()
}

/// `InMemoryTokenCache::logout` is made for this.
async fn log_out(State(app): State<App>, session: Session) -> StatusCode {
    let login =
        session.id().and_then(|id| app.logins.write().expect("no panic").remove(&id.to_string()));
    if let Some(login) = login {
        let _ = login.cache().clear().await;
    }
    session.flush().await.expect("memory");
    StatusCode::NO_CONTENT
}

async fn call(State(app): State<App>, session: Session, request: Request) -> Response {
    let login = session
        .id()
        .and_then(|id| app.logins.read().expect("no panic").get(&id.to_string()).cloned());
    let Some(login) = login else { return StatusCode::UNAUTHORIZED.into_response() };
    let mut headers = login.get_headers(&Method::GET, &app.api_url).await;
    if let Err(error) = &headers
        && let Recovery::Retry { after } = error.recovery()
    {
        tokio::time::sleep(after.unwrap_or(Duration::from_secs(1))).await;
        headers = login.get_headers(&Method::GET, &app.api_url).await;
    }
    let headers = match headers {
        Ok(headers) => headers,
        Err(error) if matches!(error.recovery(), Recovery::Retry { .. }) => {
            return (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response();
        }
        Err(error) => return (StatusCode::UNAUTHORIZED, error.to_string()).into_response(),
    };
    let bearer = headers["authorization"].to_str().expect("ASCII");
    let token = bearer.split_once(' ').map_or(bearer, |(_, token)| token);
    app.api.forward(token, request).await
}
