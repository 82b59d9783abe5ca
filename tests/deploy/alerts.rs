//! What users notice, and the provider's faults: each is provoked against the strict issuer, and
//! promtool says of the scrapes which alerts fire in it and that they clear after it.

use std::time::Duration;

use http::{Request, Response, header};
use support::{TokenOp, World, http::ask, variants::session_at};
use tower_sessions::session::Id;
use tower_token_refresh::{RefreshErrorKind, TokenRefresher, testing::Endpoint, tower_sessions};

use super::recording::{Moment, Recording, SCRAPED_EVERY, promtool};

/// Users who ask every 15 seconds, and log in again when their login is over.
pub struct Story {
    pub world: World,
    pub recording: Recording,
    pub users: Vec<(String, Id)>,
}

impl Story {
    /// `world` is made after the recorder.
    pub async fn begin(users: usize, world: impl FnOnce() -> World) -> Self {
        let recording = Recording::of_this_thread();
        let mut story = Self { world: world(), recording, users: Vec::new() };
        for user in 0..users {
            let name = format!("user-{user}");
            let id = story.world.log_in(&name).await;
            story.users.push((name, id));
        }
        story
    }

    pub async fn pass(&mut self, minutes: u64) -> Moment {
        for _ in 0..minutes * 60 / SCRAPED_EVERY.as_secs() {
            self.step().await;
        }
        self.recording.now()
    }

    /// One scrape, and before it each user asks once.
    pub async fn step(&mut self) {
        self.world.clock.advance(SCRAPED_EVERY);
        tokio::time::sleep(SCRAPED_EVERY).await;
        for (name, id) in &mut self.users {
            let asked = self.world.refresher.valid_token(&self.world.session(*id)).await;
            let over = [RefreshErrorKind::NoTokens, RefreshErrorKind::SessionExpired];
            if asked.is_err_and(|error| over.contains(&error.kind())) {
                *id = self.world.log_in(name).await;
            }
        }
        support::settle().await;
        self.recording.take();
    }
}

/// Ten minutes in which nothing is wrong, some with a fault, and then as long as alerts take to clear.
pub async fn fault(
    users: usize,
    minutes: u64,
    alerts: &[&str],
    begin: impl FnOnce(&World),
    end: impl FnOnce(&World),
) {
    let mut story = Story::begin(users, World::on_swapping).await;
    let before = story.pass(10).await;
    begin(&story.world);
    let during = story.pass(minutes).await;
    end(&story.world);
    story.pass(25).await;
    story.recording.judge(before, during, alerts);
}

fn five_minutes() -> World {
    let life = Duration::from_secs(300);
    World::configured(|issuer| issuer.access_token_lifetime(life), |builder| builder)
}

#[tokio::test(start_paused = true)]
#[ignore = "needs promtool: see tests/services/run"]
async fn the_provider_forgets_its_sessions() {
    let mut story = Story::begin(30, five_minutes).await;
    let before = story.pass(30).await;
    for (user, _) in &story.users {
        story.world.issuer.end_session(user);
    }
    let during = story.pass(10).await;
    story.pass(20).await;
    story.recording.judge(before, during, &["UsersLoggedOut"]);
}

/// Everybody is away for so long that the provider ends their sessions, and comes back: all at once
/// after lunch and after a meeting, one by one the next morning.
#[tokio::test(start_paused = true)]
#[ignore = "needs promtool: see tests/services/run"]
async fn logins_that_ended_while_nobody_was_there_are_no_fault() {
    let mut story = Story::begin(30, five_minutes).await;
    story.pass(30).await;
    for (away, one_by_one) in [(45, false), (45, false), (840, true)] {
        for (user, _) in &story.users {
            story.world.issuer.end_session(user);
        }
        let users = std::mem::take(&mut story.users);
        story.pass(away).await;
        for user in users {
            story.users.push(user);
            if one_by_one {
                story.pass(1).await;
            }
        }
        story.pass(40).await;
    }
    story.recording.judge_quiet();
}

#[tokio::test(start_paused = true)]
#[ignore = "needs promtool: see tests/services/run"]
async fn the_provider_is_down() {
    let down = |down| move |world: &World| world.issuer.set_down(down);
    fault(15, 15, &["RequestsFailing", "BreakerOpen"], down(true), down(false)).await;
}

/// Every third request breaks: too few in a row for the breaker.
#[tokio::test(start_paused = true)]
#[ignore = "needs promtool: see tests/services/run"]
async fn the_provider_fails_now_and_then() {
    let mut story = Story::begin(15, World::on_swapping).await;
    let before = story.pass(10).await;
    for _ in 0..60 {
        for _ in 0..2 {
            story.world.issuer.drop_request_next_at(Endpoint::Token);
        }
        story.step().await;
    }
    let during = story.recording.now();
    story.world.issuer.clear_script();
    story.pass(25).await;
    story.recording.judge(before, during, &["ProviderFailing"]);
}

#[tokio::test(start_paused = true)]
#[ignore = "needs promtool: see tests/services/run"]
async fn the_provider_takes_eight_seconds() {
    let mut story = Story::begin(12, World::on_swapping).await;
    let before = story.pass(10).await;
    for _ in 0..18 {
        // Nobody asks for a minute, so that the tokens expire and everybody has to wait.
        for _ in 0..4 {
            story.world.clock.advance(SCRAPED_EVERY);
            story.recording.take();
        }
        let gates: Vec<_> =
            story.users.iter().map(|_| story.world.issuer.gate_before(Endpoint::Token)).collect();
        let sessions = story.users.iter().map(|(_, id)| story.world.session(*id));
        let asked: Vec<_> = sessions.map(|session| story.world.ask(&session)).collect();
        support::settle().await;
        story.world.clock.advance(Duration::from_secs(8));
        drop(gates);
        for asked in asked {
            asked.await.unwrap().expect("a token in the end");
        }
    }
    let during = story.recording.now();
    story.pass(25).await;
    story.recording.judge(before, during, &["ProviderSlow", "WaitsTooLong"]);
}

#[tokio::test(start_paused = true)]
#[ignore = "needs promtool: see tests/services/run"]
async fn the_provider_asks_to_be_left_alone() {
    let mut story = Story::begin(15, World::on_swapping).await;
    let before = story.pass(10).await;
    let mut during = before;
    for _ in 0..5 {
        for _ in 0..8 {
            let busy = Response::builder().status(503).header(header::RETRY_AFTER, "120");
            story.world.issuer.answer_next_at(Endpoint::Token, busy.body("".into()).unwrap());
        }
        during = story.pass(2).await;
    }
    story.world.issuer.clear_script();
    story.pass(20).await;
    story.recording.judge(before, during, &["RequestsRefused"]);
}

#[tokio::test(start_paused = true)]
#[ignore = "needs promtool: see tests/services/run"]
async fn a_refresh_brings_the_tokens_of_somebody_else() {
    let begin = |world: &World| world.issuer.switch_user_next("mallory");
    fault(5, 2, &["SubjectChanged"], begin, |_| {}).await;
}

#[tokio::test(start_paused = true)]
#[ignore = "needs promtool: see tests/services/run"]
async fn the_client_secret_is_wrong_for_three_minutes() {
    let begin =
        |world: &World| (0..100).for_each(|_| world.issuer.fail_next_oauth(401, "invalid_client"));
    fault(5, 3, &["Misconfigured"], begin, |world| world.issuer.clear_script()).await;
}

#[tokio::test(start_paused = true)]
#[ignore = "needs promtool: see tests/services/run"]
async fn a_refresh_panics() {
    fault(5, 2, &["Panicked"], |world| world.tokens.panic_next(TokenOp::Swap), |_| {}).await;
}

fn with_back_channel() -> World {
    let world = World::on_swapping();
    let endpoint = support::endpoint(&world.issuer).jwks_url(world.issuer.jwks_url());
    let refresher = TokenRefresher::builder(endpoint, world.sessions.clone())
        .token_store(world.tokens.clone())
        .clock(world.clock.clock())
        .back_channel_logout([7; 32])
        .build()
        .expect("the settings agree");
    World { refresher, ..world }
}

async fn post(story: &Story, token: &str) {
    let route = story.world.refresher.back_channel_logout().expect("it knows its issuer");
    let app = axum::Router::new().route("/out", route);
    let request = Request::post("/out")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(format!("logout_token={token}").into())
        .unwrap();
    ask(&app, request).await;
}

#[tokio::test(start_paused = true)]
#[ignore = "needs promtool: see tests/services/run"]
async fn a_store_refuses_what_a_logout_token_asks_for() {
    let mut story = Story::begin(5, with_back_channel).await;
    let before = story.pass(10).await;
    story.world.tokens.refuse(TokenOp::Find);
    let token = story.world.issuer.logout_token(Some("user-1"), None);
    post(&story, &token).await;
    story.world.tokens.accept(TokenOp::Find);
    let during = story.pass(2).await;
    story.pass(20).await;
    story.recording.judge(before, during, &["BackChannelFailing"]);
}

#[tokio::test(start_paused = true)]
#[ignore = "needs promtool: see tests/services/run"]
async fn the_provider_signs_logout_tokens_with_a_key_that_is_not_its_own() {
    let mut story = Story::begin(5, with_back_channel).await;
    let before = story.pass(10).await;
    for _ in 0..8 {
        for _ in 0..5 {
            let mut token = story.world.issuer.logout_token(Some("user-1"), None);
            token.truncate(token.len() - 4);
            post(&story, &token).await;
        }
        story.step().await;
    }
    let during = story.recording.now();
    story.pass(25).await;
    story.recording.judge(before, during, &["BackChannelFailing"]);
}

/// One that stood still with its request on the way, for longer than its mark holds.
#[tokio::test(start_paused = true)]
#[ignore = "needs promtool: see tests/services/run"]
async fn two_processes_present_one_refresh_token() {
    let mut story = Story::begin(5, World::on_swapping).await;
    let before = story.pass(10).await;
    let id = story.world.log_in("frozen").await;
    story.world.expire();
    let gate = story.world.issuer.gate_before(Endpoint::Token);
    let frozen = story.world.ask(&story.world.session(id));
    gate.reached().await;
    story.world.clock.advance(Duration::from_secs(30));
    let other = story.world.restarted();
    let session = session_at(&other, id);
    let theirs = tokio::spawn(async move { other.valid_token(&session).await });
    support::settle().await;
    story.world.clock.advance(Duration::from_secs(5));
    theirs.await.unwrap().expect("refreshed");
    story.world.issuer.fail_next_oauth(400, "invalid_grant");
    gate.open();
    frozen.await.unwrap().expect("theirs");
    let during = story.pass(2).await;
    story.pass(20).await;
    story.recording.judge(before, during, &["LostRace"]);
}

#[tokio::test(start_paused = true)]
#[ignore = "needs promtool: see tests/services/run"]
async fn answers_get_lost() {
    let mut story = Story::begin(15, World::on_swapping).await;
    let mut before = story.pass(10).await;
    let mut during = before;
    for lost in 0..8 {
        // Nobody asks before the tokens have expired, and then one answer is lost.
        for _ in 0..4 {
            story.world.clock.advance(SCRAPED_EVERY);
            story.recording.take();
        }
        before = if lost == 0 { story.recording.now() } else { before };
        story.world.issuer.drop_answer_next_at(Endpoint::Token);
        during = story.pass(1).await;
    }
    story.pass(25).await;
    story.recording.judge(before, during, &["Replays"]);
}

#[test]
#[ignore = "needs promtool: see tests/services/run"]
fn each_query_of_the_dashboard_can_be_read() {
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (at, (_, query)) in super::names::queries().iter().enumerate() {
        let query = query.replace("$__rate_interval", "1m");
        rules +=
            &format!("  - record: panel:{at}\n    expr: {query:?}\n").replace("panel:", "panel:n");
    }
    promtool(&["check", "rules"], &rules);
}
