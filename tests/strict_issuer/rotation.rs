//! What becomes of a refresh token that was used, provider by provider.

use std::time::Duration;

use serde_json::Value;
use tower_token_refresh::testing::{ManualClock, ProviderKind, StrictIssuer, StrictIssuerBuilder};

use crate::{dialects::ALL, requests::*};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct Login {
    issuer: StrictIssuer,
    clock: ManualClock,
    tokens: Value,
}

impl Login {
    fn at(configure: impl FnOnce(StrictIssuerBuilder) -> StrictIssuerBuilder) -> Self {
        let clock = ManualClock::new();
        let issuer = configure(StrictIssuer::builder().clock(clock.clock())).build();
        let answer = issuer.log_in("alice");
        let tokens = answer.get("authed_user").cloned().unwrap_or(answer);
        Self { issuer, clock, tokens }
    }

    fn like(kind: ProviderKind) -> Self {
        Self::at(|builder| builder.like(kind))
    }

    fn text(&self, field: &str) -> &str {
        text(&self.tokens, field)
    }

    /// Whether the provider grants a refresh, and what it brings. GitHub's form is read as JSON.
    fn refresh(&self, refresh_token: &str) -> Option<Value> {
        let mut request = refresh_request(&self.issuer, refresh_token);
        request.headers_mut().insert("accept", "application/json".parse().unwrap());
        let (_, body) = answer(&self.issuer.handle(request));
        body.get("access_token").is_some().then_some(body)
    }

    fn is_alive(&self) -> bool {
        self.issuer.session_alive(self.text("refresh_token"))
    }
}

#[test]
fn a_used_refresh_token_comes_back() {
    for kind in ALL {
        // Granted at once; granted after a minute; the login is alive after that.
        let expected = match kind {
            ProviderKind::Keycloak | ProviderKind::OidcProvider | ProviderKind::Auth0 => {
                (false, false, false)
            }
            ProviderKind::Okta => (true, false, false),
            ProviderKind::GitHub | ProviderKind::Slack | ProviderKind::Fitbit => {
                (false, false, true)
            }
            _ => (true, true, true),
        };
        let at_once = Login::like(kind);
        assert!(at_once.refresh(at_once.text("refresh_token")).is_some(), "{kind:?}");
        let live = at_once.issuer.is_refresh_token_live(at_once.text("refresh_token"));
        let granted = at_once.refresh(at_once.text("refresh_token")).is_some();
        assert_eq!(live, granted, "{kind:?}: the question and the answer agree");

        let later = Login::like(kind);
        assert!(later.refresh(later.text("refresh_token")).is_some(), "{kind:?}");
        later.clock.advance(Duration::from_secs(60));
        let granted_later = later.refresh(later.text("refresh_token")).is_some();
        assert_eq!((granted, granted_later, later.is_alive()), expected, "{kind:?}");
    }
}

#[test]
fn grace_is_for_the_token_before_the_newest_only() {
    let login = Login::like(ProviderKind::Okta);
    let second = login.refresh(login.text("refresh_token")).unwrap();
    let again = login.refresh(login.text("refresh_token")).unwrap();
    assert_ne!(second["refresh_token"], again["refresh_token"]);
    assert!(login.refresh(text(&second, "refresh_token")).is_some());

    assert!(login.refresh(login.text("refresh_token")).is_none(), "two tokens back");
    assert!(!login.is_alive());
    assert!(!login.issuer.is_refresh_token_live(text(&again, "refresh_token")));
}

#[test]
fn only_github_ends_the_old_access_token() {
    for kind in ALL {
        let login = Login::like(kind);
        let newer = login.refresh(login.text("refresh_token")).unwrap();
        let lives = login.issuer.is_access_token_live(login.text("access_token"));
        assert_eq!(lives, kind != ProviderKind::GitHub, "{kind:?}");
        assert!(login.issuer.is_access_token_live(text(&newer, "access_token")), "{kind:?}");
    }
}

#[test]
fn where_a_login_has_a_fixed_end_no_refresh_prolongs_it() {
    for (kind, days) in
        [(ProviderKind::Okta, 90), (ProviderKind::Auth0, 30), (ProviderKind::Cognito, 30)]
    {
        let login = Login::like(kind);
        login.clock.advance(DAY * (days - 1));
        let newer = login.refresh(login.text("refresh_token")).unwrap();
        let newest = newer["refresh_token"].as_str().unwrap_or(login.text("refresh_token"));
        login.clock.advance(DAY);
        assert!(login.refresh(newest).is_none(), "{kind:?}");
    }
    let login = Login::like(ProviderKind::Entra);
    login.clock.advance(DAY * 89);
    let newer = login.refresh(login.text("refresh_token")).unwrap();
    login.clock.advance(DAY * 89);
    assert!(login.refresh(text(&newer, "refresh_token")).is_some());
}

#[test]
fn the_settings_override_the_kind() {
    let okta = Login::at(|builder| builder.like(ProviderKind::Okta).without_rotation());
    let newer = okta.refresh(okta.text("refresh_token")).unwrap();
    assert_eq!(text(&newer, "refresh_token"), okta.text("refresh_token"));

    let auth0 = Login::at(|builder| builder.like(ProviderKind::Auth0).without_rotation());
    let newer = auth0.refresh(auth0.text("refresh_token")).unwrap();
    assert!(newer.get("refresh_token").is_none());
    assert!(auth0.refresh(auth0.text("refresh_token")).is_some());

    let cognito = Login::at(|builder| {
        builder
            .like(ProviderKind::Cognito)
            .rotation_with_grace(Duration::from_secs(10))
            .access_token_lifetime(Duration::from_secs(600))
            .opaque_access_tokens(true)
            .without_id_tokens()
    });
    let newer = cognito.refresh(cognito.text("refresh_token")).unwrap();
    assert_ne!(text(&newer, "refresh_token"), cognito.text("refresh_token"));
    assert_eq!((&newer["expires_in"], newer.get("id_token")), (&Value::from(600), None));
    assert!(!text(&newer, "access_token").contains('.'));
    cognito.clock.advance(Duration::from_secs(9));
    assert!(cognito.refresh(cognito.text("refresh_token")).is_some());
    cognito.clock.advance(Duration::from_secs(1));
    assert!(cognito.refresh(cognito.text("refresh_token")).is_none());
    assert!(!cognito.is_alive());
}
