//! How a refresh ended.

use crate::error::RefreshErrorKind;

/// How a refresh ended: a label of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The provider gave new tokens.
    Refreshed,
    /// The token store had newer ones.
    AlreadyNewer,
    /// Another process refreshes the login now.
    OtherProcess,
    /// The provider refused a refresh token that another process had presented before.
    LostRace,
    /// It panicked, or its runtime ended.
    Lost,
    Failed(RefreshErrorKind),
}

impl Outcome {
    /// All but those of a failure.
    pub(super) const NAMES: [&str; 5] = [
        Self::Refreshed.name(),
        Self::AlreadyNewer.name(),
        Self::OtherProcess.name(),
        Self::LostRace.name(),
        Self::Lost.name(),
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Refreshed => "refreshed",
            Self::AlreadyNewer => "already_newer",
            Self::OtherProcess => "other_process",
            Self::LostRace => "lost_race",
            Self::Lost => "lost",
            Self::Failed(kind) => kind.name(),
        }
    }
}
