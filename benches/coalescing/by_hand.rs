//! What one would write by hand: a mutex for each login, and the session read again under it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use serde::{Deserialize, Serialize};
use tower_sessions::{MemoryStore, Session};
use tower_token_refresh::tower_sessions;

use super::{Refresh, common::token_response, loaded, storm};

#[derive(Clone, Default)]
pub(super) struct KeyedMutex(Arc<Mutex<HashMap<u64, Arc<tokio::sync::Mutex<()>>>>>);

impl KeyedMutex {
    pub(super) fn of(&self, key: u64) -> Arc<tokio::sync::Mutex<()>> {
        self.0.lock().expect("no panic").entry(key).or_default().clone()
    }
}

#[derive(Serialize, Deserialize)]
struct HandTokens {
    access_token: String,
    refresh_token: String,
    id_token: String,
    expired: bool,
}

impl HandTokens {
    fn new(expired: bool) -> Self {
        let response = token_response("alice");
        let text = |field: &str| response[field].as_str().expect("a string").to_owned();
        Self {
            access_token: text("access_token"),
            refresh_token: text("refresh_token"),
            id_token: text("id_token"),
            expired,
        }
    }
}

/// Each request has loaded its session and found the token expired; under the lock it reads the
/// session again.
pub(super) async fn whole_by_hand(n: usize, refresh: &Refresh) -> f64 {
    const KEY: &str = "tokens";
    let store = MemoryStore::default();
    let first = Session::new(None, Arc::new(store.clone()), None);
    first.insert(KEY, HandTokens::new(true)).await.expect("the memory store does not fail");
    first.save().await.expect("the memory store does not fail");
    let mut sessions = loaded(n, first.id(), Arc::new(store)).await;
    let keyed = KeyedMutex::default();
    storm(n, refresh, move |refresh| {
        let (lock, session) = (keyed.of(1), sessions.pop().expect("one for each"));
        async move {
            let _held = lock.lock().await;
            session.load().await.expect("the memory store does not fail");
            let tokens: HandTokens = session.get(KEY).await.expect("readable").expect("logged in");
            if tokens.expired {
                refresh.run().await;
                session
                    .insert(KEY, HandTokens::new(false))
                    .await
                    .expect("the memory store does not fail");
                session.save().await.expect("the memory store does not fail");
            }
            1
        }
    })
    .await
}
