//! What token records in a session store promise beside the contract.

use std::sync::Arc;

use async_trait::async_trait;
use support::{Op, ScriptedSessions, World, sessions::MARK, settle};
use time::OffsetDateTime;
use tower_sessions::{
    MemoryStore, Session, SessionStore,
    session::{Id, Record},
    session_store::Result,
};
use tower_token_refresh::{
    testing::MemoryTokens,
    token_store::{Ended, InSessions, Put, StoreError, Swapped, TokenStore},
    tower_sessions,
};

use crate::{
    homes::id_of,
    records::{KEEP_UNTIL, ending, key, live, load, logout, name, of, presenting, stored, text},
};

/// A session store under the test's control, and token records in it.
fn scripted(store: impl SessionStore) -> (ScriptedSessions, InSessions) {
    let sessions = ScriptedSessions::new(store).scripting_token_records();
    (sessions.clone(), InSessions::new(sessions))
}

/// `SET XX`: a save over nothing reports success and does nothing.
#[derive(Debug, Clone, Default)]
struct SavesOverRecordsOnly(MemoryStore);

#[async_trait]
impl SessionStore for SavesOverRecordsOnly {
    async fn create(&self, record: &mut Record) -> Result<()> {
        self.0.create(record).await
    }

    async fn save(&self, record: &Record) -> Result<()> {
        match self.0.load(&record.id).await? {
            Some(_) => self.0.save(record).await,
            None => Ok(()),
        }
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        self.0.load(id).await
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        self.0.delete(id).await
    }
}

#[test]
fn only_a_store_that_compares_and_swaps_says_so() {
    assert!(!InSessions::new(MemoryStore::default()).compares_and_swaps());
    assert!(MemoryTokens::new().compares_and_swaps());
}

#[tokio::test]
async fn each_write_keeps_the_record_a_minute_longer_than_it_must_be_rounded_up() {
    let (sessions, tokens) = scripted(MemoryStore::default());
    // In milliseconds since 1970, and the whole seconds that cover them and a minute.
    let times = [(5_000_000_000_000, 5_000_000_060), (5_000_000_000_001, 5_000_000_061)];
    for (keep_until, expected) in times {
        let kept = |mut text: serde_json::Value| {
            text["keep_until"] = u64::into(keep_until);
            of(&text)
        };
        let key = key();
        let expires = async || sessions.peek(id_of(key)).await.expect("a record").expiry_date;
        let first = kept(text(1, 1));
        let is_kept = |expiry: OffsetDateTime, call: &str| {
            let (earliest, seconds) = (expected, expiry.unix_timestamp());
            assert!((earliest..=earliest + 1).contains(&seconds), "{call}: {seconds}");
            assert_eq!(expiry.nanosecond(), 0, "{call}");
        };
        tokens.create(key, &first, &[]).await.expect("created");
        is_kept(expires().await, "create");
        tokens.swap(key, first.version(), &kept(text(1, 2))).await.expect("swapped");
        is_kept(expires().await, "swap");
        tokens.put_newer(key, &kept(text(2, 2)), &[]).await.expect("put");
        is_kept(expires().await, "put");
        tokens.end(key, &logout(), None).await.expect("ended");
        is_kept(expires().await, "end");
    }
}

#[tokio::test]
async fn a_newer_set_may_be_kept_for_longer_and_an_ending_as_well() {
    let (sessions, tokens) = scripted(MemoryStore::default());
    let key = stored(&tokens, &live(1, 1)).await;
    let seconds =
        async || sessions.peek(id_of(key)).await.expect("a record").expiry_date.unix_timestamp();
    let first = seconds().await;
    let mut newer = text(2, 2);
    newer["keep_until"] = (KEEP_UNTIL + 1_000_000).into();
    tokens.put_newer(key, &of(&newer), &[]).await.expect("put");
    assert_eq!(seconds().await, first + 1000);
    let until = (KEEP_UNTIL + 500 + 2_000_000) / 1000;
    tokens.end(key, &ending("logout", until), None).await.expect("ended");
    assert!(seconds().await > first + 1999);
}

#[tokio::test]
async fn what_finds_a_record_is_kept_for_as_long_as_the_record() {
    let (sessions, tokens) = scripted(MemoryStore::default());
    let (key, name) = (key(), name());
    let name_id = Id(i128::from_be_bytes(name.to_bytes()));
    tokens.create(key, &live(1, 1), &[name]).await.expect("created");
    for generation in 2..6 {
        let mut newer = text(generation, 1);
        newer["keep_until"] = (KEEP_UNTIL + generation * 1_000_000_000).into();
        tokens.put_newer(key, &of(&newer), &[name]).await.expect("put");
        let record = sessions.peek(id_of(key)).await.expect("a record");
        let list = sessions.peek(name_id).await.expect("a list");
        assert!(list.expiry_date >= record.expiry_date, "generation {generation}");
    }
}

#[tokio::test]
async fn a_list_that_was_lost_is_written_again_with_the_next_set() {
    let (sessions, tokens) = scripted(SavesOverRecordsOnly::default());
    let (key, name) = (key(), name());
    tokens.create(key, &live(1, 1), &[name]).await.expect("created");
    sessions.vanish(Id(i128::from_be_bytes(name.to_bytes()))).await;
    assert_eq!(tokens.find(name).await.expect("an answer"), []);
    tokens.put_newer(key, &live(2, 2), &[name]).await.expect("put");
    assert_eq!(tokens.find(name).await.expect("found"), [key]);
}

#[tokio::test]
async fn of_more_than_a_hundred_records_those_not_heard_of_for_longest_are_forgotten() {
    let tokens = InSessions::new(MemoryStore::default());
    let name = name();
    let keys: Vec<_> = (0..150).map(|_| key()).collect();
    for key in &keys {
        tokens.create(*key, &live(1, 1), &[name]).await.expect("created");
    }
    assert_eq!(tokens.find(name).await.expect("found"), keys[50..]);
}

#[tokio::test]
async fn a_store_that_saves_over_nothing_and_reports_success_has_failed() {
    enum Call {
        Swap,
        Put,
        End,
    }
    for call in [Call::Swap, Call::Put, Call::End] {
        let (sessions, tokens) = scripted(SavesOverRecordsOnly::default());
        let key = stored(&tokens, &live(1, 1)).await;
        let gate = sessions.gate_before(Op::Save);
        let under_way = tokio::spawn({
            let tokens = tokens.clone();
            async move {
                match call {
                    Call::Swap => {
                        tokens.swap(key, live(1, 1).version(), &presenting(1, 2)).await.map(|_| ())
                    }
                    Call::Put => tokens.put_newer(key, &live(2, 2), &[]).await.map(|_| ()),
                    Call::End => tokens.end(key, &logout(), None).await.map(|_| ()),
                }
            }
        });
        gate.reached().await;
        sessions.vanish(id_of(key)).await;
        gate.open();
        let answer = under_way.await.expect("no panic");
        assert!(matches!(answer, Err(StoreError::Backend(_))), "{answer:?}");
        assert_eq!(load(&tokens, key).await, None);
    }
}

#[tokio::test]
async fn a_write_that_the_store_did_not_keep_has_failed() {
    // Another process, or a replica that lags: what is read back is not what was written.
    let (sessions, tokens) = scripted(MemoryStore::default());
    let key = stored(&tokens, &live(1, 1)).await;
    let before = sessions.peek(id_of(key)).await.expect("a record");
    let gate = sessions.gate_after(Op::Save);
    let put = tokio::spawn({
        let tokens = tokens.clone();
        async move { tokens.put_newer(key, &live(2, 2), &[]).await }
    });
    gate.reached().await;
    sessions.overwrite(&before).await;
    gate.open();
    assert!(matches!(put.await.expect("no panic"), Err(StoreError::Backend(_))));
}

/// A store creates under another id where the one it is told is taken.
#[tokio::test]
async fn a_record_that_has_expired_and_lies_there_still_gives_way() {
    let (sessions, tokens) = scripted(MemoryStore::default());
    let key = key();
    let mut expired = text(1, 1);
    expired["keep_until"] = 1_000_000_000_000_u64.into();
    tokens.create(key, &of(&expired), &[]).await.expect("created");
    assert_eq!(load(&tokens, key).await, None, "it expired long ago");

    tokens.create(key, &live(1, 2), &[]).await.expect("created");

    assert_eq!(load(&tokens, key).await, Some(live(1, 2)));
    assert_eq!(sessions.calls(Op::Delete), 1, "nothing is left under the other id");
}

#[tokio::test]
async fn a_create_that_is_refused_leaves_nothing_under_the_other_id() {
    let (sessions, tokens) = scripted(MemoryStore::default());
    let key = stored(&tokens, &live(1, 1)).await;
    tokens.create(key, &live(1, 2), &[]).await.expect_err("taken");
    assert_eq!((sessions.calls(Op::Delete), sessions.calls(Op::Save)), (1, 0));
}

/// Its write would land on top of a later one.
#[tokio::test]
async fn a_dropped_caller_does_not_let_the_lock_go() {
    let (sessions, tokens) = scripted(MemoryStore::default());
    let key = stored(&tokens, &live(1, 1)).await;
    let gate = sessions.gate_before(Op::Save);
    let dropped = tokio::spawn({
        let tokens = tokens.clone();
        async move { tokens.swap(key, live(1, 1).version(), &presenting(1, 2)).await }
    });
    gate.reached().await;
    dropped.abort();
    assert!(dropped.await.expect_err("dropped").is_cancelled());

    let ending = tokio::spawn({
        let tokens = tokens.clone();
        async move { tokens.end(key, &logout(), None).await }
    });
    settle().await;
    assert!(!ending.is_finished(), "the write of the dropped call is under way");
    gate.open();

    let ended = ending.await.expect("no panic").expect("ended");
    assert_eq!(ended, Ended::Replaced(presenting(1, 2)));
    settle().await;
    assert_eq!(load(&tokens, key).await, Some(presenting(1, 2).ended(&logout())));
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_any_more_is_done_to_the_end() {
    let (sessions, tokens) = scripted(MemoryStore::default());
    let key = key();
    let gate = sessions.gate_before(Op::Create);
    let dropped = tokio::spawn({
        let tokens = tokens.clone();
        async move { tokens.create(key, &live(1, 1), &[]).await }
    });
    gate.reached().await;
    dropped.abort();
    gate.open();
    settle().await;
    assert_eq!(load(&tokens, key).await, Some(live(1, 1)));
}

#[tokio::test]
async fn calls_for_one_record_do_not_wait_for_another_record() {
    let (sessions, tokens) = scripted(MemoryStore::default());
    let mut slow = stored(&tokens, &live(1, 1)).await;
    let gate = sessions.gate_before(Op::Save);
    let under_way = tokio::spawn({
        let (tokens, slow) = (tokens.clone(), slow);
        async move { tokens.swap(slow, live(1, 1).version(), &presenting(1, 2)).await }
    });
    gate.reached().await;
    // Locks are striped: at least one of these has another stripe.
    let mut done = 0;
    for _ in 0..8 {
        slow = stored(&tokens, &live(1, 1)).await;
        let other = tokio::spawn({
            let tokens = tokens.clone();
            async move { tokens.put_newer(slow, &live(2, 2), &[]).await }
        });
        settle().await;
        done += usize::from(other.is_finished());
    }
    assert!(done > 0);
    gate.open();
    assert_eq!(under_way.await.expect("no panic").expect("an answer"), Swapped::Done);
}

#[tokio::test]
async fn a_failing_session_store_is_a_failing_token_store() {
    let (sessions, tokens) = scripted(MemoryStore::default());
    let key = stored(&tokens, &live(1, 1)).await;
    sessions.fail_next(Op::Load);
    assert!(matches!(tokens.load(key).await, Err(StoreError::Backend(_))));
    sessions.fail_next(Op::Load);
    assert!(matches!(tokens.find(name()).await, Err(StoreError::Backend(_))));
    sessions.fail_next(Op::Create);
    let created = tokens.create(crate::records::key(), &live(1, 1), &[]).await;
    assert!(matches!(created, Err(StoreError::Backend(_))));
    for op in [Op::Load, Op::Save] {
        sessions.fail_next(op);
        let put = tokens.put_newer(key, &live(2, 2), &[]).await;
        assert!(matches!(put, Err(StoreError::Backend(_))), "{op:?}");
        assert_eq!(load(&tokens, key).await, Some(live(1, 1)));
    }
    assert_eq!(tokens.put_newer(key, &live(2, 2), &[]).await.expect("put"), Put::Stored);
}

/// Whoever comes with the id of a token record for a cookie gets an empty session.
#[tokio::test]
async fn a_token_record_is_no_session() {
    for world in [World::on_memory(), World::on_sqlite().await, World::on_memory_sealed()] {
        world.log_in("alice").await;
        let records = world.sessions.token_records().await;
        assert!(!records.is_empty());
        let store = world.refresher.session_store();
        for record in records {
            assert_eq!(store.load(&record.id).await.expect("an answer"), None);
            let session = Session::new(Some(record.id), Arc::new(store.clone()), None);
            assert_eq!(session.get_value(MARK).await.expect("an empty session"), None);
            assert_eq!(session.id(), None);

            // Nor can a session be saved over it.
            let data = [("cart".to_owned(), "3 apples".into())].into();
            store.save(&Record { data, ..record.clone() }).await.expect("an answer");
            assert_eq!(world.sessions.peek(record.id).await.as_ref(), Some(&record));
        }
    }
}
