//! An outage of the provider that spans the end of the token's life: one request a second meets it.

use std::{error::Error, time::Duration};

use axum::{Router, http::StatusCode};
use tower_token_refresh::testing::{IssuerServer, ManualClock};

use crate::{TOKEN_LIVES, storm::Visitor};

const SECOND: Duration = Duration::from_secs(1);
/// The provider is down for so long before the token expires, and for as long after.
pub const HALF: u32 = 20;

/// How many answers failed, of how many.
pub struct Outcome {
    pub failed: usize,
    pub requests: usize,
}

/// Time is the demo's own: a second passes as soon as its request is answered.
pub async fn run(
    app: Router,
    provider: &IssuerServer,
    clock: &ManualClock,
) -> Result<Outcome, Box<dyn Error>> {
    let visitor = Visitor::log_in(app).await?;
    clock.advance(TOKEN_LIVES - SECOND * 60);
    let mut outcome = Outcome { failed: 0, requests: 0 };
    for second in 0..60 + 2 * HALF {
        provider.issuer().set_down((60 - HALF..60 + HALF).contains(&second));
        outcome.requests += 1;
        outcome.failed += usize::from(visitor.orders().await? != StatusCode::OK);
        clock.advance(SECOND);
    }
    Ok(outcome)
}
