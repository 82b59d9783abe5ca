//! A client of your own (`openidconnect`) beside this crate: it logs the user in, and hands over
//! the tokens. Most applications need no such client: see `examples/login`.
//!
//! ```sh
//! cargo run --example openidconnect
//! # open http://localhost:8080
//! ```
//!
//! The provider is a part of this example. Everybody is logged in as `alice`.

use std::{error::Error, future, sync::Arc};

use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::Redirect,
    routing::get,
};
use openidconnect::{
    AuthorizationCode, ClientId, ClientSecret, CsrfToken, IssuerUrl, Nonce, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, TokenResponse,
    core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata},
};
use serde::{Deserialize, Serialize};
use tower_token_refresh::{
    ClientAuth, Identity, SessionCookieLayer, TokenEndpoint, TokenRefreshLayer, TokenRefresher,
    TokenSet,
    serve::Server,
    testing::StrictIssuer,
    tower_sessions::{MemoryStore, Session},
};

/// The session key of the login under way.
const ATTEMPT: &str = "login";

#[derive(Clone)]
struct App {
    refresher: TokenRefresher,
    provider: Arc<CoreProviderMetadata>,
    callback: RedirectUrl,
    http: Http,
}

/// reqwest, as `openidconnect` wants to call it.
#[derive(Clone)]
struct Http(reqwest::Client);

/// What the callback must know of the request it answers.
#[derive(Serialize, Deserialize)]
struct Attempt {
    state: CsrfToken,
    nonce: Nonce,
    verifier: PkceCodeVerifier,
}

#[derive(Deserialize)]
struct Answer {
    code: AuthorizationCode,
    state: CsrfToken,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let server = Server::bind(address).await?;
    let origin = format!("http://localhost:{}", server.local_addr()?.port());
    let issuer = StrictIssuer::builder().client("shop", "secret").build().serve().await?;

    // Redirects of the provider would carry the secret elsewhere.
    let http =
        Http(reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?);
    let url = IssuerUrl::new(issuer.issuer_url())?;
    let provider = Arc::new(CoreProviderMetadata::discover_async(url, &http).await?);
    let auth = ClientAuth::basic("shop", "secret");
    let endpoint = TokenEndpoint::discover(issuer.issuer_url(), auth).await?;
    let refresher = TokenRefresher::builder(endpoint, MemoryStore::default()).build()?;
    let callback = RedirectUrl::new(format!("{origin}/callback"))?;
    let app = Router::new()
        .route("/", get(home))
        .layer(TokenRefreshLayer::new(&refresher).lazy())
        .route("/login", get(log_in))
        .route("/callback", get(finish))
        .with_state(App { refresher: refresher.clone(), provider, callback, http })
        .layer(refresher.session_layer())
        .layer(SessionCookieLayer::new("id")?);
    println!("open {origin}");
    server.serve(app, future::pending()).await;
    Ok(())
}

async fn home(user: Option<Identity>) -> String {
    user.map_or("go to /login".to_owned(), |user| {
        format!("hello, {}", user.preferred_username.as_deref().unwrap_or("you"))
    })
}

async fn log_in(State(app): State<App>, session: Session) -> Result<Redirect, StatusCode> {
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let client = client!(app);
    let flow = CoreAuthenticationFlow::AuthorizationCode;
    let asked = client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
    let (url, state, nonce) = asked.set_pkce_challenge(challenge).url();
    let attempt = Attempt { state, nonce, verifier };
    session.insert(ATTEMPT, attempt).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(Redirect::to(url.as_str()))
}

/// The end of the code flow: the response is verified here, and handed over as it is.
async fn finish(
    State(app): State<App>,
    session: Session,
    Query(Answer { code, state }): Query<Answer>,
) -> Result<Redirect, StatusCode> {
    let attempt: Option<Attempt> =
        session.remove(ATTEMPT).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    // `CsrfToken` cannot be compared by itself.
    let attempt = attempt.filter(|attempt| attempt.state.secret() == state.secret());
    let Attempt { nonce, verifier, .. } = attempt.ok_or(StatusCode::BAD_REQUEST)?;
    let client = client!(app);
    let exchange = client.exchange_code(code).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let response = exchange.set_pkce_verifier(verifier).request_async(&app.http).await;
    let response = response.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let id_token = response.id_token().ok_or(StatusCode::BAD_GATEWAY)?;
    id_token.claims(&client.id_token_verifier(), &nonce).map_err(|_| StatusCode::BAD_GATEWAY)?;
    let tokens = TokenSet::from_response(&response).map_err(|_| StatusCode::BAD_GATEWAY)?;
    app.refresher.log_in(&session, tokens).await.map_err(|error| error.kind().status())?;
    Ok(Redirect::to("/"))
}

/// The type of a client says which of its addresses are known, so it has no short name.
macro_rules! client {
    ($app:expr) => {
        CoreClient::from_provider_metadata(
            (*$app.provider).clone(),
            ClientId::new("shop".to_owned()),
            Some(ClientSecret::new("secret".to_owned())),
        )
        .set_redirect_uri($app.callback.clone())
    };
}
use client;

impl<'c> openidconnect::AsyncHttpClient<'c> for Http {
    type Error = openidconnect::HttpClientError<reqwest::Error>;
    type Future = std::pin::Pin<
        Box<dyn Future<Output = Result<openidconnect::HttpResponse, Self::Error>> + Send + 'c>,
    >;

    fn call(&'c self, request: openidconnect::HttpRequest) -> Self::Future {
        Box::pin(async move {
            let request = request.try_into().map_err(Box::new)?;
            let answer = self.0.execute(request).await.map_err(Box::new)?;
            let mut response = http::Response::builder().status(answer.status());
            for (name, value) in answer.headers() {
                response = response.header(name, value);
            }
            let body = answer.bytes().await.map_err(Box::new)?.to_vec();
            response.body(body).map_err(openidconnect::HttpClientError::Http)
        })
    }
}
