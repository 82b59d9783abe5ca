//! The token store: its calls stop before and after they take effect.

use std::sync::Arc;

use tower_token_refresh::token_store::{
    Ended, Ending, InSessions, Loaded, NameKey, Put, RecordKey, RecordVersion, StoreError, Swapped,
    TokenRecord, TokenStore,
};

use super::{View, Way, record::Standing};
use crate::Scene;

#[derive(Debug, Clone)]
pub struct SteppedTokens {
    way: Way,
    inner: Arc<dyn TokenStore>,
}

impl Way {
    pub fn token_store(&self) -> SteppedTokens {
        let inner: Arc<dyn TokenStore> = match self.stage.scene() {
            Scene::Swapping => Arc::new(self.stage.tokens.clone()),
            Scene::OneProcess | Scene::Plain => Arc::new(InSessions::new(self.clone())),
        };
        SteppedTokens { way: self.clone(), inner }
    }
}

/// A write that has not been answered yet. One that is given up for its time has failed.
struct Writing<'a> {
    way: &'a Way,
    /// The refresh token of the set that is put.
    refresh: Option<String>,
    failed: bool,
}

impl<'a> Writing<'a> {
    fn begin(way: &'a Way, put: Option<&TokenRecord>) -> Self {
        let refresh = put.and_then(|record| View::of(record).set).map(|set| set.refresh);
        way.stage.state().putting.extend(refresh.clone());
        Self { way, refresh, failed: true }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut state = self.way.stage.state();
        if let Some(refresh) = &self.refresh {
            state.putting.retain(|put| put != refresh);
            if let Some(seen) = state.sets.get_mut(refresh).filter(|_| self.failed) {
                seen.unsaved = true;
            }
        }
        if self.failed {
            state.unwritten.insert(self.way.life);
            *state.faults.entry(self.way.life).or_default() += 1;
        }
    }
}

/// A read that has not been answered yet.
struct Reading<'a> {
    way: &'a Way,
    failed: bool,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if self.failed {
            self.way.note_fault();
            self.way.stage.state().unread.insert(self.way.life);
        }
    }
}

impl SteppedTokens {
    async fn read<T>(
        &self,
        at: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut reading = Reading { way: &self.way, failed: true };
        self.way.park(at).await;
        if self.way.stage.state().refusals.tokens_down {
            return Err(refused());
        }
        let read = call.await;
        self.way.park("read").await;
        reading.failed = read.is_err();
        read
    }

    async fn write<T>(
        &self,
        key: RecordKey,
        at: &'static str,
        put: Option<&TokenRecord>,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let stage = &self.way.stage;
        let mut writing = Writing::begin(&self.way, put);
        self.way.park(at).await;
        let (refuses, loses_answer) = {
            let refusals = &mut stage.state().refusals;
            let refuses = refusals.tokens_down || refusals.token_writes > 0;
            refusals.token_writes = refusals.token_writes.saturating_sub(1);
            let loses = !refuses && refusals.token_answers > 0;
            refusals.token_answers -= usize::from(loses);
            (refuses, loses)
        };
        if refuses {
            return Err(refused());
        }
        // One step in a store that compares and swaps. Elsewhere each save is judged by itself.
        let before = stage.record(key);
        let done = call.await;
        if stage.scene() == Scene::Swapping {
            stage.landed(self.way.life, key, before.as_ref(), stage.record(key).as_ref());
        }
        self.way.park("written").await;
        if loses_answer {
            return Err(StoreError::backend("the answer got lost on purpose"));
        }
        writing.failed = done.is_err();
        done
    }
}

#[async_trait::async_trait]
impl TokenStore for SteppedTokens {
    fn compares_and_swaps(&self) -> bool {
        self.inner.compares_and_swaps()
    }

    async fn load(&self, key: RecordKey) -> Result<Loaded, StoreError> {
        let loaded = self.read("read a record", self.inner.load(key)).await?;
        if let Some(view) = loaded.record.as_ref().map(View::of)
            && let Standing::Presenting(_) = view.state
        {
            let now = self.way.stage.now();
            let mut state = self.way.stage.state();
            state.sightings.entry((self.way.life, view.nonce)).or_insert(now);
        }
        Ok(loaded)
    }

    async fn create(
        &self,
        key: RecordKey,
        record: &TokenRecord,
        names: &[NameKey],
    ) -> Result<(), StoreError> {
        self.write(key, "create a record", None, self.inner.create(key, record, names)).await
    }

    async fn swap(
        &self,
        key: RecordKey,
        expected: RecordVersion,
        new: &TokenRecord,
    ) -> Result<Swapped, StoreError> {
        self.write(key, "swap", None, self.inner.swap(key, expected, new)).await
    }

    async fn put_newer(
        &self,
        key: RecordKey,
        new: &TokenRecord,
        names: &[NameKey],
    ) -> Result<Put, StoreError> {
        self.write(key, "put", Some(new), self.inner.put_newer(key, new, names)).await
    }

    async fn end(
        &self,
        key: RecordKey,
        ending: &Ending,
        up_to: Option<u64>,
    ) -> Result<Ended, StoreError> {
        self.write(key, "end", None, self.inner.end(key, ending, up_to)).await
    }

    async fn find(&self, name: NameKey) -> Result<Vec<RecordKey>, StoreError> {
        self.read("find", self.inner.find(name)).await
    }
}

fn refused() -> StoreError {
    StoreError::backend("the store refuses on purpose")
}
