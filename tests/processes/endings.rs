//! A login ends in one process while another refreshes it, or has just done so.

use support::{StoredTokens, TokenOp, races::Station, settle, variants::session_at};
use tower_token_refresh::{Logout, RefreshErrorKind, Revocation, TokenSet};

use super::{Pair, SECOND, refused, served};

/// Rules 8 to 12. What the flight still brings is revoked, and its waiters are told.
async fn log_out_elsewhere_during_a_flight(at: Station) {
    for how in [Logout::EndSession, Logout::KeepSession] {
        let pair = Pair::new();
        let id = pair.logged_in().await;
        let late = pair.world.request(id).await;
        let flight = pair.world.flight_at(at, id).await;

        pair.other.log_out(&pair.session(id), how).await.expect("logged out");
        let answer = flight.land().await;
        settle().await;

        if at == Station::AfterPut {
            // Stored before the logout, and served for as long as nobody looks.
            assert!(answer.is_ok());
            pair.world.clock.advance(61 * SECOND);
        } else {
            assert_eq!(answer.expect_err("ended").kind(), RefreshErrorKind::LoggedOut, "{how:?}");
        }
        pair.world.assert_dead_at_the_provider();
        let error = pair.world.refresher.valid_token(&late).await.expect_err("ended");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        assert_eq!(refused(&pair.other, id).await.kind(), RefreshErrorKind::NoTokens);
        let posts = pair.posts();
        assert!(posts <= 1);
        assert!(pair.world.held_by("alice").await.is_empty());
    }
}

macro_rules! at_each_station {
    ($($name:ident $station:ident,)*) => {
        mod log_out_elsewhere {
            $(
                #[tokio::test(start_paused = true)]
                async fn $name() {
                    super::log_out_elsewhere_during_a_flight(super::Station::$station).await;
                }
            )*
        }
    };
}

at_each_station! {
    before_the_read BeforeRead,
    after_the_read AfterRead,
    before_the_mark BeforeMark,
    after_the_mark AfterMark,
    before_the_post BeforePost,
    after_the_post AfterPost,
    before_the_put BeforePut,
    after_the_put AfterPut,
}

/// Rule 9: this process has in its cache what is no longer the newest.
#[tokio::test]
async fn a_log_out_revokes_what_another_process_has_just_stored() {
    let pair = Pair::new();
    let id = pair.logged_in().await;
    pair.world.expire();
    let newest = served(&pair.other, id).await;

    let session = pair.world.session(id);
    let done =
        pair.world.refresher.log_out(&session, Logout::EndSession).await.expect("logged out");

    assert!(matches!(done.revocation, Revocation::Revoked), "{done:?}");
    assert!(!pair.world.issuer.is_access_token_live(newest.secret()));
    pair.world.assert_dead_at_the_provider();
}

/// Rule 9: the log out has read the record already when another process stores a newer set.
#[tokio::test]
async fn a_log_out_revokes_what_its_ending_replaced() {
    let pair = Pair::new();
    let id = pair.logged_in().await;
    let ending = pair.world.tokens.gate_before(TokenOp::End);
    let (process, session) = (pair.world.refresher.clone(), pair.world.session(id));
    let leaving = tokio::spawn(async move { process.log_out(&session, Logout::EndSession).await });
    ending.reached().await;
    pair.world.expire();
    served(&pair.other, id).await;
    let newest = pair.world.stored_refresh_token(id).await.expect("a refresh token");

    ending.open();
    let done = leaving.await.expect("no panic").expect("logged out");

    assert!(matches!(done.revocation, Revocation::Revoked), "{done:?}");
    assert_eq!(pair.world.issuer.revoked().first(), Some(&newest));
    pair.world.assert_dead_at_the_provider();
}

/// Rule 10: at some providers a revocation would end the new login as well.
#[tokio::test(start_paused = true)]
async fn what_comes_for_a_login_that_another_has_replaced_elsewhere_is_dropped_and_not_revoked() {
    for at in [Station::BeforePost, Station::AfterPost, Station::BeforePut] {
        let pair = Pair::new();
        let id = pair.logged_in().await;
        let old = pair.world.pointer(id).await.expect("logged in");
        let its_tokens = pair.world.stored_refresh_token(id).await.expect("a refresh token");
        let flight = pair.world.flight_at(at, id).await;

        let session = pair.session(id);
        let again = pair.world.issuer.log_in_again(&its_tokens);
        let again = TokenSet::from_response(again).expect("a token set");
        pair.other.log_in(&session, again).await.expect("logged in");
        let error = flight.land().await.expect_err("replaced");
        settle().await;

        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
        assert_eq!(pair.world.issuer.revocations(), 0, "{at:?}");
        let ended = pair.world.tokens_of(&old).await;
        let is_quiet =
            matches!(&ended, StoredTokens::Ended { why, revoke: false, .. } if why == "replaced");
        assert!(is_quiet, "{ended:?}");
        let new = session.id().expect("saved");
        pair.world.assert_logged_in(new).await;
        pair.world.expire();
        served(&pair.world.refresher, new).await;
        pair.world.assert_logged_in(new).await;
    }
}

/// Rule 17: and not a moment longer, however long nobody came by.
#[tokio::test]
async fn a_log_out_elsewhere_is_noticed_within_a_minute() {
    for idle in [61, 3600] {
        let pair = Pair::with(7200 * SECOND, tower_token_refresh::RefreshPolicy::default());
        let id = pair.logged_in().await;
        let late = pair.session(id);
        late.get_value(support::KEY).await.expect("it loads");
        let session = pair.world.session(id);
        pair.world.refresher.log_out(&session, Logout::KeepSession).await.expect("logged out");

        pair.world.clock.advance(idle * SECOND);

        let error = pair.other.valid_token(&late).await.expect_err("logged out");
        assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    }
}

/// The token store cannot be told yet. This process is told at once, the others when it can.
#[tokio::test(start_paused = true)]
async fn a_log_out_that_the_store_refuses_reaches_the_others_later() {
    let pair = Pair::new();
    let id = pair.logged_in().await;
    let late = pair.session(id);
    late.get_value(support::KEY).await.expect("it loads");
    pair.world.tokens.refuse(TokenOp::End);
    let session = pair.world.session(id);
    let refusal = pair.world.refresher.log_out(&session, Logout::EndSession).await;
    assert_eq!(refusal.expect_err("refused").kind(), RefreshErrorKind::Unavailable);
    pair.world.assert_dead_at_the_provider();

    pair.world.tokens.accept(TokenOp::End);
    tokio::time::sleep(2 * SECOND).await;
    pair.world.clock.advance(61 * SECOND);

    let error = pair.other.valid_token(&late).await.expect_err("logged out");
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    assert_eq!(session_at(&pair.other, id).get_value(support::KEY).await.expect("it loads"), None);
}
