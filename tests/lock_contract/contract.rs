//! What every lock service promises.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tower_token_refresh::lock::LockError;

use crate::{on_every_service, services::key};

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(60);

on_every_service! {
    async fn one_of_a_hundred_tasks_in_three_processes_holds_a_key(processes: Processes) {
        let (key, inside, served) = (key(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let tasks = (0..100).map(|nth| {
            let service = processes.services[nth % 3].clone();
            let (key, inside, served) = (key.clone(), inside.clone(), served.clone());
            tokio::spawn(async move {
                let guard = service.acquire_within(&key, LONG).await.expect("its turn comes");
                assert!(!inside.swap(true, Ordering::SeqCst), "two hold one key");
                tokio::task::yield_now().await;
                assert!(guard.is_held());
                inside.store(false, Ordering::SeqCst);
                served.fetch_add(1, Ordering::SeqCst);
                guard.release().await.expect("it was held");
            })
        });
        for task in join_all(tasks).await {
            task.expect("no panic");
        }
        assert_eq!(served.load(Ordering::SeqCst), 100);
    }

    async fn a_guard_says_what_it_holds(processes: Processes) {
        let key = key();
        let guard = processes.services[0].acquire(&key).await.expect("free");
        assert_eq!(guard.key(), key);
        assert_eq!(guard.lease().is_some(), processes.leases);
        assert!(guard.is_held());
        assert!(guard.acquired_at() > std::time::SystemTime::UNIX_EPOCH);
        assert!(!format!("{guard:?}").contains(&key), "{guard:?}");
        guard.release().await.expect("it was held");
    }

    async fn a_key_that_is_held_is_given_to_nobody_else(processes: Processes) {
        let key = key();
        let guard = processes.services[0].acquire(&key).await.expect("free");
        for service in &processes.services {
            assert!(service.try_acquire(&key).await.expect("an answer").is_none());
            let error = service.acquire_within(&key, SHORT).await.expect_err("held");
            assert!(matches!(error, LockError::Timeout { limit } if limit == SHORT), "{error:?}");
        }
        assert!(processes.services[1].try_acquire(&crate::services::key()).await.expect("free").is_some());
        drop(guard);
    }

    async fn who_waits_is_next_when_a_guard_is_dropped(processes: Processes) {
        let key = key();
        let guard = processes.services[0].acquire(&key).await.expect("free");
        let (other, waited_for) = (processes.services[1].clone(), key.clone());
        let waiting = tokio::spawn(async move { other.acquire_within(&waited_for, LONG).await });
        tokio::time::sleep(SHORT).await;
        assert!(!waiting.is_finished());

        drop(guard);

        assert!(waiting.await.expect("no panic").expect("its turn").is_held());
    }

    async fn a_panic_lets_go(processes: Processes) {
        let (key, service) = (key(), processes.services[0].clone());
        let held = key.clone();
        let task = tokio::spawn(async move {
            let _guard = service.acquire(&held).await.expect("free");
            panic!("while it is held");
        });
        task.await.expect_err("it panics");
        processes.services[1].acquire_within(&key, LONG).await.expect("free again");
    }

    async fn a_caller_that_goes_away_while_it_waits_takes_nothing(processes: Processes) {
        let key = key();
        let guard = processes.services[0].acquire(&key).await.expect("free");
        for service in &processes.services {
            service.acquire_within(&key, SHORT).await.expect_err("held");
        }
        guard.release().await.expect("held");
        processes.services[2].acquire_within(&key, LONG).await.expect("nobody has taken it");
    }

    async fn a_caller_that_goes_away_while_it_is_served_keeps_nothing(processes: Processes) {
        let key = key();
        for _ in 0..20 {
            let service = processes.services[0].clone();
            let (taken, task_key) = (Arc::new(tokio::sync::Notify::new()), key.clone());
            let begun = taken.clone();
            let task = tokio::spawn(async move {
                begun.notify_one();
                service.acquire_within(&task_key, LONG).await
            });
            taken.notified().await;
            task.abort();
            drop(task.await);
        }
        let guard = processes.services[1].acquire_within(&key, Duration::from_secs(5)).await;
        guard.expect("free again");
    }

    async fn released_returns_when_the_key_is_free(processes: Processes) {
        let key = key();
        processes.services[1].released(&key).await.expect("free from the first");
        let guard = processes.services[0].acquire(&key).await.expect("free");
        let (other, waited_for) = (processes.services[1].clone(), key.clone());
        let waiting = tokio::spawn(async move { other.released(&waited_for).await });
        tokio::time::sleep(SHORT).await;
        assert!(!waiting.is_finished());

        guard.release().await.expect("held");

        waiting.await.expect("no panic").expect("an answer");
    }

    async fn keys_are_texts_of_1_to_512_bytes(processes: Processes) {
        let service = &processes.services[0];
        for key in ["", &"x".repeat(513)] {
            let error = service.try_acquire(key).await.expect_err("no key");
            assert!(matches!(error, LockError::InvalidKey { length } if length == key.len()));
        }
        let long = format!("{}{}", key(), "x".repeat(512 - 36));
        assert!(service.try_acquire(&long).await.expect("an answer").is_some());
    }

    async fn ten_thousand_keys_leave_nothing_behind(processes: Processes) {
        let service = &processes.services[0];
        let keys: Vec<_> = (0..10_000).map(|_| key()).collect();
        for some in keys.chunks(50) {
            let guards = join_all(some.iter().map(|key| service.acquire(key))).await;
            for guard in guards {
                guard.expect("free").release().await.expect("held");
            }
        }
        assert!(format!("{service:?}").contains("keys: 0"), "{service:?}");
        assert_eq!((processes.left_behind)().await, 0);
    }

    async fn a_service_that_answers_is_well(processes: Processes) {
        processes.services[0].health().await.expect("well");
    }
}
