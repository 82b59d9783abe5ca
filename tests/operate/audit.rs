//! Lines about who logged in, and how each login ended.

use support::{
    World,
    log::{AuditLine, Log},
};
use tower_token_refresh::{Logout, TokenRefresher};

fn world() -> World {
    World::swapping_with(|builder| builder.audit_key([7; 32]))
}

#[tokio::test]
async fn logins_and_their_ends_name_the_user_by_a_hash() {
    let log = Log::of_this_thread();
    let world = world();
    let id = world.log_in("alice").await;
    world.refresher.log_out(&world.session(id), Logout::EndSession).await.expect("logged out");

    // Another login in the same session.
    let session = world.session_with(None, None);
    world.log_in_on(&session, "alice").await;
    world.log_in_on(&session, "bob").await;

    // The provider does not take the refresh token any more.
    let id = world.log_in("carol").await;
    world.issuer.end_session("carol");
    world.expire();
    assert!(world.refresher.valid_token(&world.session(id)).await.is_err());

    // The tokens of somebody else.
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.switch_user_next("mallory");
    assert!(world.refresher.valid_token(&world.session(id)).await.is_err());

    let issuer = world.issuer.issuer_url();
    let hash = |user: &str| world.refresher.audit_hash(&issuer, &world.issuer.subject_of(user));
    let expected = [
        ("login", hash("alice")),
        ("logout", hash("alice")),
        ("login", hash("alice")),
        ("login", hash("bob")),
        ("replaced", hash("alice")),
        ("login", hash("carol")),
        ("refused", hash("carol")),
        ("login", hash("alice")),
        ("subject_changed", hash("alice")),
    ];
    let line = |(event, user): (&str, String)| {
        let (event, issuer) = (event.to_owned(), issuer.clone());
        AuditLine { event, user: Some(user), issuer }
    };
    assert_eq!(log.audit(), expected.map(line));
    assert_eq!(hash("alice").len(), 32);
    assert!(!log.text().contains(&world.issuer.subject_of("carol")), "no subject is in the log");
}

#[tokio::test]
async fn one_key_gives_one_hash_in_all_processes_and_none_gives_another_in_each() {
    let world = world();
    let same = world.restarted_with(|builder| builder.audit_key([7; 32]));
    let hash = |refresher: &TokenRefresher, subject| refresher.audit_hash("an issuer", subject);
    assert_eq!(hash(&world.refresher, "alice"), hash(&same, "alice"));
    assert_ne!(hash(&same, "alice"), hash(&same, "bob"));
    assert_ne!(hash(&same, "alice"), same.audit_hash("another issuer", "alice"));
    let (one, two) = (world.restarted(), world.restarted());
    assert_ne!(hash(&one, "alice"), hash(&two, "alice"));
}

#[test]
fn a_short_key_is_refused_by_name_and_not_shown() {
    let world = World::on_memory();
    let endpoint = support::endpoint(&world.issuer);
    let built =
        TokenRefresher::builder(endpoint, world.sessions.clone()).audit_key("hunter2").build();
    let error = built.expect_err("too short").to_string();
    assert_eq!(error, "the audit key is 7 bytes: it must have at least 32 bytes");
}
