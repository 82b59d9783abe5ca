//! Stores that tell each process what the others do.

use std::{sync::Mutex, time::Duration};

use support::stores;
use tokio::sync::Notify;
use tower_token_refresh::{
    testing::MemoryTokens,
    token_store::{Ending, RecordKey, RecordListener, StoreError, TokenStore},
};

use crate::records::{key, live, logout, presenting};

/// What a process has heard.
#[derive(Default)]
struct Heard {
    events: Mutex<Vec<(RecordKey, Option<Ending>)>>,
    something: Notify,
}

impl RecordListener for Heard {
    fn listening(&self) {
        self.something.notify_one();
    }

    fn changed(&self, key: RecordKey) {
        self.events.lock().unwrap().push((key, None));
        self.something.notify_one();
    }

    fn ended(&self, key: RecordKey, ending: Ending) {
        self.events.lock().unwrap().push((key, Some(ending)));
        self.something.notify_one();
    }
}

impl Heard {
    async fn until(&self, events: &[(RecordKey, Option<Ending>)]) {
        let all = async {
            while *self.events.lock().unwrap() != events {
                self.something.notified().await;
            }
        };
        let heard = tokio::time::timeout(Duration::from_secs(10), all).await;
        assert!(heard.is_ok(), "{:?}", self.events.lock().unwrap());
    }
}

/// `one` and `other` are two processes at one store.
async fn the_ends_of_refreshes_and_logins_are_told(one: impl TokenStore, other: impl TokenStore) {
    let heard = Heard::default();
    let told = async {
        heard.something.notified().await;
        let (first, second) = (key(), key());
        for key in [first, second] {
            other.create(key, &live(1, 1), &[]).await.expect("created");
            let mark = presenting(1, 2);
            other.swap(key, live(1, 1).version(), &mark).await.expect("marked");
        }
        // New tokens for the one; the other one's mark is taken back, and then its login ends.
        other.put_newer(first, &live(2, 3), &[]).await.expect("put");
        other.swap(second, presenting(1, 2).version(), &live(1, 2)).await.expect("taken back");
        let mut ending = logout();
        ending.with_session = true;
        other.end(second, &ending, None).await.expect("ended");

        let stored = other.load(second).await.expect("loaded").record.expect("a record");
        heard.until(&[(first, None), (second, None), (second, stored.ending())]).await;
    };
    tokio::select! {
        ended = one.listen(&heard) => panic!("it listens no longer: {ended:?}"),
        () = told => {}
    }
}

#[tokio::test]
async fn in_memory() {
    let tokens = MemoryTokens::new().telling();
    the_ends_of_refreshes_and_logins_are_told(tokens.clone(), tokens).await;
}

#[tokio::test]
#[ignore = "needs Redis: see tests/services/run"]
async fn in_redis() {
    let [one, other] = stores::two_redis_tokens().await;
    the_ends_of_refreshes_and_logins_are_told(one, other).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: see tests/services/run"]
async fn in_postgres() {
    let tokens = stores::postgres_tokens().await;
    the_ends_of_refreshes_and_logins_are_told(tokens.clone(), tokens).await;
}

#[tokio::test]
async fn a_store_that_cannot_tell_says_so() {
    let sqlite = stores::sqlite_tokens().await;
    let answer: Result<(), StoreError> = sqlite.listen(&Heard::default()).await;
    assert!(answer.is_ok());
}
