//! What the handlers share: settings that work, and what is under way.

use std::sync::Arc;

use axum::response::Response;

use super::{
    attempt::Attempts,
    error::{LoginError, with_security_headers},
    redeem::Redemptions,
    user::{AskUserInfo, OnLogin},
};
use crate::TokenRefresher;

pub(super) type OnFailure = Arc<dyn Fn(&LoginError) -> Response + Send + Sync>;

/// What the handlers share.
pub(super) struct Shared {
    pub(super) refresher: TokenRefresher,
    pub(super) settings: Settings,
    pub(super) redirect_uri: String,
    pub(super) login_path: String,
    pub(super) attempts: Attempts,
    pub(super) redemptions: Redemptions,
}

/// What the application has set. The handlers get settings that work.
pub(super) struct Settings {
    pub(super) origin: String,
    pub(super) scopes: Vec<String>,
    pub(super) params: Vec<(String, String)>,
    pub(super) form_post: bool,
    pub(super) pushed: bool,
    pub(super) dpop: bool,
    pub(super) home: String,
    pub(super) after_logout: String,
    pub(super) on_login: Option<OnLogin>,
    pub(super) user_info: Option<AskUserInfo>,
    pub(super) on_failure: Option<OnFailure>,
}

impl Settings {
    /// Whether the provider is asked for an ID token.
    pub(super) fn is_openid(&self) -> bool {
        self.scopes.iter().any(|scope| scope == "openid")
    }

    /// The address of a path of this application.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}

impl Shared {
    /// What a browser gets that was not logged in, or out.
    pub(super) fn fail(&self, error: &LoginError) -> Response {
        error.log();
        let response = match &self.settings.on_failure {
            Some(answer) => answer(error),
            None => error.page(&self.login_path),
        };
        with_security_headers(response, error.retry_after())
    }
}
