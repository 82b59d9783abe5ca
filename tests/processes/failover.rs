//! The store fails over to a replica and comes back without its last write (rule 16).

use support::{StoredTokens, tokens::key_of};
use tower_sessions::session::Id;
use tower_token_refresh::{
    RefreshErrorKind, RefreshPolicy,
    token_store::{RecordKey, TokenRecord},
    tower_sessions,
};

use super::{Pair, SECOND, refused, served};

/// A login whose tokens the other process has refreshed, and the record before that.
async fn refreshed_elsewhere(pair: &Pair) -> (Id, RecordKey, TokenRecord) {
    let id = pair.world.log_in("alice").await;
    let key = key_of(&pair.world.pointer(id).await.expect("logged in"));
    let before = pair.store.peek(key).expect("a record");
    let life =
        served(&pair.other, id).await.expires_at().duration_since(pair.world.clock.clock().now());
    pair.world.clock.advance(life.expect("it is good"));
    served(&pair.other, id).await;
    (id, key, before)
}

#[tokio::test]
async fn the_process_that_stored_them_stores_lost_tokens_again_when_it_next_looks() {
    let pair = Pair::with(300 * SECOND, RefreshPolicy::default());
    let (id, key, before) = refreshed_elsewhere(&pair).await;
    let newest = served(&pair.other, id).await;
    pair.store.overwrite(key, Some(before));

    pair.world.clock.advance(61 * SECOND);
    assert_eq!(served(&pair.other, id).await.secret(), newest.secret());

    assert_eq!(pair.world.stored_tokens(id).await.generation(), Some(2));
    assert_eq!(served(&pair.world.refresher, id).await.secret(), newest.secret());
    assert_eq!(pair.posts(), 1);
    pair.world.assert_logged_in(id).await;
}

#[tokio::test]
async fn the_process_that_stored_them_presents_the_newest_token_and_not_the_stores() {
    let pair = Pair::new();
    let (id, key, before) = refreshed_elsewhere(&pair).await;
    pair.store.overwrite(key, Some(before));
    pair.world.expire();

    served(&pair.other, id).await;

    assert_eq!(pair.world.stored_tokens(id).await.generation(), Some(3));
    assert_eq!(pair.posts(), 2);
    pair.world.assert_logged_in(id).await;
}

/// It has read them once, and who stored them is gone: nobody has their refresh token any more.
#[tokio::test]
async fn a_process_that_only_serves_lost_tokens_presents_nothing_while_they_are_good() {
    let pair = Pair::new();
    let (id, key, before) = refreshed_elsewhere(&pair).await;
    let newest = served(&pair.world.refresher, id).await;
    pair.store.overwrite(key, Some(before));

    for second in [0, 29, 59] {
        pair.world.clock.advance(if second == 0 { SECOND } else { 29 * SECOND });
        assert_eq!(served(&pair.world.refresher, id).await.secret(), newest.secret());
        support::settle().await;
    }
    let session = pair.world.session(id);
    let newer = pair.world.refresher.newer_token(&session, &newest).await;
    assert_eq!(newer.expect_err("not even for an API's 401").kind(), RefreshErrorKind::Unavailable);
    assert_eq!(pair.posts(), 1);
    assert!(pair.world.issuer.is_access_token_live(newest.secret()));

    pair.world.clock.advance(SECOND);
    assert_eq!(refused(&pair.world.refresher, id).await.kind(), RefreshErrorKind::SessionExpired);
    assert_eq!(pair.posts(), 2, "the login was lost; it cost nobody a good token");
}

#[tokio::test]
async fn nothing_is_stored_again_over_an_ending() {
    let pair = Pair::with(300 * SECOND, RefreshPolicy::default());
    let (id, key, _) = refreshed_elsewhere(&pair).await;
    let late = pair.session(id);
    late.get_value(support::KEY).await.expect("it loads");
    let session = pair.world.session(id);
    let how = tower_token_refresh::Logout::KeepSession;
    pair.world.refresher.log_out(&session, how).await.expect("logged out");

    pair.world.clock.advance(61 * SECOND);

    let error = pair.other.valid_token(&late).await.expect_err("logged out");
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    let stored = StoredTokens::of(key, pair.store.peek(key).as_ref());
    assert!(stored.is_ended(), "{stored:?}");
}

/// Rule 19. It may have expired, or an administrator has removed it.
#[tokio::test]
async fn nothing_is_stored_again_where_the_record_is_gone() {
    let pair = Pair::with(300 * SECOND, RefreshPolicy::default());
    let (id, key, _) = refreshed_elsewhere(&pair).await;
    pair.store.overwrite(key, None);

    pair.world.clock.advance(61 * SECOND);

    for process in [&pair.other, &pair.world.refresher] {
        assert_eq!(refused(process, id).await.kind(), RefreshErrorKind::SessionExpired);
    }
    assert!(pair.store.peek(key).is_none());
    assert_eq!(pair.posts(), 1);
}
