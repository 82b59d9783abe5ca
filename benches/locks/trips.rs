//! Round trips to Redis: of one refresh, and of a storm at two processes. As Redis's MONITOR sees
//! them.

use std::{collections::BTreeMap, time::Duration};

use futures_util::StreamExt;

use crate::{
    app::App,
    common::verdict,
    processes::Process,
    provider::Provider,
    scene::{Kind, Scene},
    storm,
};

const STORMS: usize = 5;
/// If Redis gets nothing for this long, all that was to come has come.
const QUIET: Duration = Duration::from_millis(200);

/// What Redis was asked for.
#[derive(Default)]
struct Tally {
    /// For locks and tokens, by command.
    trips: BTreeMap<String, usize>,
    /// What the scripts among them called.
    in_scripts: usize,
    /// Sessions and all else.
    others: usize,
}

pub async fn measure(scene: &Scene) {
    let provider = Provider::start(storm::PROVIDER_TAKES).await;
    println!("\nRound trips to Redis for tokens and locks.");
    for lock in [None, Some(Kind::Redis)] {
        let name = lock.map_or("no lock".to_owned(), |lock| lock.to_string());
        let app = App::new(scene, &provider.url, lock).await;
        let other = App::new(scene, &provider.url, lock).await;
        for (who, asked) in [("the process of the login", &app), ("another process", &other)] {
            // Both hear by now.
            asked.serve(&app.returning_user().await).await;
            let cookie = app.returning_user().await;
            let ((), tally) = watch(scene, asked.serve(&cookie)).await;
            tally.print(&format!("one refresh, {who}, {name}"), 6);
        }
        let mut processes = [Process::start(scene), Process::start(scene)];
        let mut most = Tally::default();
        for nth in 0..=STORMS {
            let cookie = app.returning_user().await;
            let posts = provider.posts();
            let work = storm::storm(&mut processes, lock, &provider.url, &cookie, 500);
            let (_, tally) = watch(scene, work).await;
            assert_eq!(provider.posts(), posts + 1, "one refresh");
            // The first one begins to listen.
            if nth > 0 && tally.count() > most.count() {
                most = tally;
            }
        }
        most.print(&format!("500 at two processes, {name}, most of {STORMS} storms"), 24);
    }
}

/// What Redis gets during `work`, and until it gets nothing more.
async fn watch<T>(scene: &Scene, work: impl Future<Output = T>) -> (T, Tally) {
    let monitor = scene.redis_client().get_async_monitor().await.expect("Redis answers");
    let mut lines = monitor.into_on_message::<String>();
    // What the preparation has left behind.
    while tokio::time::timeout(QUIET, lines.next()).await.is_ok() {}
    let done = work.await;
    let mut tally = Tally::default();
    while let Ok(Some(line)) = tokio::time::timeout(QUIET, lines.next()).await {
        tally.count_in(&line, &scene.prefix);
    }
    (done, tally)
}

impl Tally {
    /// A line is `time [database client] "COMMAND" "argument" ...`; within a script, the client is
    /// `lua`.
    fn count_in(&mut self, line: &str, prefix: &str) {
        let is_ours = line.contains(prefix);
        let command = line.split('"').nth(1).unwrap_or_default().to_uppercase();
        match line.split_once(']') {
            Some((client, _)) if client.ends_with("lua") => self.in_scripts += usize::from(is_ours),
            _ if is_ours => *self.trips.entry(command).or_default() += 1,
            _ => self.others += 1,
        }
    }

    fn count(&self) -> usize {
        self.trips.values().sum()
    }

    fn print(&self, what: &str, goal: usize) {
        let count = self.count();
        let by_name: Vec<_> =
            self.trips.iter().map(|(name, calls)| format!("{calls} {name}")).collect();
        println!(
            "  {what:<56}{count:>4} ({}; {} commands within scripts, {} for sessions), goal <= {goal}: {}",
            by_name.join(", "),
            self.in_scripts,
            self.others,
            verdict(count <= goal)
        );
    }
}
