//! What the other processes do.

use std::collections::{HashMap, hash_map::Entry};

use tokio::io::{AsyncBufReadExt, BufReader, stdin};

use crate::{
    app::App,
    contenders::contend,
    scene::{Kind, Locks, Scene},
    storm::requests_at_once,
    times::{to_line, wall},
};

/// Answers lines until there are no more.
pub async fn serve(scene: Scene) {
    let mut lines = BufReader::new(stdin()).lines();
    let mut child = Child { scene, locks: HashMap::new(), apps: HashMap::new() };
    while let Some(line) = lines.next_line().await.expect("input") {
        println!("{}", child.answer(&line.split(' ').collect::<Vec<_>>()).await);
    }
}

/// A process that makes each lock and each application when it is first asked for it.
struct Child {
    scene: Scene,
    locks: HashMap<Kind, Locks>,
    /// By lock and provider.
    apps: HashMap<(String, String), App>,
}

impl Child {
    async fn answer(&mut self, words: &[&str]) -> String {
        match words {
            ["ready", kind] => {
                self.locks(kind).await;
                "ready".into()
            }
            ["wait", kind, key] => {
                let locks = self.locks(kind).await;
                let asked_at = wall();
                let held = locks.acquire(key).await;
                let held_at = wall();
                held.release().await;
                format!("{asked_at} {held_at}")
            }
            ["contend", kind, key, contenders, start] => {
                let locks = self.locks(kind).await;
                to_line(&contend(&locks, key, number(contenders), number(start)).await)
            }
            ["storm", lock, provider, cookie, requests, start] => {
                let app = self.app(lock, provider).await;
                to_line(&requests_at_once(app, cookie, number(requests), number(start)).await)
            }
            other => panic!("{other:?}"),
        }
    }

    async fn locks(&mut self, kind: &str) -> Locks {
        let kind: Kind = kind.parse().expect("a lock's name");
        match self.locks.entry(kind) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(new) => new.insert(self.scene.locks(kind).await).clone(),
        }
    }

    async fn app(&mut self, lock: &str, provider: &str) -> &App {
        match self.apps.entry((lock.into(), provider.into())) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let lock = (lock != "none").then(|| lock.parse().expect("a lock's name"));
                new.insert(App::new(&self.scene, provider, lock).await)
            }
        }
    }
}

fn number<N: std::str::FromStr<Err: std::fmt::Debug>>(word: &str) -> N {
    word.parse().expect("a number")
}
