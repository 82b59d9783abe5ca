//! What each call does, and what it leaves as it is.

use tower_token_refresh::token_store::{
    Ended, Put, RecordStateKind, StoreError, Swapped, TokenStore,
};

use crate::{
    on_every_token_store,
    records::{
        ending, keep_until, key, live, load, logout, name, of, presenting, sealed, stored, text,
    },
};

on_every_token_store! {
    async fn nothing_lies_under_a_key_that_was_never_created(store: &dyn TokenStore) {
        assert_eq!(load(store, key()).await, None);
    }

    async fn a_record_is_read_as_it_was_created(store: &dyn TokenStore) {
        let ended = live(4, 4).ended(&logout());
        let mut large = text(5, 5);
        large["tokens"]["access_token"] = "a".repeat(64 * 1024).into();
        let records = [live(1, 1), presenting(2, 2), sealed(3, 3), ended, of(&large)];
        for record in &records {
            let key = stored(store, record).await;
            assert_eq!(load(store, key).await.as_ref(), Some(record));
        }
    }

    async fn records_do_not_mix(store: &dyn TokenStore) {
        let (one, other) = (stored(store, &live(1, 1)).await, stored(store, &live(7, 7)).await);
        store.end(one, &logout(), None).await.expect("ended");
        assert_eq!(load(store, other).await, Some(live(7, 7)));
    }

    async fn create_writes_over_nothing(store: &dyn TokenStore) {
        for first in [live(1, 1), presenting(1, 1), live(1, 1).ended(&logout())] {
            let key = stored(store, &first).await;
            let again = store.create(key, &live(9, 9), &[]).await;
            assert!(matches!(again, Err(StoreError::Backend(_))), "{again:?}");
            assert_eq!(load(store, key).await, Some(first));
        }
    }

    async fn a_swap_writes_over_the_very_record_that_was_read(store: &dyn TokenStore) {
        let key = stored(store, &live(1, 1)).await;
        let mark = presenting(1, 2);
        let swapped = store.swap(key, live(1, 1).version(), &mark).await.expect("an answer");
        assert_eq!(swapped, Swapped::Done);
        assert_eq!(load(store, key).await.as_ref(), Some(&mark));

        let back = store.swap(key, mark.version(), &live(1, 2)).await.expect("an answer");
        assert_eq!(back, Swapped::Done);
        assert_eq!(load(store, key).await, Some(live(1, 2)));
    }

    async fn a_swap_that_expects_anything_else_leaves_the_record_as_it_is(store: &dyn TokenStore) {
        let now = presenting(2, 2);
        for (expected, what) in [
            (presenting(1, 2), "generation"),
            (live(2, 2), "state"),
            (presenting(2, 3), "nonce"),
        ] {
            let key = stored(store, &now).await;
            let swapped = store.swap(key, expected.version(), &live(2, 9)).await;
            assert_eq!(swapped.expect("an answer"), Swapped::Changed, "another {what}");
            assert_eq!(load(store, key).await.as_ref(), Some(&now));
        }
    }

    async fn a_swap_does_not_undo_an_ending(store: &dyn TokenStore) {
        let read = live(1, 1);
        let key = stored(store, &read).await;
        store.end(key, &logout(), None).await.expect("ended");
        let swapped = store.swap(key, read.version(), &presenting(1, 2)).await;
        assert_eq!(swapped.expect("an answer"), Swapped::Changed);
        assert_eq!(load(store, key).await, Some(read.ended(&logout())));
    }

    async fn a_newer_set_is_put_over_every_older_one_whatever_its_nonce(store: &dyn TokenStore) {
        for older in [live(1, 1), presenting(1, 1), presenting(4, 8), sealed(4, 8)] {
            let key = stored(store, &older).await;
            let put = store.put_newer(key, &live(5, 1), &[]).await.expect("an answer");
            assert_eq!(put, Put::Stored);
            assert_eq!(load(store, key).await, Some(live(5, 1)));
        }
    }

    async fn a_set_that_is_put_again_is_stored(store: &dyn TokenStore) {
        let key = stored(store, &live(1, 1)).await;
        for _ in 0..3 {
            let put = store.put_newer(key, &live(2, 2), &[]).await.expect("an answer");
            assert_eq!(put, Put::Stored, "an answer may have got lost");
            assert_eq!(load(store, key).await, Some(live(2, 2)));
        }
    }

    async fn a_set_that_is_not_newer_is_not_put(store: &dyn TokenStore) {
        for now in [live(3, 3), presenting(3, 3)] {
            let key = stored(store, &now).await;
            for late in [live(2, 3), live(1, 1), live(3, 4)] {
                let put = store.put_newer(key, &late, &[]).await.expect("an answer");
                assert_eq!(put, Put::NotNewer);
                assert_eq!(load(store, key).await.as_ref(), Some(&now));
            }
        }
    }

    async fn a_set_is_not_put_over_an_ending_and_learns_of_it(store: &dyn TokenStore) {
        let ended = live(1, 1).ended(&logout());
        let key = stored(store, &ended).await;
        let put = store.put_newer(key, &live(2, 2), &[]).await.expect("an answer");
        let Put::Ended(how) = put else { panic!("{put:?}") };
        assert_eq!(Some(how), ended.ending());
        assert_eq!((how.revoke, how.with_session, how.keep_until), (true, true, keep_until()));
        assert_eq!(load(store, key).await, Some(ended));
    }

    async fn nothing_but_create_makes_a_record(store: &dyn TokenStore) {
        let key = key();
        let swapped = store.swap(key, live(1, 1).version(), &presenting(1, 2)).await;
        assert_eq!(swapped.expect("an answer"), Swapped::Changed);
        let put = store.put_newer(key, &live(2, 2), &[name()]).await.expect("an answer");
        assert_eq!(put, Put::Absent);
        let ended = store.end(key, &logout(), None).await.expect("an answer");
        assert_eq!(ended, Ended::Absent);
        assert_eq!(load(store, key).await, None);
    }

    async fn an_ending_gives_what_it_replaced_and_keeps_no_token(store: &dyn TokenStore) {
        for replaced in [live(3, 3), presenting(3, 3), sealed(3, 3)] {
            let key = stored(store, &replaced).await;
            let ended = store.end(key, &logout(), None).await.expect("an answer");
            assert_eq!(ended, Ended::Replaced(replaced.clone()));

            let left = load(store, key).await.expect("a record");
            assert_eq!(left, replaced.ended(&logout()));
            assert_eq!(left.version().nonce, logout().nonce, "it says whose ending that was");
            assert_eq!((left.generation(), left.version().state), (3, RecordStateKind::Ended));
            let text = left.to_text();
            assert!(!text.contains("tokens") && !text.contains("sealed"), "{text}");
        }
    }

    async fn an_ending_is_kept_for_as_long_as_the_record_or_longer(store: &dyn TokenStore) {
        let much_later = keep_until().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 9;
        for (until, expected) in [(1000, keep_until()), (much_later, ending("logout", much_later).keep_until)] {
            let key = stored(store, &live(1, 1)).await;
            store.end(key, &ending("logout", until), None).await.expect("ended");
            assert_eq!(load(store, key).await.expect("a record").keep_until(), expected);
        }
    }

    async fn the_first_ending_stays(store: &dyn TokenStore) {
        let reasons =
            ["logout", "replaced", "failed_login", "provider", "expired", "subject_changed"];
        for first in reasons {
            let key = stored(store, &live(1, 1)).await;
            store.end(key, &ending(first, 1000), None).await.expect("ended");
            let left = load(store, key).await;
            let before = left.as_ref().and_then(|record| record.ending()).expect("it has ended");
            for (later, up_to) in reasons.into_iter().zip([None, Some(0), Some(1)].into_iter().cycle()) {
                let ended = store.end(key, &ending(later, 2000), up_to).await.expect("an answer");
                assert_eq!(ended, Ended::Before(before));
                assert_eq!(load(store, key).await, left);
            }
        }
    }

    async fn an_ending_up_to_a_generation_leaves_later_ones(store: &dyn TokenStore) {
        let now = presenting(3, 3);
        let key = stored(store, &now).await;
        for up_to in [0, 1, 2] {
            let ended = store.end(key, &logout(), Some(up_to)).await.expect("an answer");
            assert_eq!(ended, Ended::Newer(now.clone()));
            assert_eq!(load(store, key).await.as_ref(), Some(&now));
        }
        let ended = store.end(key, &logout(), Some(3)).await.expect("an answer");
        assert_eq!(ended, Ended::Replaced(now));

        let key = stored(store, &live(3, 3)).await;
        let ended = store.end(key, &logout(), Some(4)).await.expect("an answer");
        assert_eq!(ended, Ended::Replaced(live(3, 3)));
    }

    async fn a_record_is_found_by_each_of_its_names(store: &dyn TokenStore) {
        let (one, other, both) = (key(), key(), name());
        let (of_one, of_other) = (name(), name());
        store.create(one, &live(1, 1), &[both, of_one]).await.expect("created");
        store.create(other, &live(1, 1), &[of_other, both]).await.expect("created");

        assert_eq!(store.find(of_one).await.expect("found"), [one]);
        assert_eq!(store.find(of_other).await.expect("found"), [other]);
        let mut found = store.find(both).await.expect("found");
        found.sort();
        assert_eq!(found, if one < other { [one, other] } else { [other, one] });
        assert_eq!(store.find(name()).await.expect("an answer"), []);
    }

    async fn a_record_that_was_not_created_is_not_found(store: &dyn TokenStore) {
        let (taken, of_refused) = (stored(store, &live(1, 1)).await, name());
        store.create(taken, &live(1, 2), &[of_refused]).await.expect_err("taken");
        let of_absent = name();
        store.put_newer(key(), &live(2, 2), &[of_absent]).await.expect("an answer");
        for name in [of_refused, of_absent] {
            assert_eq!(store.find(name).await.expect("an answer"), []);
        }
    }

    async fn names_that_come_with_a_newer_set_find_it_as_well(store: &dyn TokenStore) {
        let (key, first, later) = (key(), name(), name());
        store.create(key, &live(1, 1), &[first]).await.expect("created");
        for generation in 2..5 {
            store.put_newer(key, &live(generation, 1), &[first, later]).await.expect("put");
        }
        assert_eq!(store.find(first).await.expect("found"), [key], "once");
        assert_eq!(store.find(later).await.expect("found"), [key], "once");
    }

    async fn a_hundred_records_are_found_by_one_name(store: &dyn TokenStore) {
        let name = name();
        let mut keys: Vec<_> = (0..100).map(|_| key()).collect();
        for key in &keys {
            store.create(*key, &live(1, 1), &[name]).await.expect("created");
        }
        let mut found = store.find(name).await.expect("found");
        found.sort();
        keys.sort();
        assert_eq!(found, keys);

        let newest = crate::records::key();
        store.create(newest, &live(1, 1), &[name]).await.expect("created");
        assert!(store.find(name).await.expect("found").contains(&newest), "the newest is found");
    }
}
