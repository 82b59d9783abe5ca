//! The code of a callback becomes a login: once per state, whoever asks how often.
//!
//! Browsers send one callback twice: a double click, a reload, a restored tab. A provider takes a
//! code once, and ends the login of one that comes back (RFC 6749, section 4.1.2). So all callbacks
//! of one state share one token request, in a task that nobody who waits for it owns, and what came
//! of it is kept for a minute. It is not shared with other processes: two that get one callback at
//! once both send the code.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;
use serde_json::{Map, Value};
use tokio_util::task::TaskTracker;

use super::{
    attempt::Attempt,
    error::{LoginError, LoginErrorKind as Kind},
    id_token,
    shared::Shared,
    user::{APPLICATION_LIMIT, UserInfo},
};
use crate::{
    DpopKey, GrantHandle, TokenRefresher, TokenSet,
    clock::Moment,
    endpoint::AuthorizationCode,
    refresher::AtProvider,
    single_flight::{Joined, SingleFlight, Start},
    tokens::claims::lenient_text,
};

/// How long an outcome answers the same callback again.
const KEPT: Duration = Duration::from_secs(60);
/// How many outcomes are kept.
const MOST_KEPT: u64 = 10_000;
/// Longer than any redemption takes: each of its steps has a limit of its own.
const NET: Duration = Duration::from_secs(15 * 60);

/// A login that no session holds yet, or the session of another callback of the same state.
pub(super) struct Redeemed {
    pub(super) login: GrantHandle,
    pub(super) claims: Arc<Map<String, Value>>,
    is_given: AtomicBool,
}

impl Redeemed {
    /// A session has the login now.
    pub(super) fn mark_given(&self) {
        self.is_given.store(true, Ordering::Release);
    }

    /// Ends the login, but not that of another callback which was faster.
    pub(super) async fn drop_unless_given(&self, refresher: &TokenRefresher) {
        if !self.is_given.load(Ordering::Acquire) {
            refresher.drop_login(&self.login).await;
        }
    }

    pub(super) fn has_ended(&self, refresher: &TokenRefresher) -> bool {
        refresher.tokens(&self.login).check_not_ended().is_err()
    }
}

pub(super) type Outcome = Result<Arc<Redeemed>, LoginError>;

pub(super) struct Redemptions {
    under_way: SingleFlight<String, Outcome>,
    kept: Cache<String, (Outcome, Moment)>,
}

/// What a callback brings.
pub(super) struct Callback {
    pub(super) state: String,
    pub(super) code: String,
    pub(super) attempt: Attempt,
    pub(super) session_ends: std::time::SystemTime,
}

impl Redemptions {
    /// A shutdown waits for `tasks`.
    pub(super) fn new(tasks: TaskTracker) -> Self {
        let kept = Cache::builder().max_capacity(MOST_KEPT).time_to_live(KEPT).build();
        Self { under_way: SingleFlight::new(NET, tasks), kept }
    }

    /// What came of the state of `callback`.
    pub(super) async fn redeem(&self, login: &Arc<Shared>, callback: Callback) -> Outcome {
        let state = callback.state.clone();
        let joined = self.under_way.join_or_start(&state, || match self.known(login, &state) {
            Some(known) => Start::No(known),
            None => Start::Flight(run(login.clone(), callback)),
        });
        match joined {
            Joined::Known(outcome) => outcome,
            Joined::Waiting { answer, .. } => answer.await.unwrap_or_else(|_lost| {
                Err(LoginError::new(Kind::Internal, "the task that exchanges the code panicked"))
            }),
        }
    }

    fn known(&self, login: &Shared, state: &str) -> Option<Outcome> {
        let (outcome, at) = self.kept.get(state)?;
        (login.refresher.clock().since(at) < KEPT).then_some(outcome)
    }

    fn keep(&self, state: String, outcome: &Outcome, at: Moment) {
        // A code that was not used may be presented again.
        if !outcome.as_ref().is_err_and(LoginError::may_try_again) {
            self.kept.insert(state, (outcome.clone(), at));
        }
    }
}

async fn run(login: Arc<Shared>, callback: Callback) -> Outcome {
    let outcome = redeem(&login, &callback).await.map(Arc::new);
    let now = login.refresher.clock().moment();
    login.redemptions.keep(callback.state, &outcome, now);
    outcome
}

async fn redeem(login: &Shared, callback: &Callback) -> Result<Redeemed, LoginError> {
    // From here on the provider may end it again.
    let began = login.refresher.now_for_logouts();
    let at = login.refresher.providers().own();
    let key = login.settings.dpop.then(DpopKey::generate);
    let code = AuthorizationCode {
        code: &callback.code,
        redirect_uri: &login.redirect_uri,
        verifier: &callback.attempt.verifier,
    };
    let tokens = at.logins.redeem(code, key.as_ref()).await?;
    let (tokens, claims) = identify(login, &at, tokens, &callback.attempt).await?;
    let made = login.refresher.make_login(tokens, callback.session_ends, began).await?;
    Ok(Redeemed { login: made, claims: Arc::new(claims), is_given: AtomicBool::new(false) })
}

/// Who the user is: the verified ID token says it, and the application's own code where there is
/// some.
async fn identify(
    login: &Shared,
    at: &AtProvider,
    tokens: TokenSet,
    attempt: &Attempt,
) -> Result<(TokenSet, Map<String, Value>), LoginError> {
    let verified = if login.settings.is_openid() {
        let now = login.refresher.clock().now();
        Some(id_token::verify(at, &tokens, attempt, now).await?)
    } else {
        None
    };
    let Some(user_info) = ask_user_info(login, &tokens).await? else {
        let nobody = || LoginError::new(Kind::Misconfigured, "nothing says who the user is");
        return Ok((tokens, verified.ok_or_else(nobody)?));
    };
    let invalid = |why| LoginError::new(Kind::InvalidResponse, why);
    if user_info.subject.is_empty() {
        return Err(invalid("the user info's subject is empty"));
    }
    // OpenID Connect Core 1.0, section 5.3.2.
    let is_another = |claims: Map<String, Value>| {
        claims.get("sub").and_then(lenient_text).as_deref() != Some(&*user_info.subject)
    };
    if verified.is_some_and(is_another) {
        return Err(invalid("the user info is another user's than the ID token"));
    }
    let tokens = tokens.with_subject(&user_info.subject);
    let claims = user_info.into_claims();
    let unfit = |error| invalid("the user info cannot be kept").with_source(error);
    let tokens = tokens.with_identity(&claims).map_err(unfit)?;
    Ok((tokens, claims))
}

async fn ask_user_info(login: &Shared, tokens: &TokenSet) -> Result<Option<UserInfo>, LoginError> {
    let Some(ask) = &login.settings.user_info else { return Ok(None) };
    let failed = |why| LoginError::new(Kind::Unavailable, why);
    match tokio::time::timeout(APPLICATION_LIMIT, ask(tokens.clone())).await {
        Ok(Ok(user_info)) => Ok(Some(user_info)),
        Ok(Err(error)) => {
            let failed = failed("the application could not find out who the user is");
            Err(failed.with_boxed_source(error))
        }
        Err(_elapsed) => {
            Err(failed("the application did not find out in time (10 s) who the user is"))
        }
    }
}
