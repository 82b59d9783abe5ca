//! A refresh, as whoever looks at it sees it.

use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer, ser::SerializeMap};

/// What a refresh is doing. It passes some of these more than once, and need not pass all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// It waits for its [lock](crate::TokenRefresherBuilder::lock).
    Lock,
    /// It reads the token record.
    Read,
    /// Another process refreshes the login: it waits for that to end.
    Wait,
    /// It waits for its turn at the provider: for the limit on requests at once, the provider's
    /// `Retry-After`, the discovery document, this client's credentials.
    Queue,
    /// It marks the token record, so that no other process presents the refresh token.
    Mark,
    /// The refresh token is on its way to the provider, or its answer is awaited.
    Request,
    /// It stores the new tokens.
    Write,
}

impl Stage {
    /// The labels of metrics.
    pub(crate) const NAMES: [&str; 7] = [
        Self::Lock.name(),
        Self::Read.name(),
        Self::Wait.name(),
        Self::Queue.name(),
        Self::Mark.name(),
        Self::Request.name(),
        Self::Write.name(),
    ];

    /// The stage in `snake_case`: the label of metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Read => "read",
            Self::Wait => "wait",
            Self::Queue => "queue",
            Self::Mark => "mark",
            Self::Request => "request",
            Self::Write => "write",
        }
    }
}

/// A refresh of one login, under way or ended. It shows no secret, and nothing that leads to the
/// session or, without the [key](crate::TokenRefresherBuilder::audit_key), to the user.
///
/// Serialized, times are milliseconds: `began_ms` since 1970, the others since then.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flight {
    /// Counts the refreshes of this process, from 1.
    pub id: u64,
    /// The login, by the short hash that stands in the log.
    pub login: String,
    /// The user, by a [keyed hash](crate::TokenRefresherBuilder::audit_key). None if the tokens do
    /// not say who it is.
    pub user: Option<String>,
    /// Whether it began ahead of time, with nobody waiting for it.
    pub early: bool,
    /// When it began.
    pub began: SystemTime,
    /// How long it took, or has taken so far.
    pub took: Duration,
    /// How many requests wait for it, or did at its end.
    pub waiters: usize,
    /// When it came to each stage, after its begin; at most 64 of them.
    pub stages: Vec<(Stage, Duration)>,
    /// How it ended, as the label `outcome` of `token_refresh_flights_total`, or `lost` if it
    /// panicked or its runtime ended. None while it is under way.
    pub outcome: Option<&'static str>,
}

impl Serialize for Flight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let began = self.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let stages = self.stages.iter().map(|(stage, after)| (stage, millis(*after)));
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("login", &self.login)?;
        map.serialize_entry("user", &self.user)?;
        map.serialize_entry("early", &self.early)?;
        map.serialize_entry("began_ms", &millis(began))?;
        map.serialize_entry("took_ms", &millis(self.took))?;
        map.serialize_entry("waiters", &self.waiters)?;
        map.serialize_entry("stages", &stages.collect::<Vec<_>>())?;
        map.serialize_entry("outcome", &self.outcome)?;
        map.end()
    }
}

/// With a part after the point: a stage may take less than a millisecond.
pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
