//! A secret that changes is used from the next request on, and one that cannot be had sends nothing.

use std::{
    fs, io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine, prelude::BASE64_STANDARD};
use support::log::Log;
use tower_token_refresh::{
    ClientAuth, RefreshErrorKind, SecretSource, SigningAlgorithm, SigningKeySource,
    testing::Endpoint,
};
use uuid::Uuid;

use crate::{changing, keys::Pair, refreshed, with_the_right_secret, world};

/// A folder as Kubernetes mounts a secret: a link to a link to the newest version.
struct Mount(PathBuf);

impl Mount {
    fn new(text: &str) -> Self {
        let mount = Self(std::env::temp_dir().join(format!("mount-{}", Uuid::new_v4().simple())));
        fs::create_dir(&mount.0).unwrap();
        mount.swap(text);
        std::os::unix::fs::symlink("..data/secret", mount.path()).unwrap();
        mount
    }

    fn path(&self) -> PathBuf {
        self.0.join("secret")
    }

    /// Writes a version beside the last one, and swaps the link.
    fn swap(&self, text: &str) {
        let version = self.0.join(format!("..{}", Uuid::new_v4().simple()));
        fs::create_dir(&version).unwrap();
        fs::write(version.join("secret"), text).unwrap();
        std::os::unix::fs::symlink(&version, self.0.join("..data_tmp")).unwrap();
        fs::rename(self.0.join("..data_tmp"), self.0.join("..data")).unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn basic(secret: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("web:{secret}")))
}

#[tokio::test]
async fn a_secret_in_a_swapped_mount_is_used_from_the_next_refresh_on() {
    let mount = Mount::new("one\n");
    let auth = ClientAuth::basic("web", SecretSource::file(mount.path()));
    let (world, sent) = changing(|issuer| issuer, auth, with_the_right_secret);
    let id = world.log_in("alice").await;
    refreshed(&world, id).await.expect("refreshed");
    mount.swap("two\n");
    refreshed(&world, id).await.expect("refreshed");
    assert_eq!(sent.authorizations(), [basic("one"), basic("two")]);
}

#[tokio::test]
async fn a_mount_that_breaks_keeps_the_last_secret_and_warns_once() {
    let log = Log::of_this_thread();
    let mount = Mount::new("one");
    let auth = ClientAuth::basic("web", SecretSource::file(mount.path()));
    let (world, sent) = changing(|issuer| issuer, auth, with_the_right_secret);
    let id = world.log_in("alice").await;
    mount.swap("\n");
    for _ in 0..2 {
        refreshed(&world, id).await.expect("refreshed");
    }
    mount.swap("two");
    refreshed(&world, id).await.expect("refreshed");
    assert_eq!(sent.authorizations(), [basic("one"), basic("one"), basic("two")]);
    let lines = log.lines_at("INFO");
    let count = |words| lines.iter().filter(|line| line.contains(words)).count();
    assert_eq!(count("its last good content is used on"), 1, "{lines:?}");
    assert_eq!(count("rule=it is empty"), 1);
    assert_eq!(count("can be used again"), 1);
}

/// A file whose reader waits for somebody who writes, as on a network that does not answer.
#[tokio::test]
async fn a_file_that_hangs_leaves_its_last_secret_warns_once_and_takes_one_thread_only() {
    let log = Log::of_this_thread();
    let mount = Mount::new("one");
    let auth = ClientAuth::basic("web", SecretSource::file(mount.path()));
    let (world, sent) = changing(|issuer| issuer, auth, with_the_right_secret);
    let ids = [world.log_in("alice").await, world.log_in("bob").await];
    let pipe = mount.0.join("..pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo is there").success());
    fs::remove_file(mount.path()).unwrap();
    std::os::unix::fs::symlink(&pipe, mount.path()).unwrap();
    for id in ids {
        refreshed(&world, id).await.expect("refreshed");
    }
    assert_eq!(sent.authorizations(), [basic("one"), basic("one")]);
    // One reader there is: its end of the pipe is open once, and the runtime waits for its thread.
    let mut writer = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    io::Write::write_all(&mut writer, b"two").unwrap();
    let warnings = log.lines_at("WARN");
    assert!(warnings.len() == 1 && warnings[0].contains("rule=timed out"), "{warnings:?}");
}

#[tokio::test]
async fn a_key_in_a_swapped_mount_signs_the_next_assertion() {
    let (old, new) = (Pair::ed25519(), Pair::ed25519());
    let mount = Mount::new(&old.pem);
    let key = SigningKeySource::file(mount.path(), SigningAlgorithm::EdDsa);
    let auth = ClientAuth::private_key_jwt("app", key);
    let (world, _) = world(|issuer| issuer.client_with_key("app", &new.public), auth);
    let id = world.log_in("alice").await;
    let error = refreshed(&world, id).await.unwrap_err();
    assert_eq!(world.issuer.refreshes(), 0, "{error}");
    mount.swap(&new.pem);
    refreshed(&world, id).await.expect("the provider knows this one");
}

#[tokio::test]
async fn a_federated_token_is_read_again_for_each_request() {
    let mount = Mount::new("first.federated.token");
    let auth = ClientAuth::federated("web", SecretSource::file(mount.path()));
    let (world, sent) = changing(
        |issuer| issuer,
        auth,
        |request| {
            with_the_right_secret(request);
            let form = url::form_urlencoded::parse(request.body())
                .into_owned()
                .filter(|(name, _)| !name.starts_with("client_assertion"))
                .collect::<Vec<_>>();
            let mut without = url::form_urlencoded::Serializer::new(String::new());
            *request.body_mut() = without.extend_pairs(form).finish().into();
        },
    );
    let id = world.log_in("alice").await;
    refreshed(&world, id).await.expect("refreshed");
    mount.swap("second.federated.token\n");
    refreshed(&world, id).await.expect("refreshed");
    assert_eq!(
        sent.fields("client_assertion"),
        ["first.federated.token", "second.federated.token"]
    );
    assert_eq!(sent.fields("client_id"), ["web", "web"]);
}

/// Fails for the first `failures` calls.
fn asked(failures: usize) -> (SecretSource, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let source = SecretSource::from_fn(move || {
        let fails = counter.fetch_add(1, Ordering::Relaxed) < failures;
        async move {
            if fails { Err(io::Error::other("the vault is sealed")) } else { Ok("secret".into()) }
        }
    });
    (source, calls)
}

#[tokio::test(start_paused = true)]
async fn a_function_that_fails_once_is_asked_again_within_the_refresh() {
    let (secret, calls) = asked(1);
    let (world, sent) = world(|issuer| issuer, ClientAuth::basic("web", secret));
    let id = world.log_in("alice").await;
    refreshed(&world, id).await.expect("refreshed");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert_eq!(sent.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_had_is_unavailable_and_nothing_is_sent() {
    let (secret, calls) = asked(usize::MAX);
    let (world, sent) = world(|issuer| issuer, ClientAuth::post("web", secret));
    let mut logins = Vec::new();
    // More than the breaker would stand, if the provider were down.
    for _ in 0..12 {
        logins.push(world.log_in("alice").await);
    }
    world.expire();
    let mut calls_before = 0;
    for id in &logins {
        let error = world.refresher.valid_token(&world.session(*id)).await.unwrap_err();
        assert_eq!(error.kind(), RefreshErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("this client's credentials cannot be had"), "{error}");
        assert!(error.retry_after().is_some());
        let calls = calls.load(Ordering::Relaxed);
        assert!(calls > calls_before, "the next request asks again");
        calls_before = calls;
    }
    assert_eq!(world.issuer.requests(Endpoint::Token), 0);
    assert!(sent.requests().is_empty());
    world.assert_logged_in(logins[0]).await;
}

#[tokio::test(start_paused = true)]
async fn a_function_that_never_answers_holds_nobody_for_longer_than_a_refresh() {
    let secret = SecretSource::from_fn(std::future::pending::<Result<String, io::Error>>);
    let (world, sent) = world(|issuer| issuer, ClientAuth::basic("web", secret));
    let id = world.log_in("alice").await;
    let error = refreshed(&world, id).await.unwrap_err();
    assert!(
        matches!(error.kind(), RefreshErrorKind::Unavailable | RefreshErrorKind::WaitTimeout),
        "{error}"
    );
    assert!(sent.requests().is_empty());
    world.assert_logged_in(id).await;
}
