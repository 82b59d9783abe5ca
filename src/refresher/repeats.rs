//! Answers of the provider that would come again, counted for each login in a row.

/// An answer that the provider would give again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// A clear refusal.
    Refusal,
    /// Come back later.
    Later,
}

/// How many of them came in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Repeats {
    refusals: u32,
    laters: u32,
}

impl Repeats {
    pub(super) fn of(self, repeat: Repeat) -> u32 {
        match repeat {
            Repeat::Refusal => self.refusals,
            Repeat::Later => self.laters,
        }
    }

    /// One more.
    pub(super) fn and(mut self, repeat: Repeat) -> Self {
        let count = match repeat {
            Repeat::Refusal => &mut self.refusals,
            Repeat::Later => &mut self.laters,
        };
        *count = count.saturating_add(1);
        self
    }

    pub(super) fn count(self) -> u32 {
        self.refusals.saturating_add(self.laters)
    }
}
