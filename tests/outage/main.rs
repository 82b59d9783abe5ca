//! What becomes of users while the provider or the clock misbehaves.

mod clock_jumps;
mod early;
mod log;
mod marks;
mod outage;
mod provider_down;
mod replay;
mod shutdown;
mod taken_over;
mod wire;

use support::World;
use tower_sessions::session::Id;
use tower_token_refresh::{AccessToken, RefreshError, tower_sessions};

/// The token that a request gets.
async fn served(world: &World, id: Id) -> AccessToken {
    world.refresher.valid_token(&world.session(id)).await.expect("a token")
}

/// The error that a request gets instead of a token.
async fn refused(world: &World, id: Id) -> RefreshError {
    world.refresher.valid_token(&world.session(id)).await.expect_err("no token")
}
