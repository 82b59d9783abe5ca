//! A login ends at one process while another one has its refresh on the wire: it is dead
//! everywhere, and so is what the refresh brings.

use std::time::Duration;

use support::providers::Refreshes;
use tokio::time::{sleep, timeout};
use tower_token_refresh::testing::Endpoint;

use crate::{
    fleet::{Fleet, LONG, PATIENCE, Settings, Stopwatch, Store, reached, until_expired},
    on_each_server,
    visitor::Visitor,
    wire::{Load, Storm},
};

const INDEX_KEY: Settings<'static> =
    &[("INDEX_KEY", "aW5kZXgta2V5LWluZGV4LWtleS1pbmRleC1rZXktMDE=")];
/// They wait at the process that refreshes.
const WAITING: Load = Load { requests: 20, connections: 20 };

/// A refresh of Alice's is on the wire at the first process, and the provider's answer is held
/// back, while `end` ends her login at the second. So many tokens are revoked then.
async fn ended_during_the_refresh(
    scene: &str,
    store: Store,
    end: impl AsyncFnOnce(&Fleet, &Visitor),
    revocations: usize,
) {
    let fleet = Fleet::start(store, &[INDEX_KEY; 2]).await;
    let bob = fleet.log_in("bob", LONG).await;
    let bobs_secrets = fleet.issuer().every_secret().len();
    let alice = fleet.log_in("alice", 1).await;
    until_expired(1).await;
    let gate = fleet.issuer().gate_after(Endpoint::Token);
    let mut waiting = Storm::begin(&[fleet.url(0)], &alice, WAITING);
    waiting.written().await;
    reached(&gate).await;

    let watch = Stopwatch::start();
    end(&fleet, &alice).await;
    gate.open();

    let waiting = waiting.answers().await;
    assert_eq!(waiting.count(401), WAITING.requests, "{waiting}");
    for process in 0..2 {
        assert_eq!(fleet.ask(process, &alice).await.status, 401, "process {process}");
        assert_eq!(fleet.ask(process, &bob).await.status, 200, "process {process}: another user");
    }
    let recovery = watch.seconds();
    until_revoked(&fleet, revocations).await;
    for secret in &fleet.issuer().every_secret()[bobs_secrets..] {
        assert!(!fleet.issuer().is_access_token_live(secret), "nothing of hers is good");
        assert!(!fleet.issuer().is_refresh_token_live(secret), "nothing of hers is good");
    }
    assert_eq!(fleet.posts(), Refreshes { granted: 1, refused: 0 });
    fleet.assert_nothing_logged();
    fleet.row(scene, &waiting, recovery);
}

async fn until_revoked(fleet: &Fleet, revocations: usize) {
    let revoked = async {
        while fleet.issuer().revocations() < revocations {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, revoked).await.expect("what there was is revoked");
}

on_each_server! {
    async fn a_log_out_ends_what_another_process_is_refreshing(store: Store) {
        let scene = "log out at the other process";
        let log_out = async |fleet: &Fleet, alice: &Visitor| {
            assert_eq!(alice.log_out(fleet.url(1)).await, 303);
        };
        // What she had, and what the refresh brings.
        ended_during_the_refresh(scene, store, log_out, 2).await;
    }

    async fn the_provider_ends_what_another_process_is_refreshing(store: Store) {
        let scene = "back-channel logout at the other process";
        let end = async |fleet: &Fleet, _: &Visitor| {
            fleet.issuer().end_session("alice");
            let token = fleet.issuer().logout_token(Some("alice"), None);
            let url = format!("{}/auth/back-channel-logout", fleet.url(1));
            let request = reqwest::Client::new().post(url).form(&[("logout_token", token)]);
            assert_eq!(request.send().await.expect("an answer").status().as_u16(), 200);
        };
        // The provider has done it itself.
        ended_during_the_refresh(scene, store, end, 0).await;
    }
}
