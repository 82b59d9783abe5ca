//! Logins without a session.

use std::time::Duration;

use futures_util::future::join_all;
use support::{StoredTokens, TokenOp, World, on_every_store};
use tower_token_refresh::{
    GrantHandle, LoginTokens, RefreshErrorKind, Revocation, TokenRefresher, TokenSource,
    testing::StrictIssuer, token_store::SealKeys,
};

const SECOND: Duration = Duration::from_secs(1);

async fn adopt(world: &World, user: &str) -> GrantHandle {
    world.refresher.adopt(world.token_set(user)).await.expect("adopted")
}

async fn kind(tokens: &LoginTokens) -> Result<(), RefreshErrorKind> {
    tokens.token().await.map(|_| ()).map_err(|error| error.kind())
}

async fn record(world: &World, handle: &GrantHandle) -> StoredTokens {
    world.tokens_of(&handle.to_secret()).await
}

/// Another process has nothing but the text of the handle.
fn at(process: &TokenRefresher, handle: &GrantHandle) -> LoginTokens {
    let stored = handle.to_secret();
    process.tokens(&GrantHandle::from_secret(&stored).expect("a handle"))
}

on_every_store! {
    #[doc = "Over three expiries, two users with fifty callers each: six refreshes."]
    async fn callers_of_one_login_share_its_refreshes(world: World) {
        let (alice, bob) = (adopt(&world, "alice").await, adopt(&world, "bob").await);
        let sources = [world.refresher.tokens(&alice), world.refresher.tokens(&bob)];
        for expiries in 1..=3 {
            world.expire();
            for source in &sources {
                let answers = join_all((0..50).map(|_| source.token())).await;
                let first = answers[0].as_ref().expect("a token").secret().to_owned();
                assert!(world.issuer.is_access_token_live(&first));
                assert!(answers.iter().all(|answer| {
                    answer.as_ref().is_ok_and(|token| token.secret() == first)
                }));
            }
            assert_eq!(world.issuer.refreshes(), expiries * 2);
        }
        assert_eq!(world.issuer.max_presented(), 1);
    }

    async fn the_text_of_the_handle_is_all_that_a_restarted_process_needs(world: World) {
        let handle = adopt(&world, "alice").await;
        let process = world.restarted();
        let tokens = at(&process, &handle);
        assert_eq!(kind(&tokens).await, Ok(()));
        world.expire();
        assert_eq!(kind(&tokens).await, Ok(()));
        assert_eq!(world.issuer.refreshes(), 1);
    }

    async fn it_ends_in_every_process_and_its_tokens_are_revoked(world: World) {
        let handle = adopt(&world, "alice").await;
        let (here, process) = (world.refresher.tokens(&handle), world.restarted());
        let there = at(&process, &handle);
        assert_eq!((kind(&here).await, kind(&there).await), (Ok(()), Ok(())));

        let ended = world.refresher.end(&handle).await.expect("ended");
        assert!(matches!(ended, Revocation::Revoked), "{ended:?}");
        assert_eq!(kind(&here).await, Err(RefreshErrorKind::LoggedOut));
        world.clock.advance(SECOND * 61);
        assert_eq!(kind(&there).await, Err(RefreshErrorKind::LoggedOut));
        assert!(record(&world, &handle).await.is_ended());

        let again = world.refresher.end(&handle).await.expect("no error");
        assert!(matches!(again, Revocation::NothingToRevoke), "{again:?}");
    }

    #[doc = "Nobody could revoke its tokens there."]
    async fn another_providers_refresher_does_not_end_it(world: World) {
        let handle = adopt(&world, "alice").await;
        let other = StrictIssuer::builder().issuer_url("https://other.example/realms/other").build();
        let builder = TokenRefresher::builder(support::endpoint(&other), world.sessions.clone())
            .token_store(world.tokens.clone());
        // With a key of its own, so that it cannot read the record.
        let builder = match &world.keys {
            Some(_) => builder.seal_with(SealKeys::new([9; 32])),
            None => builder,
        };
        let second = builder.clock(world.clock.clock()).build().expect("the settings agree");
        let error = second.end(&handle).await.expect_err("it is of the other one");
        assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
        for named in [world.issuer.issuer_url(), other.issuer_url()] {
            assert!(error.to_string().contains(&named), "{error}");
        }
        let ended = world.refresher.end(&handle).await.expect("ended");
        assert!(matches!(ended, Revocation::Revoked), "{ended:?}");
    }

    async fn a_login_that_never_was_is_none(world: World) {
        let nobody = GrantHandle::from_secret("00112233445566778899aabbccddeeff").expect("a handle");
        let tokens = world.refresher.tokens(&nobody);
        assert_eq!(kind(&tokens).await, Err(RefreshErrorKind::SessionExpired));
        assert!(tokens.current().is_none());
        let ended = world.refresher.end(&nobody).await.expect("no error");
        assert!(matches!(ended, Revocation::NothingToRevoke), "{ended:?}");
        assert_eq!(world.issuer.token_requests(), 0);
    }
}

#[tokio::test]
async fn two_processes_make_one_refresh() {
    let world = World::on_swapping();
    let handle = adopt(&world, "alice").await;
    let process = world.restarted();
    let sources = [world.refresher.tokens(&handle), at(&process, &handle)];
    for expiries in 1..=3 {
        world.expire();
        let answers = join_all(sources.iter().cycle().take(20).map(LoginTokens::token)).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(world.issuer.refreshes(), expiries);
    }
    assert_eq!(world.issuer.max_presented(), 1);
}

#[tokio::test]
async fn a_rejected_token_is_refreshed_once_for_all_who_were_rejected() {
    let world = World::on_swapping();
    let source: &dyn TokenSource = &world.refresher.tokens(&adopt(&world, "alice").await);
    let rejected = source.token().await.expect("fresh");
    let newer = join_all((0..50).map(|_| source.newer_than(&rejected))).await;
    assert_eq!(world.issuer.refreshes(), 1);
    for token in newer {
        assert_ne!(token.expect("newer").secret(), rejected.secret());
    }
    let late = source.newer_than(&rejected).await.expect("the one that is there");
    assert_ne!(late.secret(), rejected.secret());
    assert_eq!(world.issuer.refreshes(), 1, "a 401 that arrives late");
}

/// Its record lasts as long as its tokens: no session is there to keep it.
#[tokio::test]
async fn it_lives_for_weeks_if_a_job_asks_once_a_day() {
    let two_days = SECOND * 2 * 24 * 3600;
    let world = World::on_swapping().at(|issuer| issuer.refresh_token_lifetime(two_days));
    let tokens = world.refresher.tokens(&adopt(&world, "alice").await);
    for _day in 0..90 {
        world.clock.advance(SECOND * 24 * 3600);
        assert_eq!(kind(&tokens).await, Ok(()));
    }
    assert_eq!(world.issuer.refreshes(), 90);
}

#[tokio::test]
async fn what_the_store_refuses_is_no_login() {
    for mishap in [
        (|world: &World| world.tokens.fail_next(TokenOp::Create)) as fn(&World),
        |world| world.tokens.lose_next_answer(TokenOp::Create),
        |world| world.tokens.panic_next(TokenOp::Create),
    ] {
        let world = World::on_swapping();
        mishap(&world);
        let error = world.refresher.adopt(world.token_set("alice")).await.err().expect("refused");
        assert!(matches!(error.kind().status().as_u16(), 500 | 503), "{error:?}");
        let records = world.tokens.records().await;
        assert!(!records.iter().any(StoredTokens::is_live), "{records:?}");
        assert!(world.issuer.revoked().is_empty(), "nothing that the caller has is revoked");
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_login_half_made() {
    let world = World::on_swapping();
    let gate = world.tokens.gate_after(TokenOp::Create);
    let (refresher, set) = (world.refresher.clone(), world.token_set("alice"));
    let caller = tokio::spawn(async move { refresher.adopt(set).await.map(|_| ()) });
    gate.reached().await;
    caller.abort();
    gate.open();
    world.refresher.shutdown(SECOND * 10).await.expect("nothing is left to do");
    let records = world.tokens.records().await;
    assert!(records.iter().all(StoredTokens::is_live), "{records:?}");
}

#[test]
fn neither_the_handle_nor_a_token_is_printed() {
    let wrong = GrantHandle::from_secret("no-handle-but-a-secret").err().expect("refused");
    assert!(!format!("{wrong} {wrong:?}").contains("secret"), "{wrong}");
}

/// Some providers give the same token again, out of a cache.
#[tokio::test]
async fn where_the_new_token_is_the_old_one_late_401s_cause_no_refresh() {
    let world = World::on_swapping();
    let tokens = world.refresher.tokens(&adopt(&world, "alice").await);
    let rejected = tokens.token().await.expect("a token");
    let same = rejected.secret().to_owned();
    world.issuer.edit_next(move |body| body["access_token"] = same.into());
    world.clock.advance(SECOND * 15);
    for _ in 0..25 {
        let newest = tokens.newer_than(&rejected).await.expect("the newest there is");
        assert_eq!(newest.secret(), rejected.secret());
    }
    assert_eq!(world.issuer.refreshes(), 1);
}
