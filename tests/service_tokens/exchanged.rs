//! A user's token is exchanged for one of another API.

use std::time::Duration;

use support::{LIFE, World, settle};
use tower_token_refresh::{
    ExchangedTokens, GrantHandle, LoginTokens, Logout, RefreshErrorKind, StandardClaims,
    TokenExchange, TokenTarget, testing::Endpoint, tower_sessions::session::Id,
};

use crate::orders;

struct Api {
    world: World,
    exchange: TokenExchange,
}

impl Api {
    fn new() -> Self {
        let world = World::on_swapping();
        let exchange = orders(&world.refresher);
        Self { world, exchange }
    }

    async fn log_in(&self, user: &str) -> (Id, ExchangedTokens) {
        let id = self.world.log_in(user).await;
        (id, self.exchange.tokens(&self.login(id).await))
    }

    async fn login(&self, id: Id) -> LoginTokens {
        self.world.refresher.login_tokens(&self.world.session(id)).await.expect("logged in")
    }

    /// Without the logins themselves, which ask nobody here.
    fn requests(&self) -> usize {
        self.world.issuer.requests(Endpoint::Token)
    }
}

async fn exchanged(tokens: &ExchangedTokens) -> String {
    tokens.token().await.expect("a token").secret().to_owned()
}

#[tokio::test]
async fn each_user_has_a_token_for_that_api_and_all_calls_share_one_exchange() {
    let api = Api::new();
    let (_, alice) = api.log_in("alice").await;
    let (_, bob) = api.log_in("bob").await;
    let gate = api.world.issuer.gate_before(Endpoint::Token);
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let alice = alice.clone();
            tokio::spawn(async move { alice.token().await.expect("a token") })
        })
        .collect();
    gate.reached().await;
    settle().await;
    gate.open();
    let mut last = None;
    for caller in callers {
        last = Some(caller.await.unwrap());
    }
    let claims = last.unwrap().claims::<StandardClaims>().expect("a JWT");
    assert_eq!(claims.aud, ["orders"]);
    assert_eq!(claims.sub.as_deref(), Some(&*api.world.issuer.subject_of("alice")));
    assert_eq!(api.requests(), 1);
    assert_ne!(exchanged(&alice).await, exchanged(&bob).await);
    assert_eq!(api.requests(), 2);
}

#[tokio::test]
async fn an_expired_login_is_refreshed_first() {
    let api = Api::new();
    let (id, alice) = api.log_in("alice").await;
    let first = exchanged(&alice).await;
    api.world.expire();
    assert_ne!(exchanged(&alice).await, first);
    assert_eq!(api.world.issuer.refreshes(), 1);
    assert_eq!(api.requests(), 3);
    api.world.assert_logged_in(id).await;
}

#[tokio::test]
async fn while_the_login_cannot_be_refreshed_a_token_that_is_here_is_served() {
    let api = Api::new();
    let (_, alice) = api.log_in("alice").await;
    api.world.clock.advance(Duration::from_secs(25));
    let held = exchanged(&alice).await;
    api.world.issuer.set_down(true);
    // The login's own token has expired by now.
    api.world.clock.advance(Duration::from_secs(36));
    assert_eq!(exchanged(&alice).await, held);
    api.world.clock.advance(LIFE);
    let error = alice.token().await.expect_err("nothing is left");
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
}

#[tokio::test]
async fn a_logout_drops_the_token_and_tells_those_who_wait() {
    let api = Api::new();
    let (id, alice) = api.log_in("alice").await;
    let (_, bob) = api.log_in("bob").await;
    exchanged(&bob).await;
    let gate = api.world.issuer.gate_after(Endpoint::Token);
    let waiter = tokio::spawn({
        let alice = alice.clone();
        async move { alice.token().await }
    });
    gate.reached().await;
    let session = api.world.session(id);
    api.world.refresher.log_out(&session, Logout::EndSession).await.expect("logged out");
    let error = waiter.await.unwrap().expect_err("she has logged out");
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
    gate.open();
    settle().await;
    assert_eq!(alice.token().await.unwrap_err().kind(), RefreshErrorKind::LoggedOut);
    exchanged(&bob).await;
}

#[tokio::test]
async fn a_logout_elsewhere_is_noticed_as_soon_as_by_the_login_itself() {
    let api = Api::new();
    let (id, alice) = api.log_in("alice").await;
    exchanged(&alice).await;
    let elsewhere = api.world.restarted();
    elsewhere.log_out(&api.world.session(id), Logout::EndSession).await.expect("logged out");
    // `confirm_after` is a minute.
    api.world.clock.advance(LIFE);
    let error = alice.token().await.expect_err("she has logged out");
    assert_eq!(error.kind(), RefreshErrorKind::LoggedOut);
}

#[tokio::test]
async fn after_a_401_there_is_another_exchange_and_no_refresh() {
    let api = Api::new();
    let (_, alice) = api.log_in("alice").await;
    let rejected = alice.token().await.expect("a token");
    let newer = alice.newer_than(&rejected).await.expect("a newer token");
    assert_ne!(newer.secret(), rejected.secret());
    let late = alice.newer_than(&rejected).await.expect("that one");
    assert_eq!(late.secret(), newer.secret());
    assert_eq!((api.requests(), api.world.issuer.refreshes()), (2, 0));
}

#[tokio::test]
async fn a_users_token_that_the_provider_refuses_is_refreshed_once() {
    let api = Api::new();
    let (id, alice) = api.log_in("alice").await;
    api.world.issuer.fail_next_oauth(400, "invalid_request");
    exchanged(&alice).await;
    assert_eq!((api.requests(), api.world.issuer.refreshes()), (3, 1));
    api.world.assert_logged_in(id).await;
}

#[tokio::test]
async fn an_exchange_that_is_always_refused_does_not_rotate_the_users_tokens() {
    let api = Api::new();
    let target = TokenTarget::new().audience("orders");
    let strict = tower_token_refresh::testing::StrictIssuer::builder()
        .clock(api.world.clock.clock())
        .access_token_lifetime(60 * LIFE)
        .apis(["stock"])
        .build();
    let refresher = tower_token_refresh::TokenRefresher::builder(
        support::endpoint(&strict),
        tower_token_refresh::tower_sessions::MemoryStore::default(),
    )
    .clock(api.world.clock.clock())
    .build()
    .unwrap();
    let set = tower_token_refresh::TokenSet::from_response(strict.log_in("alice")).unwrap();
    let handle: GrantHandle = refresher.adopt(set).await.expect("adopted");
    let exchange = TokenExchange::new(&refresher, target).unwrap();
    let alice = exchange.tokens(&refresher.tokens(&handle));
    for _ in 0..250 {
        let error = alice.token().await.expect_err("no such API");
        assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
        api.world.clock.advance(std::time::Duration::from_secs(1));
    }
    assert_eq!(strict.refreshes(), 0, "another token of the user would not help");
    assert!(strict.token_requests() < 12, "{} exchanges", strict.token_requests());

    for _ in 0..250 {
        strict.clear_script();
        strict.fail_next_oauth(400, "invalid_request");
        let _refused = alice.token().await;
        api.world.clock.advance(std::time::Duration::from_secs(1));
    }
    strict.clear_script();
    assert!(strict.refreshes() <= 2, "{} refreshes", strict.refreshes());
    refresher.tokens(&handle).token().await.expect("the login lives on");
}

#[tokio::test]
async fn a_login_of_another_refresher_is_not_exchanged() {
    let (api, other) = (Api::new(), World::on_memory());
    let id = other.log_in("mallory").await;
    let login = other.refresher.login_tokens(&other.session(id)).await.expect("logged in");
    let error = api.exchange.tokens(&login).token().await.expect_err("not ours");
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
    assert_eq!(api.requests(), 0, "her token went nowhere");
}

#[tokio::test]
async fn in_entras_words_it_is_on_behalf_of() {
    let world = World::on_memory();
    let target = TokenTarget::new().scope("api://orders/.default");
    let exchange = TokenExchange::on_behalf_of(&world.refresher, target).unwrap();
    let id = world.log_in("alice").await;
    let login = world.refresher.login_tokens(&world.session(id)).await.expect("logged in");
    // The strict issuer does not speak it: what counts is that it was asked in these words.
    let error = exchange.tokens(&login).token().await.expect_err("refused");
    assert!(error.to_string().contains("unsupported_grant_type"), "{error}");
}
