//! The names of our cookies, and what a browser demands of them.
//!
//! Over https they carry the prefix `__Host-`: the browser takes them only from this very host,
//! `Secure`, for the path `/`, and no sibling domain can plant one.

use tower_token_refresh::cookies;

/// Which names are ours.
#[derive(Clone, Copy, Debug)]
pub struct CookieNames {
    secure: bool,
}

impl CookieNames {
    pub fn new(https: bool) -> Self {
        Self { secure: https }
    }

    pub fn secure(self) -> bool {
        self.secure
    }

    pub fn session(self) -> &'static str {
        if self.secure { "__Host-session" } else { "session" }
    }

    /// The cookie of a login attempt is named so, followed by the attempt's state.
    pub fn attempt_prefix(self) -> &'static str {
        if self.secure { "__Host-login-" } else { "login-" }
    }

    /// Whether somebody takes this name for one of ours. Some decode names, so `%73ession` is ours.
    pub fn is_ours(self, name: &[u8]) -> bool {
        let name = cookies::decoded_name(name);
        *name == *self.session().as_bytes() || name.starts_with(self.attempt_prefix().as_bytes())
    }
}
