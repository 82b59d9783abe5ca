//! The issuer: one request in, one answer out.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::{
    addresses::Endpoint,
    builder::StrictIssuerBuilder,
    client_assertion::{ALGORITHMS, Assertions},
    client_auth::Client,
    dpop::DpopRules,
    gate::Gates,
    grants::{JWT_BEARER, TOKEN_EXCHANGE},
    provider::{Rotation, Rules},
    script::{Script, Step},
    signing::SigningKey,
    state::State,
    tokens::TokenShape,
    wire::{OAuthError, accepts_json, as_form, json_response, plain_response},
};
use crate::Clock;

/// How a client may be registered to authenticate.
const METHODS: [&str; 5] =
    ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"];

pub(super) const SCOPE: &str = "openid profile email";

/// A strict Keycloak, or [another provider](super::ProviderKind). The [module](super) says what it
/// does and where the providers differ. Clones are the same issuer.
#[derive(Clone)]
pub struct StrictIssuer {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    clock: Clock,
    pub(super) base: Mutex<Base>,
    pub(super) clients: Clients,
    pub(super) rotation: Rotation,
    pub(super) rules: &'static Rules,
    pub(super) shape: TokenShape,
    pub(super) state: Mutex<State>,
    pub(super) script: Mutex<Script>,
    pub(super) gates: Mutex<Gates>,
    pub(super) signing_key: Mutex<Arc<SigningKey>>,
}

/// Who gets tokens, and for what.
pub(super) struct Clients {
    pub(super) client: Client,
    /// The APIs that tokens can be made for. None: any.
    pub(super) apis: Option<Vec<String>>,
    /// Beside `profile` and `email`.
    pub(super) scopes: Vec<String>,
    /// Who gets tokens by assertions of a key of its own.
    pub(super) account: Option<(String, Assertions)>,
    pub(super) dpop: DpopRules,
}

/// The issuer URL in two parts: a server changes the first.
pub(super) struct Base {
    pub(super) origin: String,
    pub(super) path: String,
}

/// Marks, in its extensions, an answer that the script loses. The fronts break the connection
/// instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerLost;

impl StrictIssuer {
    /// Makes an issuer with the defaults of [`builder`](Self::builder), on the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Begins an issuer with settings of your own.
    pub fn builder() -> StrictIssuerBuilder {
        StrictIssuerBuilder::new()
    }

    /// Answers one request at once. Only the path of its URL matters, not the host.
    ///
    /// Gates, latency and broken connections belong to the fronts: see [`AnswerLost`].
    #[must_use]
    pub fn handle(&self, request: Request<Bytes>) -> Response<Bytes> {
        let Some(endpoint) = self.endpoint_of(request.uri().path()) else {
            return plain_response(StatusCode::NOT_FOUND, "no such page");
        };
        let step = {
            let mut script = lock(&self.inner.script);
            if script.down {
                Some(Step::AnswerInstead(plain_response(StatusCode::SERVICE_UNAVAILABLE, "down")))
            } else {
                script.take(endpoint)
            }
        };
        if matches!(step, Some(Step::LoseRequest)) {
            return lost(plain_response(StatusCode::BAD_GATEWAY, ""));
        }
        self.count(endpoint, &request);
        match step {
            Some(Step::AnswerInstead(response)) => response,
            Some(Step::AnswerAfterwards(response)) => {
                self.answer(endpoint, &request, None);
                response
            }
            Some(Step::LoseAnswer) => lost(self.answer(endpoint, &request, None)),
            Some(Step::Edit(edit)) => self.written(
                endpoint,
                &request,
                edited(self.answer(endpoint, &request, None), edit),
            ),
            step => self.written(endpoint, &request, self.answer(endpoint, &request, step)),
        }
    }

    /// As a form, where the provider writes one. After a script's edit, which is an edit of JSON.
    fn written(
        &self,
        endpoint: Endpoint,
        request: &Request<Bytes>,
        response: Response<Bytes>,
    ) -> Response<Bytes> {
        let form = endpoint == Endpoint::Token
            && self.inner.rules.writes_forms
            && !accepts_json(request.headers());
        if form { as_form(response) } else { response }
    }

    fn count(&self, endpoint: Endpoint, request: &Request<Bytes>) {
        let mut state = lock(&self.inner.state);
        state.count_request(endpoint);
        if endpoint != Endpoint::Token {
            return;
        }
        // Deliberately not the strict parser: a token that came in a bad form was presented all the
        // same.
        let fields = || url::form_urlencoded::parse(request.body());
        if fields().any(|(name, value)| name == "grant_type" && value == "refresh_token") {
            state.refresh_requests += 1;
            for (_, token) in fields().filter(|(name, _)| name == "refresh_token") {
                state.count_presented(&token);
            }
        }
    }

    /// The issuer's own work. Of the steps only those matter that change what it does.
    fn answer(
        &self,
        endpoint: Endpoint,
        request: &Request<Bytes>,
        step: Option<Step>,
    ) -> Response<Bytes> {
        let answer = match endpoint {
            Endpoint::Discovery => get_only(request).map(|()| self.discovery()),
            Endpoint::Jwks => get_only(request).map(|()| self.signing_key().jwks()),
            Endpoint::Token | Endpoint::Revocation if request.method() != Method::POST => {
                Err(OAuthError::new(
                    self.inner.rules.wrong_method,
                    "invalid_request",
                    "Only POST is allowed here",
                ))
            }
            Endpoint::Token => match self.token(request, step) {
                Err(error) => return self.problem(&error),
                granted => granted,
            },
            Endpoint::Revocation => {
                return self.revoke(request).unwrap_or_else(|error| self.problem(&error));
            }
            Endpoint::UserInfo => self.userinfo(request),
            Endpoint::Authorization => {
                return self.authorize(request).unwrap_or_else(OAuthError::into_response);
            }
            Endpoint::EndSession => {
                return self.log_out(request).unwrap_or_else(OAuthError::into_response);
            }
        };
        answer.map_or_else(OAuthError::into_response, |body| json_response(StatusCode::OK, &body))
    }

    /// An error in the provider's dialect.
    fn problem(&self, error: &OAuthError) -> Response<Bytes> {
        let (status, body) = (self.inner.rules.problem)(error, self.now());
        error.respond(status, &body)
    }

    fn discovery(&self) -> Value {
        json!({
            "issuer": self.issuer_url(),
            "authorization_endpoint": self.url_of(Endpoint::Authorization),
            "authorization_response_iss_parameter_supported": true,
            "code_challenge_methods_supported": ["S256"],
            "end_session_endpoint": self.url_of(Endpoint::EndSession),
            "token_endpoint": self.token_url(),
            "revocation_endpoint": self.revocation_url(),
            "userinfo_endpoint": self.userinfo_url(),
            "jwks_uri": self.jwks_url(),
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials", JWT_BEARER, TOKEN_EXCHANGE],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": METHODS,
            "token_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
            "revocation_endpoint_auth_methods_supported": METHODS,
            "revocation_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
            "dpop_signing_alg_values_supported": ["ES256"],
            "scopes_supported": ["openid", "profile", "email"],
        })
    }

    fn userinfo(&self, request: &Request<Bytes>) -> Result<Value, OAuthError> {
        let refused = || {
            OAuthError::new(StatusCode::UNAUTHORIZED, "invalid_token", "Token verification failed")
                .challenge("Bearer realm=\"test\", error=\"invalid_token\"")
        };
        let token = self.presented_token(request)?;
        let state = lock(&self.inner.state);
        let access = state.live_access_token(token, self.now()).ok_or_else(refused)?;
        Ok(json!({ "sub": access.subject, "preferred_username": access.user }))
    }

    pub(super) fn now(&self) -> SystemTime {
        self.inner.clock.now()
    }

    pub(super) fn endpoint_of(&self, path: &str) -> Option<Endpoint> {
        let base = lock(&self.inner.base);
        let below = path.strip_prefix(&base.path)?;
        Endpoint::ALL.into_iter().find(|endpoint| endpoint.path() == below)
    }

    pub(super) fn from_inner(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// From now on, documents and tokens name a server at `origin`.
    pub(super) fn bind_to(&self, origin: &str) {
        origin.trim_end_matches('/').clone_into(&mut lock(&self.inner.base).origin);
    }
}

impl Default for StrictIssuer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for StrictIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StrictIssuer")
            .field("issuer_url", &self.issuer_url())
            .finish_non_exhaustive()
    }
}

impl Inner {
    pub(super) fn new(
        clock: Clock,
        base: Base,
        clients: Clients,
        rotation: Rotation,
        rules: &'static Rules,
        shape: TokenShape,
    ) -> Self {
        Self {
            clock,
            base: Mutex::new(base),
            clients,
            rotation,
            rules,
            shape,
            state: Mutex::default(),
            script: Mutex::default(),
            gates: Mutex::default(),
            signing_key: Mutex::new(SigningKey::first()),
        }
    }
}

/// A test that panicked elsewhere should fail for its own reason, not for a poisoned lock.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn subject_of(user: &str) -> String {
    format!("f:test:{user}")
}

fn get_only(request: &Request<Bytes>) -> Result<(), OAuthError> {
    if request.method() == Method::GET {
        return Ok(());
    }
    Err(OAuthError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "invalid_request",
        "Only GET is allowed here",
    ))
}

fn lost(mut response: Response<Bytes>) -> Response<Bytes> {
    response.extensions_mut().insert(AnswerLost);
    response
}

fn edited(response: Response<Bytes>, edit: impl FnOnce(&mut Value)) -> Response<Bytes> {
    match serde_json::from_slice(response.body()) {
        Ok(mut body) if response.status() == StatusCode::OK => {
            edit(&mut body);
            response.map(|_| Bytes::from(body.to_string()))
        }
        _ => response,
    }
}
