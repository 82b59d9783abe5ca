//! A program that calls an API in its own name: no user, no session.
//!
//! It has one source of tokens, and two clients: reqwest, which sets the header itself, and a tower
//! client with a layer that sets it and heals a 401. Provider and API run on loopback. In the middle
//! of the run somebody revokes the token, twice.
//!
//! No arguments, no services: `cargo run --example service_client`.

use std::{error::Error, sync::Arc, time::Duration};

use axum::{Router, extract::State, routing::get};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{BoxError, ServiceBuilder, ServiceExt};
use tower_token_refresh::{
    ApiHosts, BearerLayer, ClientAuth, ServiceTokens, TokenEndpoint, TokenTarget,
    testing::{Endpoint, ManualClock, StrictIssuer},
};

const AT_ONCE: usize = 20;
const ONE_MINUTE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Nobody has to wait for a token to grow old.
    let clock = ManualClock::new();
    let issuer =
        StrictIssuer::builder().client("sms-sender", "s3cret").clock(clock.clock()).build();
    let provider = issuer.serve().await?;
    let api = start_api(issuer.clone()).await?;
    let requests = || issuer.requests(Endpoint::Token);

    // Once, for the whole program.
    let auth = ClientAuth::basic("sms-sender", "s3cret");
    let tokens = ServiceTokens::builder(TokenEndpoint::new(provider.token_url(), auth))
        .target(TokenTarget::new().audience("sms"))
        .clock(clock.clock())
        .build()?;
    let hosts = ApiHosts::new([&api])?.clock(clock.clock());
    tokens.warm_up().await?;
    println!("The program has started: {} token request.\n", requests());

    let http = reqwest::Client::new();
    let statuses = join_all((0..AT_ONCE).map(|_| by_reqwest(&http, &api, &tokens))).await;
    report("by reqwest", statuses, requests());
    let statuses = join_all((0..AT_ONCE).map(|_| by_tower(&hosts, &api, &tokens))).await;
    report("by a tower client with the layer", statuses, requests());

    clock.advance(ONE_MINUTE);
    revoke(&http, &provider.issuer().revocation_url(), &tokens).await?;
    println!("\nA minute later somebody revokes the token.\n");
    let statuses = join_all((0..AT_ONCE).map(|_| by_tower(&hosts, &api, &tokens))).await;
    report("by a tower client with the layer", statuses, requests());

    clock.advance(ONE_MINUTE);
    revoke(&http, &provider.issuer().revocation_url(), &tokens).await?;
    println!("\nAnd again.\n");
    let statuses = join_all((0..AT_ONCE).map(|_| by_reqwest(&http, &api, &tokens))).await;
    report("by reqwest", statuses, requests());
    Ok(())
}

/// Asks for a token per call, and for a newer one if the API refuses that: both cost nothing where
/// another call has done it.
async fn by_reqwest(
    http: &reqwest::Client,
    api: &str,
    tokens: &ServiceTokens,
) -> Result<StatusCode, BoxError> {
    let url = format!("http://{api}/messages");
    let send = |authorization| http.get(&url).header(header::AUTHORIZATION, authorization).send();
    let token = tokens.token().await?;
    let status = send(token.header()).await?.status();
    if status != StatusCode::UNAUTHORIZED {
        return Ok(status);
    }
    let newer = tokens.newer_than(&token).await?;
    Ok(send(newer.header()).await?.status())
}

/// The layer does the same.
async fn by_tower(
    hosts: &ApiHosts,
    api: &str,
    tokens: &ServiceTokens,
) -> Result<StatusCode, BoxError> {
    let http = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let client = ServiceBuilder::new().layer(BearerLayer::new(tokens.clone(), hosts)).service(http);
    let request = Request::get(format!("http://{api}/messages")).body(Full::default())?;
    Ok(client.oneshot(request).await?.status())
}

fn report(how: &str, statuses: Vec<Result<StatusCode, BoxError>>, token_requests: usize) {
    let served = statuses.iter().filter(|status| matches!(status, Ok(StatusCode::OK))).count();
    let requests = if token_requests == 1 { "request" } else { "requests" };
    println!(
        "{AT_ONCE} calls {how:<33}: {served} answered, {token_requests} token {requests} so far"
    );
}

/// As an administrator would (RFC 7009).
async fn revoke(
    http: &reqwest::Client,
    url: &str,
    tokens: &ServiceTokens,
) -> Result<(), Box<dyn Error>> {
    let token = tokens.token().await?;
    let request = http.post(url).basic_auth("sms-sender", Some("s3cret"));
    request.form(&[("token", token.secret())]).send().await?.error_for_status()?;
    Ok(())
}

/// An API that takes live tokens only. Gives its host and port.
async fn start_api(issuer: StrictIssuer) -> std::io::Result<String> {
    let app = Router::new().route("/messages", get(messages)).with_state(Arc::new(issuer));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address.to_string())
}

async fn messages(State(issuer): State<Arc<StrictIssuer>>, headers: HeaderMap) -> StatusCode {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if issuer.is_access_token_live(token) { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
}
