//! The store refuses, loses answers or is down, for one process or for all.

use std::time::Duration;

use support::{LIFE, TokenOp, races::Station, settle, variants::leave};
use tokio::time::sleep;
use tower_sessions::session::Id;
use tower_token_refresh::{RefreshErrorKind, RefreshPolicy, tower_sessions};

use super::{DEADLINE, Pair, SECOND, ask, look_again, refused, served};

/// Rule 3. Its own way to the store is broken, the others' ways are not.
#[tokio::test(start_paused = true)]
async fn a_process_that_cannot_mark_presents_nothing_and_finds_what_another_has_fetched() {
    let pair = Pair::new();
    let id = pair.logged_in().await;
    pair.world.expire();
    pair.world.tokens.refuse_writes(true);
    assert_eq!(refused(&pair.world.refresher, id).await.kind(), RefreshErrorKind::Unavailable);
    assert_eq!(pair.posts(), 0);

    let token = served(&pair.other, id).await;

    assert_eq!(served(&pair.world.refresher, id).await.secret(), token.secret());
    assert_eq!(pair.posts(), 1);
    pair.world.assert_logged_in(id).await;
}

/// Nobody can mark, so nobody presents; who has a valid token is served on.
#[tokio::test(start_paused = true)]
async fn while_the_store_is_down_valid_tokens_are_served_and_nothing_is_presented() {
    let pair = Pair::new();
    let id = pair.logged_in().await;
    down(&pair, true);
    for _ in 0..5 {
        pair.world.clock.advance(10 * SECOND);
        for process in [&pair.world.refresher, &pair.other] {
            let token = served(process, id).await;
            assert!(pair.world.issuer.is_access_token_live(token.secret()));
            settle().await;
        }
    }
    pair.world.clock.advance(10 * SECOND);
    for process in [&pair.world.refresher, &pair.other] {
        assert_eq!(refused(process, id).await.kind(), RefreshErrorKind::Unavailable);
    }
    assert_eq!(pair.posts(), 0);

    down(&pair, false);
    let token = served(&pair.other, id).await;
    assert_eq!(served(&pair.world.refresher, id).await.secret(), token.secret());
    assert_eq!(pair.posts(), 1);
    pair.world.assert_logged_in(id).await;
}

fn down(pair: &Pair, down: bool) {
    pair.world.tokens.refuse_everything(down);
    pair.way.refuse_everything(down);
}

/// Rule 4: the store has set the mark; its answer got lost, and the look whether it is there
/// failed. So it is not known to be there: nothing is presented. Whoever set it knows it again
/// later.
#[tokio::test(start_paused = true)]
async fn a_mark_that_could_not_be_confirmed_is_no_mark_until_it_is_found() {
    let pair = Pair::new();
    let id = pair.logged_in().await;
    pair.world.expire();
    let mark = pair.world.tokens.gate_after(TokenOp::Swap);
    pair.world.tokens.lose_next_answer(TokenOp::Swap);
    let asked = ask(&pair.world.refresher, id);
    mark.reached().await;
    pair.world.tokens.fail_next(TokenOp::Load);
    mark.open();
    assert_eq!(asked.await.unwrap().unwrap_err().kind(), RefreshErrorKind::Unavailable);
    assert_eq!(pair.posts(), 0);
    assert!(pair.world.stored_tokens(id).await.is_presenting());

    let waiting = ask(&pair.other, id);
    look_again().await;
    assert!(!waiting.is_finished(), "to the other it is a mark like any other");
    let token = served(&pair.world.refresher, id).await;

    assert_eq!(waiting.await.unwrap().expect("found").secret(), token.secret());
    assert_eq!(pair.posts(), 1);
    pair.world.assert_logged_in(id).await;
}

/// Rule 26: whoever waits for it goes on by itself, long before the deadline.
#[tokio::test(start_paused = true)]
async fn when_a_mark_is_taken_back_another_process_that_waits_refreshes() {
    let pair = Pair::new();
    let id = pair.logged_in().await;
    let flight = pair.world.flight_at(Station::BeforePost, id).await;
    let waiting = ask(&pair.other, id);
    look_again().await;
    for _ in 0..2 {
        pair.world.issuer.fail_next(503, "");
    }

    let error = flight.land().await.expect_err("the provider was overloaded");

    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    let token = waiting.await.unwrap().expect("refreshed");
    assert!(pair.world.issuer.is_access_token_live(token.secret()));
    assert_eq!((pair.posts(), pair.world.issuer.refreshes()), (3, 1));
    assert_eq!(served(&pair.world.refresher, id).await.secret(), token.secret());
}

/// Its answer got lost: the tokens are written again, and are the same.
#[tokio::test(start_paused = true)]
async fn tokens_whose_confirmation_got_lost_are_served_by_all() {
    let pair = Pair::new();
    let id = pair.logged_in().await;
    pair.world.expire();
    pair.world.tokens.lose_next_answer(TokenOp::Put);
    let token = served(&pair.world.refresher, id).await;
    assert_eq!(served(&pair.other, id).await.secret(), token.secret());
    assert_eq!(pair.world.refresher.usage().unsaved, 1);
    sleep(2 * SECOND).await;
    assert_eq!(pair.world.refresher.usage().unsaved, 0);
    assert_eq!((pair.posts(), pair.world.tokens.calls(TokenOp::Put)), (1, 2));
}

/// They were stored, nobody knows it, and another process has refreshed them since.
#[tokio::test(start_paused = true)]
async fn tokens_that_are_written_again_do_not_undo_a_later_refresh() {
    let pair = Pair::new();
    let id = pair.logged_in().await;
    pair.world.expire();
    pair.world.tokens.lose_next_answer(TokenOp::Put);
    let _older = served(&pair.world.refresher, id).await;
    let again = pair.world.tokens.gate_before(TokenOp::Put);
    again.reached().await;
    pair.world.expire();
    let newest = served(&pair.other, id).await;
    again.open();
    settle().await;

    assert_eq!(pair.world.refresher.usage().unsaved, 0);
    assert_eq!(served(&pair.world.refresher, id).await.secret(), newest.secret());
    assert_eq!(pair.world.stored_tokens(id).await.generation(), Some(3));
    assert_eq!(pair.posts(), 2);
    pair.world.assert_logged_in(id).await;
}

/// Rule 15: the tokens keep their mark, and no other process takes it for lost meanwhile.
#[tokio::test(start_paused = true)]
async fn tokens_that_one_process_cannot_store_are_served_there_and_waited_for_elsewhere() {
    let pair = Pair::new();
    let id = pair.logged_in().await;
    pair.world.expire();
    pair.world.tokens.refuse(TokenOp::Put);
    let token = served(&pair.world.refresher, id).await;
    assert_eq!(served(&pair.world.refresher, id).await.secret(), token.secret());
    let waiting = ask(&pair.other, id);
    pair.watch(5 * SECOND).await;
    assert!(!waiting.is_finished() && pair.world.stored_tokens(id).await.is_presenting());

    pair.world.tokens.accept(TokenOp::Put);

    assert_eq!(waiting.await.unwrap().expect("found").secret(), token.secret());
    assert_eq!(pair.posts(), 1);
    pair.world.assert_logged_in(id).await;
}

/// Rule 6. An outage of the store that is longer than the deadline begins after the other process
/// has seen the mark. When it is over, the tokens come before anybody presents the used one again.
async fn after_a_long_outage(pair: &Pair, asked_meanwhile: bool) -> Id {
    let id = pair.logged_in().await;
    let flight = pair.world.flight_at(Station::AfterPost, id).await;
    let looking = ask(&pair.other, id);
    look_again().await;
    leave(looking).await;
    down(pair, true);
    flight.land().await.expect("served, and not stored");
    look_again().await;
    for _ in 0..DEADLINE.as_secs() + 10 {
        if asked_meanwhile {
            assert_eq!(refused(&pair.other, id).await.kind(), RefreshErrorKind::Unavailable);
        }
        pair.watch(SECOND).await;
    }
    down(pair, false);
    id
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_new_tokens_are_stored_before_anybody_presents_the_used_one_again() {
    for asked_meanwhile in [false, true] {
        let policy = RefreshPolicy::default().refresh_ahead(Duration::ZERO);
        let pair = Pair::with(LIFE, policy);
        let id = after_a_long_outage(&pair, asked_meanwhile).await;

        // Before the process that has the tokens tries again.
        let token = ask(&pair.other, id).await.unwrap().expect("found, in the end");

        assert_eq!(pair.posts(), 1);
        assert!(pair.world.issuer.is_access_token_live(token.secret()));
        pair.world.assert_logged_in(id).await;
    }
}
