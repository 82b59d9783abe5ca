//! A run: first with this crate, then the naive way, so that neither slows the other down. Each has
//! a provider, a user and a clock of its own.

use std::{error::Error, sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower_token_refresh::ConfigError;

use super::{
    board::{Ask, Refresh, Sent, Side},
    leaders::Leaders,
    way::Way,
};
use crate::TOKEN_LIVES;

/// Longer than in the table, so that there is something to see.
const PROVIDER_TAKES: Duration = Duration::from_millis(600);
const SLOW_PROVIDER_TAKES: Duration = Duration::from_millis(2_500);

/// A refresh that still goes on when all requests are answered or gone ends within this.
const REFRESH_ENDS: Duration = Duration::from_secs(30);

pub fn provider_takes(ask: &Ask) -> Duration {
    if ask.slow { SLOW_PROVIDER_TAKES } else { PROVIDER_TAKES }
}

/// Both ways of one run. Tests ask their providers for what they counted.
pub struct Run {
    pub ours: Arc<Way>,
    pub naive: Arc<Way>,
}

impl Run {
    pub fn new(ask: Ask) -> Result<Self, ConfigError> {
        let processes = if ask.two_processes { 2 } else { 1 };
        let ours = Arc::new(Way::ours(processes, ask.requests)?);
        Ok(Self { ours, naive: Arc::new(Way::naive(processes, ask.requests)) })
    }
}

/// The user's token has just expired, and everything comes at once.
pub async fn storm(
    way: &Arc<Way>,
    ask: Ask,
    leaders: &Leaders,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let cookie: Arc<str> = way.log_in().await.ok_or("the login failed")?.into();
    way.clock.skip(TOKEN_LIVES);
    way.issuer.set_down(ask.down);
    way.issuer.delay(provider_takes(&ask));
    leaders.forget();
    way.recorder.begin();

    let leaving: Vec<_> = (0..ask.requests).map(|_| CancellationToken::new()).collect();
    let mut requests = JoinSet::new();
    for (number, leaving) in leaving.iter().cloned().enumerate() {
        requests.spawn(request(way.clone(), number, cookie.clone(), leaving));
    }
    let meddling = tokio::spawn(meddle(way.clone(), ask, cookie.clone(), leaders.clone(), leaving));
    requests.join_all().await;
    meddling.await?;
    let landed = async {
        while way.refreshers.iter().any(|refresher| refresher.stats().refreshing > 0) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(REFRESH_ENDS, landed).await?;

    let mut seen = see(way, leaders);
    seen.provider = Some(way.counts());
    seen.over = true;
    *way.recorder.side() = seen;
    let logged_in = afterwards(way, &cookie).await;
    way.recorder.side().logged_in = Some(logged_in);
    Ok(())
}

async fn request(way: Arc<Way>, number: usize, cookie: Arc<str>, leaving: CancellationToken) {
    way.recorder.sent(number);
    let status = leaving.run_until_cancelled(way.orders(number, &cookie)).await;
    way.recorder.answered(number, status.map(|status| status.as_u16()));
}

/// What the switches ask for, while the first token request is under way.
async fn meddle(
    way: Arc<Way>,
    ask: Ask,
    cookie: Arc<str>,
    leaders: Leaders,
    leaving: Vec<CancellationToken>,
) {
    if !ask.leader_leaves && !ask.log_out {
        return;
    }
    let request = way.recorder.first_post().await;
    sleep(provider_takes(&ask) / 3).await;
    if ask.leader_leaves
        && let Some(leader) = request.or_else(|| leaders.so_far().first().copied())
    {
        leaving[leader].cancel();
    }
    if ask.log_out {
        let begin = way.recorder.now();
        way.recorder.side().log_out = Some(Sent { begin, ..Sent::default() });
        let status = Some(way.log_out(&cookie).await.as_u16());
        let end = Some(way.recorder.now());
        way.recorder.side().log_out = Some(Sent { begin, end, status });
    }
}

/// The provider is well again, and the token has expired once more: is a request served?
async fn afterwards(way: &Way, cookie: &str) -> bool {
    way.issuer.set_down(false);
    way.issuer.delay(Duration::ZERO);
    way.clock.skip(TOKEN_LIVES);
    way.orders(0, cookie).await.is_success()
}

/// How things are now.
pub fn see(way: &Way, leaders: &Leaders) -> Side {
    let recorder = &way.recorder;
    let mut side = recorder.side().clone();
    if side.over {
        return side;
    }
    side.now = recorder.now();
    let leaders = leaders.so_far();
    for (process, refresher) in way.refreshers.iter().enumerate() {
        let mut leaders =
            leaders.iter().copied().filter(|leader| way.process_of(*leader) == process);
        let snapshot = refresher.snapshot();
        for flight in snapshot.ended.into_iter().chain(snapshot.running) {
            let began = recorder.since_begin(flight.began);
            side.flights.push(Refresh { process, began, leader: leaders.next(), flight });
        }
    }
    side
}
