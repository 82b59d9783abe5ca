//! A strict identity provider, for the tests of an application in any language: it logs everybody
//! in without a password, and ends a login when one of its refresh tokens is used twice.
//!
//! ```sh
//! cargo run --example issuer -- 127.0.0.1:9400 --like keycloak
//! ```
//!
//! It prints what the application has to know, and then a line for each login and refresh, and for
//! each refresh token and each client that it has refused. `--help` names the options. An argument that cannot work
//! is one line on stderr and exit code 2; an address that cannot be listened at is one line and
//! exit code 1.
//!
//! What it does is told in the documentation of `tower_token_refresh::testing`. It forgets
//! everything when it ends.

mod arguments;

use std::{future, process::ExitCode};

use arguments::{Arguments, HELP};
use tower_token_refresh::testing::StrictIssuer;
use tracing::Level;
use tracing_subscriber::{
    Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let events = Targets::new().with_target("tower_token_refresh::testing", Level::DEBUG);
    let lines = fmt::layer().with_level(false).with_target(false).with_ansi(false);
    tracing_subscriber::registry().with(lines.with_filter(events)).init();

    let Arguments { address, like, client, secret, access_lifetime } = arguments;
    let mut issuer = StrictIssuer::builder().like(like).client(&client, &secret);
    if let Some(lifetime) = access_lifetime {
        issuer = issuer.access_token_lifetime(lifetime);
    }
    let server = match issuer.build().serve_on(address.as_str()).await {
        Ok(server) => server,
        Err(error) => {
            eprintln!("{address}: cannot listen there: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("ISSUER_URL={}", server.issuer_url());
    println!("CLIENT_ID={client}");
    println!("CLIENT_SECRET={secret}");
    // Until it is killed.
    future::pending().await
}
