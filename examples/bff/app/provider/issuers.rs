//! By which names the provider may call itself: `ISSUER_URL`, and what `ACCEPT_ISSUERS` adds.

use crate::app::settings::{Settings, TENANT};

pub(super) struct Issuers {
    own: String,
    accepted: Vec<String>,
}

impl Issuers {
    pub(super) fn of(settings: &Settings) -> Self {
        Self { own: settings.issuer.clone(), accepted: settings.accept_issuers.clone() }
    }

    pub(super) fn own(&self) -> &str {
        &self.own
    }

    /// Whether the discovery document may name `issuer`.
    pub(super) fn may_name_document(&self, issuer: &str) -> bool {
        issuer == self.own || self.accepted.iter().any(|accepted| accepted == issuer)
    }

    /// Whether an ID token of this tenant (`tid`) may name `iss`.
    pub(super) fn may_sign(&self, iss: &str, tenant: Option<&str>) -> bool {
        iss == self.own
            || self.accepted.iter().any(|accepted| match (accepted.contains(TENANT), tenant) {
                (true, Some(tenant)) => accepted.replace(TENANT, tenant) == iss,
                (true, None) => false,
                (false, _) => accepted == iss,
            })
    }

    /// Whether a callback may name `iss`. Which tenant it is, the ID token tells later.
    pub(super) fn may_answer(&self, iss: &str) -> bool {
        iss == self.own
            || self.accepted.iter().any(|accepted| match accepted.split_once(TENANT) {
                Some((before, after)) => iss
                    .strip_prefix(before)
                    .and_then(|rest| rest.strip_suffix(after))
                    .is_some_and(|tenant| !tenant.is_empty() && !tenant.contains('/')),
                None => accepted == iss,
            })
    }
}
