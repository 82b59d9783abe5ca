//! An outage is a few lines in the log, and not one for each request.

use support::{World, log::Log};
use tower_token_refresh::{RefreshErrorKind, testing::Endpoint};

use super::refused;

#[tokio::test]
async fn while_the_provider_is_left_alone_nothing_more_is_said() {
    let log = Log::of_this_thread();
    let world = World::on_memory();
    let (mut unlucky, mut waiting) = (Vec::new(), Vec::new());
    for user in 0..5 {
        unlucky.push(world.log_in(&format!("unlucky {user}")).await);
    }
    for user in 0..20 {
        waiting.push(world.log_in(&format!("user {user}")).await);
    }
    world.expire();

    for id in unlucky {
        world.issuer.drop_request_next_at(Endpoint::Token);
        refused(&world, id).await;
    }
    let warnings = log.lines_at("WARN");
    assert_eq!(warnings.len(), 6, "one for each failure, and one for what follows: {warnings:#?}");
    assert!(
        warnings.iter().any(|line| line.contains("the circuit breaker opened")),
        "{warnings:#?}"
    );

    for id in waiting {
        assert_eq!(refused(&world, id).await.kind(), RefreshErrorKind::Unavailable);
    }
    assert_eq!(log.lines_at("WARN"), warnings);
}
