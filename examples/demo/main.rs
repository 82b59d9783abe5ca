//! Fifty requests of one user arrive just after the access token has expired.
//!
//! First they meet a middleware that refreshes in every request, as one writes it in an afternoon.
//! Then they meet this crate's layer. The identity provider is the same for both: it rotates
//! refresh tokens, takes 100 ms for an answer, and ends the login when a refresh token is presented
//! twice, as Keycloak does with "Revoke Refresh Token" on.
//!
//! After that the provider goes down for a while, just when the token expires.
//!
//! No arguments, no services: `cargo run --example demo`. In a terminal it then serves a page on
//! which all this can be seen, and tried with other numbers, until ctrl-c. `--serve` does that
//! without a terminal, too, and `--once` never.

mod naive;
mod ours;
mod outage;
mod page;
mod storm;

use std::{env, error::Error, io::IsTerminal, time::Duration};

use storm::Outcome;
use tower_token_refresh::testing::{IssuerServer, ManualClock, StrictIssuer};

const REQUESTS: usize = 50;
const PROVIDER_TAKES: Duration = Duration::from_millis(100);
const TOKEN_LIVES: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let serve = match env::args().nth(1).as_deref() {
        None => std::io::stdout().is_terminal(),
        Some("--serve") => true,
        Some("--once") => false,
        Some(_) => return Err("the arguments are --serve, --once, or none".into()),
    };
    compare().await?;
    if serve { page::serve().await } else { Ok(()) }
}

/// The table.
async fn compare() -> Result<(), Box<dyn Error>> {
    println!(
        "{REQUESTS} requests at once, the access token has just expired.\n\
         The provider takes {} ms per token request and ends the login if a refresh token is used twice.\n",
        PROVIDER_TAKES.as_millis()
    );

    let (clock, provider) = start_provider().await?;
    let app = naive::app(&provider, clock.clock());
    let naive = storm::run(app, &provider, &clock).await?;

    let (clock, provider) = start_provider().await?;
    let app = ours::app(&provider, clock.clock())?;
    let ours = storm::run(app, &provider, &clock).await?;

    print(&naive, &ours);

    println!(
        "\nThen the provider is down for {} s, from {} s before the token expires.\n",
        2 * outage::HALF,
        outage::HALF
    );
    let (clock, provider) = start_quick_provider().await?;
    let app = naive::app(&provider, clock.clock());
    let naive = outage::run(app, &provider, &clock).await?;
    let (clock, provider) = start_quick_provider().await?;
    let app = ours::app(&provider, clock.clock())?;
    let ours = outage::run(app, &provider, &clock).await?;
    let failed = |outcome: &outage::Outcome| format!("{} of {}", outcome.failed, outcome.requests);
    row("failed answers", &failed(&naive), &failed(&ours));
    Ok(())
}

/// A provider on loopback, whose clock this program moves: nobody has to wait for a token to
/// expire.
async fn start_provider() -> Result<(ManualClock, IssuerServer), Box<dyn Error>> {
    let clock = ManualClock::new();
    let issuer =
        StrictIssuer::builder().clock(clock.clock()).access_token_lifetime(TOKEN_LIVES).build();
    issuer.delay(PROVIDER_TAKES);
    Ok((clock, issuer.serve().await?))
}

/// In an outage it is not its slowness that counts.
async fn start_quick_provider() -> Result<(ManualClock, IssuerServer), Box<dyn Error>> {
    let (clock, provider) = start_provider().await?;
    provider.issuer().delay(Duration::ZERO);
    Ok((clock, provider))
}

fn row(what: &str, naive: &str, ours: &str) {
    println!("{what:<28}{naive:<26}{ours}");
}

fn print(naive: &Outcome, ours: &Outcome) {
    let failed = |outcome: &Outcome| format!("{} of {REQUESTS}", outcome.failed);
    let millis = |time: Duration| format!("{} ms", time.as_millis());
    let logged_in =
        |outcome: &Outcome| if outcome.still_logged_in { "yes" } else { "no" }.to_owned();
    row("", "every request refreshes", "tower-token-refresh");
    row("token requests", &naive.token_requests.to_string(), &ours.token_requests.to_string());
    row("failed answers", &failed(naive), &failed(ours));
    row("median answer", &millis(naive.median), &millis(ours.median));
    row("slowest answer", &millis(naive.slowest), &millis(ours.slowest));
    row("still logged in afterwards", &logged_in(naive), &logged_in(ours));
}
