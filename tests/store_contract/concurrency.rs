//! Calls beside one another, and calls whose caller goes away.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
};

use futures_util::future::join_all;
use tower_token_refresh::token_store::{Ended, Put, RecordKey, Swapped, TokenRecord, TokenStore};

use crate::{
    on_every_token_store,
    records::{ending, live, load, logout, presenting, stored},
};

on_every_token_store! {
    async fn of_many_swaps_at_once_one_is_done(store: &dyn TokenStore) {
        let read = live(1, 1);
        let key = stored(store, &read).await;
        let marks: Vec<_> = (2..22).map(|nonce| presenting(1, nonce)).collect();
        let swaps = marks.iter().map(|mark| store.swap(key, read.version(), mark));

        let answers = join_all(swaps).await;

        let done = |answer: &Result<Swapped, _>| matches!(answer, Ok(Swapped::Done));
        let winners: Vec<_> = (0..20).filter(|nth| done(&answers[*nth])).collect();
        let [winner] = winners[..] else { panic!("{answers:?}") };
        assert_eq!(load(store, key).await.as_ref(), Some(&marks[winner]));
    }

    async fn of_many_sets_at_once_the_newest_stays(store: &dyn TokenStore) {
        let key = stored(store, &presenting(1, 1)).await;
        // The newest is neither the first nor the last.
        let sets: Vec<_> = (2..22).map(|nth| live(1 + nth * 7 % 23, nth)).collect();
        let newest = sets.iter().max_by_key(|set| set.generation()).expect("sets").clone();

        let answers = join_all(sets.iter().map(|set| store.put_newer(key, set, &[]))).await;

        assert!(answers.iter().all(|put| matches!(put, Ok(Put::Stored | Put::NotNewer))));
        assert_eq!(load(store, key).await, Some(newest));
    }

    async fn of_many_endings_at_once_one_replaces_the_record(store: &dyn TokenStore) {
        let key = stored(store, &live(1, 1)).await;
        let endings: Vec<_> = (0..20).map(|nth| ending("logout", 5_000_000_000 + nth)).collect();

        let answers = join_all(endings.iter().map(|ending| store.end(key, ending, None))).await;

        let left = load(store, key).await.and_then(|record| record.ending()).expect("ended");
        let mut replaced = 0;
        for (answer, ending) in answers.into_iter().zip(endings) {
            match answer.expect("an answer") {
                Ended::Replaced(record) => {
                    replaced += 1;
                    assert_eq!((record, ending), (live(1, 1), left));
                }
                Ended::Before(before) => assert_eq!(before, left),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(replaced, 1);
    }

    async fn an_ending_beside_a_new_set_shows_the_set_or_keeps_it_out(store: &dyn TokenStore) {
        for _ in 0..20 {
            let key = stored(store, &presenting(1, 1)).await;
            let ending = logout();
            let set = live(2, 1);
            let (put, ended) = tokio::join!(
                store.put_newer(key, &set, &[]),
                store.end(key, &ending, None)
            );
            match (put.expect("an answer"), ended.expect("an answer")) {
                (Put::Stored, Ended::Replaced(replaced)) => assert_eq!(replaced, set),
                (Put::Ended(_), Ended::Replaced(replaced)) => assert_eq!(replaced, presenting(1, 1)),
                other => panic!("{other:?}"),
            }
            assert!(load(store, key).await.expect("a record").ending().is_some());
        }
    }

    async fn a_swap_that_is_dropped_has_taken_effect_or_not(store: &dyn TokenStore) {
        for polls in 0..12 {
            let (old, new) = (live(1, 1), presenting(1, 2));
            let key = stored(store, &old).await;
            poll_and_drop(polls, store.swap(key, old.version(), &new)).await;
            assert_is_one_of(store, key, &[old, new]).await;
        }
    }

    async fn a_set_whose_call_is_dropped_is_stored_or_not(store: &dyn TokenStore) {
        for polls in 0..12 {
            let (old, new) = (presenting(1, 1), live(2, 1));
            let key = stored(store, &old).await;
            poll_and_drop(polls, store.put_newer(key, &new, &[crate::records::name()])).await;
            assert_is_one_of(store, key, &[old, new.clone()]).await;
            let again = store.put_newer(key, &new, &[]).await.expect("an answer");
            assert_eq!(again, Put::Stored);
        }
    }

    async fn an_ending_whose_call_is_dropped_is_stored_or_not(store: &dyn TokenStore) {
        for polls in 0..12 {
            let old = live(1, 1);
            let key = stored(store, &old).await;
            let ending = logout();
            poll_and_drop(polls, store.end(key, &ending, None)).await;
            assert_is_one_of(store, key, &[old.clone(), old.ended(&ending)]).await;
        }
    }
}

/// Polls a call some times and drops it, as a caller does that goes away.
async fn poll_and_drop<T>(polls: usize, call: impl Future<Output = T>) {
    let mut call = pin!(call);
    for _ in 0..polls {
        let mut context = Context::from_waker(Waker::noop());
        if call.as_mut().poll(&mut context).is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn assert_is_one_of(store: &dyn TokenStore, key: RecordKey, either: &[TokenRecord]) {
    // A store may finish later what a dropped call has begun.
    for _ in 0..3 {
        let found = load(store, key).await.expect("a record");
        assert!(either.contains(&found), "{found:?}");
        tokio::task::yield_now().await;
    }
}

/// A token store can be shared and named as a trait object.
#[test]
fn the_trait_is_object_safe_and_its_stores_are_shared() {
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Arc<dyn TokenStore>>();
}
