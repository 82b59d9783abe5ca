//! An outage is a few lines in the log, and not one for each request.


use support::{World, log::Log};
use tower_token_refresh::{RefreshErrorKind, testing::Endpoint};

#[tokio::test]
async fn while_the_provider_is_left_alone_nothing_more_is_said() {
    let log = Log::of_this_process();
    let warnings = || -> Vec<String> {
        log.lines()
            .into_iter()
            .filter(|line| line.contains("WARN") || line.contains("ERROR"))
            .collect()
    };
    let world = World::on_memory();
    let mut unlucky = Vec::new();
    for user in 0..5 {
        unlucky.push(world.log_in(&format!("unlucky {user}")).await);
    }
    let mut waiting = Vec::new();
    for user in 0..20 {
        waiting.push(world.log_in(&format!("user {user}")).await);
    }
    world.expire();

    for id in unlucky {
        world.issuer.drop_request_next_at(Endpoint::Token);
        world.refresher.valid_token(&world.session(id)).await.expect_err("the provider is down");
    }
    let told = warnings();
    assert_eq!(told.len(), 6, "a line for each failure, and one for what follows: {told:#?}");
    assert!(told.iter().any(|line| line.contains("left alone")), "{told:#?}");

    for id in waiting {
        let error = world.refresher.valid_token(&world.session(id)).await.expect_err("left alone");
        assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    }
    assert_eq!(warnings(), told);
}
