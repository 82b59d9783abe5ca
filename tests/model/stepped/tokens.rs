//! The token store: its calls stop before and after they take effect.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tower_token_refresh::token_store::{
    Ended, Ending, InSessions, Loaded, NameKey, Put, RecordKey, RecordListener, RecordVersion,
    StoreError, Swapped, TokenRecord, TokenStore,
};

use super::{Place, View, Way, record::Standing};
use crate::{Push, Scene};

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
            let state = &mut *self.way.stage.state();
            state.unread.insert(self.way.life);
            // Whoever cannot read is served what the process is about to store.
            for refresh in &state.putting {
                let seen = state.sets.get_mut(refresh);
                if let Some(seen) = seen.filter(|seen| seen.life == self.way.life) {
                    seen.unsaved = true;
                }
            }
        }
    }
}

impl SteppedTokens {
    async fn stop(&self, at: &'static str) {
        self.way.park_on_the_way_to(Place::TokenStore, at).await;
    }

    fn is_cut_off(&self) -> bool {
        self.way.fails_at(Place::TokenStore)
    }

    async fn read<T>(
        &self,
        at: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut reading = Reading { way: &self.way, failed: true };
        self.stop(at).await;
        if self.way.stage.state().refusals.tokens_down || self.is_cut_off() {
            return Err(refused());
        }
        let read = call.await;
        self.stop("read").await;
        if self.is_cut_off() {
            return Err(refused());
        }
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
        self.stop(at).await;
        let is_cut_off = self.is_cut_off();
        let (refuses, loses_answer) = {
            let refusals = &mut stage.state().refusals;
            let refuses = is_cut_off || refusals.tokens_down || refusals.token_writes > 0;
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
        self.stop("written").await;
        if loses_answer || self.is_cut_off() {
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

    async fn listen(&self, listener: &dyn RecordListener) -> Result<(), StoreError> {
        match self.way.stage.settings.push {
            Push::Lossy => {
                self.inner.listen(&Forgetful { listener, told: AtomicUsize::new(0) }).await
            }
            Push::None | Push::Told => self.inner.listen(listener).await,
        }
    }
}

/// Tells every other thing.
struct Forgetful<'a> {
    listener: &'a dyn RecordListener,
    told: AtomicUsize,
}

impl Forgetful<'_> {
    fn tells(&self) -> bool {
        self.told.fetch_add(1, Ordering::Relaxed) % 2 == 1
    }
}

impl RecordListener for Forgetful<'_> {
    fn listening(&self) {
        self.listener.listening();
    }

    fn changed(&self, key: RecordKey) {
        if self.tells() {
            self.listener.changed(key);
        }
    }

    fn ended(&self, key: RecordKey, ending: Ending) {
        if self.tells() {
            self.listener.ended(key, ending);
        }
    }
}

fn refused() -> StoreError {
    StoreError::backend("the store refuses on purpose")
}
