//! However many processes are asked at once, there is one refresh, and its tokens are everybody's.

use futures_util::future::join_all;
use support::{TokenOp, log::Log, races::Station, settle};
use tower_token_refresh::{TokenRefresher, testing::Endpoint};

use super::{Pair, SECOND, ask, look_again, served};

/// All of them have read the record before any of them has marked it, or any other order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_requests_at_several_processes_make_one_post() {
    let pair = Pair::new();
    let mut processes = vec![pair.world.refresher.clone(), pair.other.clone()];
    processes.extend((0..2).map(|_| pair.world.restarted()));
    let id = pair.world.log_in("alice").await;
    for expiry in 1..=3 {
        pair.world.expire();
        let requests = (0..100).map(|nth| ask(&processes[nth % processes.len()], id));

        let answers = join_all(requests.collect::<Vec<_>>()).await;

        let tokens: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().unwrap()).collect();
        assert!(tokens.iter().all(|token| token.secret() == tokens[0].secret()));
        assert!(pair.world.issuer.is_access_token_live(tokens[0].secret()));
        assert_eq!(pair.posts(), expiry);
        pair.world.assert_logged_in(id).await;
    }
}

/// Rule 3. The second to mark finds that the record has changed, before or after the first is done.
#[tokio::test(start_paused = true)]
async fn of_two_processes_that_have_read_the_same_record_one_presents_its_token() {
    for second_marks_while_the_first_asks in [true, false] {
        let pair = Pair::new();
        let id = pair.logged_in().await;
        pair.world.expire();
        let (mark, others_mark) =
            (pair.world.tokens.gate_before(TokenOp::Swap), pair.way.gate_before(TokenOp::Swap));
        let post = pair.world.issuer.gate_before(Endpoint::Token);
        let (one, other) = (ask(&pair.world.refresher, id), ask(&pair.other, id));
        mark.reached().await;
        others_mark.reached().await;

        others_mark.open();
        post.reached().await;
        if second_marks_while_the_first_asks {
            mark.open();
            look_again().await;
            assert!(!one.is_finished());
            post.open();
        } else {
            post.open();
            settle().await;
            assert!(other.is_finished());
            mark.open();
        }

        let (one, other) = (one.await.unwrap().unwrap(), other.await.unwrap().unwrap());
        assert_eq!(one.secret(), other.secret());
        assert_eq!(pair.posts(), 1);
        pair.world.assert_logged_in(id).await;
    }
}

/// Rule 18: or the page's next request at the other process would not find the tokens.
#[tokio::test(start_paused = true)]
async fn nobody_at_the_other_process_goes_on_before_the_store_has_the_tokens() {
    let pair = Pair::new();
    let id = pair.logged_in().await;
    let flight = pair.world.flight_at(Station::BeforePut, id).await;
    let waiting: Vec<_> = (0..10).map(|_| ask(&pair.other, id)).collect();
    look_again().await;
    assert!(waiting.iter().all(|request| !request.is_finished()), "the store has them not yet");

    let token = flight.land().await.expect("refreshed");

    for request in waiting {
        assert_eq!(request.await.unwrap().expect("found").secret(), token.secret());
    }
    assert_eq!(pair.posts(), 1);
}

/// Rule 27: everybody but a flight reads a marked record as a live one.
#[tokio::test]
async fn while_one_process_refreshes_early_the_others_serve_the_good_token_and_log_nothing() {
    let pair = Pair::new();
    let id = pair.world.log_in("alice").await;
    pair.world.clock.advance(46 * SECOND);
    let post = pair.world.issuer.gate_before(Endpoint::Token);
    let first = served(&pair.world.refresher, id).await;
    post.reached().await;
    let log = Log::of_this_thread();

    // This process has it in its cache, that one comes to the store with nothing.
    for process in [&pair.world.refresher, &pair.other, &pair.world.restarted()] {
        for _ in 0..5 {
            assert_eq!(served(process, id).await.secret(), first.secret());
            settle().await;
        }
    }

    assert_eq!(log.lines_at("WARN"), Vec::<String>::new());
    post.open();
    settle().await;
    assert_eq!(pair.posts(), 1);
    pair.world.assert_logged_in(id).await;
}

/// An API has rejected a token that has not expired. What the other process fetches is the answer.
#[tokio::test(start_paused = true)]
async fn a_newer_token_is_waited_for_where_another_process_fetches_it() {
    let pair = Pair::new();
    let id = pair.logged_in().await;
    let rejected = served(&pair.world.refresher, id).await;
    let post = pair.world.issuer.gate_before(Endpoint::Token);
    let newer = |process: &TokenRefresher| {
        let (process, rejected) = (process.clone(), rejected.clone());
        let session = support::variants::session_at(&process, id);
        tokio::spawn(async move { process.newer_token(&session, &rejected).await })
    };
    let one = newer(&pair.world.refresher);
    post.reached().await;
    let other = newer(&pair.other);
    look_again().await;
    assert!(!other.is_finished());
    post.open();

    let (one, other) = (one.await.unwrap().unwrap(), other.await.unwrap().unwrap());
    assert_eq!(one.secret(), other.secret());
    assert_ne!(one.secret(), rejected.secret());
    assert_eq!(pair.posts(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_first_the_next_refresh_goes_on_from_the_last() {
    let pair = Pair::new();
    let id = pair.logged_in().await;
    for expiry in 1..=6 {
        pair.world.expire();
        let (first, then) = match expiry % 2 {
            0 => (&pair.world.refresher, &pair.other),
            _ => (&pair.other, &pair.world.refresher),
        };
        let token = served(first, id).await;
        assert_eq!(served(then, id).await.secret(), token.secret());
        assert_eq!(pair.posts(), expiry);
        assert_eq!(pair.world.stored_tokens(id).await.generation(), Some(1 + expiry as u64));
    }
    pair.world.assert_logged_in(id).await;
}
