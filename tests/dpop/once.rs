//! Nonces that are good once each.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

#[derive(Clone, Default)]
pub(crate) struct Once(Arc<Mutex<(HashSet<String>, usize)>>);

impl Once {
    pub(crate) fn takes(&self, nonce: Option<&str>) -> bool {
        nonce.is_some_and(|nonce| self.0.lock().unwrap().0.remove(nonce))
    }
    pub(crate) fn fresh(&self) -> String {
        let mut state = self.0.lock().unwrap();
        state.1 += 1;
        let nonce = format!("once-{}", state.1);
        state.0.insert(nonce.clone());
        nonce
    }
}
