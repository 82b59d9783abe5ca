//! What stands above the refresher and works with its logins takes from here.

use std::sync::Arc;

use super::{TokenRefresher, providers::Providers, watchers::Watchers};
use crate::{clock::Clock, policy::RefreshPolicy};

impl TokenRefresher {
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn providers(&self) -> &Providers {
        &self.0.providers
    }

    pub(crate) fn policy(&self) -> &RefreshPolicy {
        &self.0.policy
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn watchers(&self) -> &Watchers {
        &self.0.watchers
    }
}
