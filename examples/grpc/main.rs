//! A gRPC client whose calls carry a user's token, and heal when the server refuses it.
//!
//! gRPC says 401 as `UNAUTHENTICATED`, in the headers of a 200. `BearerLayer` takes it for a 401:
//! one refresh for all who were refused, and the call goes out once more. For that it needs the
//! body again, and the body of a tonic request is a stream. The message of a unary call is whole
//! before it is sent, so `client.rs` collects it first.
//!
//! The service is gRPC's own health check, which comes with generated code: no protoc is needed. No
//! arguments, no services: `cargo run --example grpc`. It fails if a call did.

mod client;
mod server;

use std::{process::ExitCode, time::Duration};

use tonic_health::pb::HealthCheckRequest;
use tower::BoxError;
use tower_token_refresh::{
    ApiHosts, ClientAuth, TokenEndpoint, TokenRefresher, TokenSet,
    testing::{ManualClock, StrictIssuer},
    tower_sessions::MemoryStore,
};

const CALLS: usize = 20;

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let clock = ManualClock::new();
    let provider = StrictIssuer::builder().clock(clock.clock()).build().serve().await?;
    let issuer = provider.issuer();
    let server = server::serve(issuer.clone()).await?;

    let endpoint = TokenEndpoint::new(provider.token_url(), ClientAuth::basic("web", "secret"));
    let refresher =
        TokenRefresher::builder(endpoint, MemoryStore::default()).clock(clock.clock()).build()?;
    let handle = refresher.adopt(TokenSet::from_response(issuer.log_in("alice"))?).await?;
    // Once, for the state of the application.
    let api = ApiHosts::new([server.authority.as_str()])?.clock(clock.clock());
    let client = client::unary(server.origin()?, refresher.tokens(&handle), &api);
    println!(
        "what                                         calls          by the server  by the provider\n"
    );

    let mut failed = 0;
    let mut report = async |what: &str, calls: usize| {
        let before = (issuer.refreshes(), server.refused());
        let calls = (0..calls).map(|_| {
            let mut client = client.clone();
            async move { client.check(HealthCheckRequest::default()).await.is_err() }
        });
        let answers = futures_util::future::join_all(calls).await;
        let errors = answers.iter().filter(|is_error| **is_error).count();
        failed += errors;
        let refreshes = issuer.refreshes() - before.0;
        println!(
            "{what:<44}{:>3} of {:<3} ok   {:>2} refused   {refreshes} {}",
            answers.len() - errors,
            answers.len(),
            server.refused() - before.1,
            if refreshes == 1 { "refresh" } else { "refreshes" },
        );
    };
    report("the token is fresh", 1).await;
    clock.advance(Duration::from_secs(300));
    report("it has expired", CALLS).await;
    clock.advance(Duration::from_secs(30));
    server.revoke_all_seen();
    report("the server refuses it, though it is fresh", CALLS).await;
    let most = match issuer.max_presented() {
        1 => "once".to_owned(),
        times => format!("{times} times"),
    };
    println!("one refresh token was used {most} at most");
    Ok(if failed == 0 && issuer.refreshes() == 2 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
