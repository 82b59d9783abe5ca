//! [`LoginRoutes`]: the settings of the login, and the router made of them.

mod check;

use std::{fmt, future::Future, sync::Arc};

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use http::StatusCode;
use tower::BoxError;

use self::check::{check_origin, check_paths};
use super::{
    attempt::{Attempts, random_keys},
    begin, callback,
    error::LoginError,
    log_out,
    redeem::Redemptions,
    shared::{Settings, Shared},
    user::{self, UserInfo, VerifiedLogin},
};
use crate::{ConfigError, SameOriginLayer, TokenRefresher, TokenSet, token_store::SealKeys};

/// Routes that log users in and out: the code flow with PKCE (RFC 6749, section 4.1; RFC 7636;
/// OpenID Connect Core 1.0, section 3.1). Begin with
/// [`TokenRefresher::login_routes`](crate::TokenRefresher::login_routes).
///
/// | route | what it does |
/// |---|---|
/// | `GET /login?return_to=/path` | sends the browser to the provider. `return_to` is where it goes afterwards, if [`safe_return_to`](crate::safe_return_to) takes it. `prompt`, `login_hint`, `max_age`, `acr_values` and `ui_locales` are passed on, unless a [`param`](Self::param) says the same |
/// | `GET /callback` | where the provider sends the browser back to: register it there as the redirect URI |
/// | `POST /logout` | ends the login here, then sends the browser to the provider to end its session there (OpenID Connect RP-Initiated Logout 1.0), unless it cannot be reached. It refuses forms of other sites |
///
/// | setting | default |
/// |---|---|
/// | [`prefix`](Self::prefix) | none: `/login`, `/callback`, `/logout` |
/// | [`login_path`](Self::login_path), [`callback_path`](Self::callback_path), [`logout_path`](Self::logout_path) | `/login`, `/callback`, `/logout` |
/// | [`scopes`](Self::scopes) | `openid profile email` |
/// | [`home`](Self::home), [`after_logout`](Self::after_logout) | `/` |
/// | [`attempt_keys`](Self::attempt_keys) | those of [`seal_with`](crate::TokenRefresherBuilder::seal_with), else a random one |
///
/// A login in progress is kept in a sealed cookie of that browser for ten minutes; each one has its
/// own, at most eight, of 4 KiB together. So it needs no session, and another browser cannot answer
/// it: not with its own code, nor with a link to the callback. The ID token is verified (signature,
/// `iss`, `aud`, `azp`, `exp`, `nonce`, `at_hash`; `auth_time` if `max_age` was asked for), and so
/// is the provider's `iss` (RFC 9207). A callback that comes twice redeems its code once in this
/// process.
///
/// The routes need the session layer around them, but no token refresh layer. With
/// [`form_post`](Self::form_post), put no CSRF middleware around the callback.
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_token_refresh::{ConfigError, Identity, TokenRefreshLayer, TokenRefresher};
///
/// fn app(refresher: &TokenRefresher) -> Result<Router, ConfigError> {
///     Ok(Router::new()
///         .route("/", get(home))
///         .layer(TokenRefreshLayer::new(refresher).lazy())
///         .merge(refresher.login_routes("https://shop.example.com").prefix("/auth").build()?)
///         .layer(refresher.session_layer()))
/// }
///
/// async fn home(user: Option<Identity>) -> &'static str {
///     if user.is_some() { "welcome back" } else { "hello, stranger" }
/// }
/// # let _ = app;
/// ```
#[must_use]
pub struct LoginRoutes {
    refresher: TokenRefresher,
    prefix: String,
    /// Log in, callback, log out.
    paths: [String; 3],
    attempt_keys: Option<SealKeys>,
    settings: Settings,
}

impl TokenRefresher {
    /// Begins the routes that log users in and out at this refresher's provider. `origin` is this
    /// application as the browser sees it: `https://shop.example.com`.
    /// [`build`](LoginRoutes::build) checks it.
    pub fn login_routes(&self, origin: impl Into<String>) -> LoginRoutes {
        LoginRoutes {
            refresher: self.clone(),
            prefix: String::new(),
            paths: ["/login", "/callback", "/logout"].map(str::to_owned),
            attempt_keys: None,
            settings: Settings {
                origin: origin.into(),
                scopes: ["openid", "profile", "email"].map(str::to_owned).into(),
                params: Vec::new(),
                form_post: false,
                pushed: false,
                dpop: false,
                home: "/".to_owned(),
                after_logout: "/".to_owned(),
                on_login: None,
                user_info: None,
                on_failure: None,
            },
        }
    }
}

impl LoginRoutes {
    /// Puts `prefix` before the three paths: with `/auth` they are `/auth/login` and so on.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets where a login begins.
    pub fn login_path(mut self, path: impl Into<String>) -> Self {
        self.paths[0] = path.into();
        self
    }

    /// Sets where the provider sends the browser back to. The origin, the prefix and this path are
    /// the redirect URI to register at the provider.
    pub fn callback_path(mut self, path: impl Into<String>) -> Self {
        self.paths[1] = path.into();
        self
    }

    /// Sets where a form logs the user out.
    pub fn logout_path(mut self, path: impl Into<String>) -> Self {
        self.paths[2] = path.into();
        self
    }

    /// Sets the scopes to ask for (RFC 6749, section 3.3). Without `openid` there is no ID token,
    /// and [`user_info`](Self::user_info) must say who the user is. Many providers give a refresh
    /// token only for `offline_access`: see [`docs::providers`](crate::docs::providers).
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.settings.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a parameter to the authorization request: `prompt`, `max_age` (in seconds; the ID
    /// token's `auth_time` is checked then), `acr_values`, or one of the provider's own, such as
    /// `audience` or `access_type`. Links to the login cannot change it. It must not be one that
    /// this crate sends itself.
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.params.push((name.into(), value.into()));
        self
    }

    /// Has the provider answer by a form (OAuth 2.0 Form Post Response Mode) instead of a link, for
    /// providers that want it, such as Apple. The browser is sent on to the callback by a link,
    /// since it sends no `SameSite=Lax` cookie with a form of another site.
    pub fn form_post(mut self) -> Self {
        self.settings.form_post = true;
        self
    }

    /// Sends the authorization request to the provider itself (RFC 9126), even if the provider
    /// would also take it from the browser. Where the discovery document says
    /// `require_pushed_authorization_requests`, it is done anyway. Each click on "log in" is then a
    /// request to the provider.
    pub fn pushed(mut self) -> Self {
        self.settings.pushed = true;
        self
    }

    /// Binds the tokens of each login to a [`DpopKey`](crate::DpopKey) of its own (RFC 9449,
    /// section 5). What is called with them must know DPoP, as [`BearerLayer`](crate::BearerLayer)
    /// does.
    pub fn dpop(mut self) -> Self {
        self.settings.dpop = true;
        self
    }

    /// Sets the path that a browser is sent to after a login whose link named none.
    pub fn home(mut self, path: impl Into<String>) -> Self {
        self.settings.home = path.into();
        self
    }

    /// Sets the path that a browser is sent to after a logout. Register its whole address at the
    /// provider as a post-logout redirect URI.
    pub fn after_logout(mut self, path: impl Into<String>) -> Self {
        self.settings.after_logout = path.into();
        self
    }

    /// Seals the attempts with these keys. Needed where several processes serve one application and
    /// [`seal_with`](crate::TokenRefresherBuilder::seal_with) is not used: a login that begins at
    /// one process may come back to another, which cannot open what was sealed with that one's
    /// random key.
    pub fn attempt_keys(mut self, keys: SealKeys) -> Self {
        self.attempt_keys = Some(keys);
        self
    }

    /// Asks `hook` about each login that the provider has confirmed, before the session gets it. It
    /// may put things into the session, or refuse with an answer for the browser; then nobody is
    /// logged in, and the tokens are dropped.
    ///
    /// It has 10 s. It is dropped if the browser goes away, and asked again if the same callback
    /// comes again, so it must do no harm if it runs twice. What it puts into the session stays
    /// there even if the login fails after all, and so does what the session held before: a session
    /// may have been another user's. Put in last what only a user may have, and replace what is the
    /// user's own.
    ///
    /// ```
    /// # use tower_token_refresh::{LoginRoutes, StandardClaims, VerifiedLogin};
    /// use axum::http::StatusCode;
    ///
    /// # fn example(routes: LoginRoutes) -> LoginRoutes {
    /// routes.on_login(async |login: VerifiedLogin| {
    ///     let unreadable = |_| (StatusCode::BAD_GATEWAY, "who are you?");
    ///     let user: StandardClaims = login.claims().map_err(unreadable)?;
    ///     // Not by an e-mail address: at many providers users choose it themselves.
    ///     if user.has_realm_role("staff") {
    ///         Ok(())
    ///     } else {
    ///         Err((StatusCode::FORBIDDEN, "this shop is for our staff"))
    ///     }
    /// })
    /// # }
    /// ```
    pub fn on_login<F, R, E>(mut self, hook: F) -> Self
    where
        F: Fn(VerifiedLogin) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: IntoResponse,
    {
        self.settings.on_login = Some(user::on_login(hook));
        self
    }

    /// Asks `ask` who the user is, at a provider without ID tokens, such as GitHub. What it says
    /// takes the place of the ID token's claims, for [`Identity`](crate::Identity) and
    /// [`on_login`](Self::on_login); where there is an ID token, its `sub` must be the subject. It
    /// has 10 s. An error logs nobody in (503).
    ///
    /// ```
    /// # use tower_token_refresh::{LoginRoutes, TokenSet, UserInfo};
    /// # fn example(routes: LoginRoutes, client: reqwest::Client) -> LoginRoutes {
    /// routes.scopes(["read:user"]).user_info(move |tokens: TokenSet| {
    ///     let asked = client
    ///         .get("https://api.github.com/user")
    ///         .bearer_auth(tokens.access_token())
    ///         .header("user-agent", "my shop");
    ///     async move {
    ///         let user: serde_json::Value = asked.send().await?.error_for_status()?.json().await?;
    ///         let claims = serde_json::json!({ "name": user["login"] });
    ///         let id = user["id"].as_u64().ok_or("the user has no id")?;
    ///         Ok(UserInfo::new(id.to_string()).with_claims(claims)?)
    ///     }
    /// })
    /// # }
    /// ```
    pub fn user_info<F, R>(mut self, ask: F) -> Self
    where
        F: Fn(TokenSet) -> R + Send + Sync + 'static,
        R: Future<Output = Result<UserInfo, BoxError>> + Send + 'static,
    {
        self.settings.user_info = Some(Arc::new(move |tokens| Box::pin(ask(tokens))));
        self
    }

    /// Answers a browser that was not logged in, or out. By default it gets a plain page with the
    /// error's [text](LoginError::text) and a link to try again. The error has been logged.
    pub fn on_failure(
        mut self,
        answer: impl Fn(&LoginError) -> Response + Send + Sync + 'static,
    ) -> Self {
        self.settings.on_failure = Some(Arc::new(answer));
        self
    }

    /// The router with the three routes.
    ///
    /// # Errors
    /// A setting that cannot work, by its name and value: an origin with a path, a path that does
    /// not begin with a single `/`, a scope with a space in it, a parameter that this crate sends
    /// itself, two paths that are the same, a `max_age` that is no number or has no ID token to be
    /// checked by, a refresher whose endpoint does not say where a browser logs in, and nothing
    /// that says who the user is.
    pub fn build<S: Clone + Send + Sync + 'static>(self) -> Result<Router<S>, ConfigError> {
        let Self { refresher, prefix, paths, attempt_keys, settings } = self;
        let settings = Settings { origin: check_origin(&settings.origin)?, ..settings };
        check_paths(&prefix, &paths)?;
        settings.check(&refresher.providers().own().provider)?;
        let [log_in, back, log_out] = paths.map(|path| format!("{prefix}{path}"));
        let keys = match attempt_keys.or_else(|| refresher.seal_keys().cloned()) {
            Some(keys) => keys,
            None => random_keys(&refresher),
        };
        let (redirect_uri, is_https) = (settings.url(&back), settings.origin.starts_with("https:"));
        let same_origin = SameOriginLayer::new(&settings.origin)?;
        let own = refresher.providers().own();
        let login = Shared {
            attempts: Attempts::new(keys, own.provider.issuer_id(), &redirect_uri, is_https),
            redemptions: Redemptions::new(refresher.tasks().clone()),
            redirect_uri,
            login_path: log_in.clone(),
            refresher,
            settings,
        };
        let mut callback = get_only(callback::callback);
        if login.settings.form_post {
            callback = callback.post(callback::form_post);
        }
        Ok(Router::new()
            .route(&log_in, get_only(begin::begin))
            .route(&back, callback)
            .route(&log_out, post(log_out::log_out).layer(same_origin))
            .with_state(Arc::new(login)))
    }
}

/// HEAD would be GET without its body: it would begin a login, or redeem a code.
fn get_only<H, T>(handler: H) -> MethodRouter<Arc<Shared>>
where
    H: axum::handler::Handler<T, Arc<Shared>>,
    T: 'static,
{
    get(handler).head(async || StatusCode::METHOD_NOT_ALLOWED)
}

impl fmt::Debug for LoginRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRoutes").field("origin", &self.settings.origin).finish_non_exhaustive()
    }
}
