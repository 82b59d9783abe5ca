//! Sessions in Redis: the format of `tower-sessions-redis-store`, in both directions.

use std::time::Duration;

use support::stores;
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
};
use tower_token_refresh::{Clock, Redis, tower_sessions};

fn record() -> Record {
    let expiry_date = Clock::system().now() + Duration::from_secs(3600);
    let data = [
        ("oauth.login".to_owned(), "g1.00112233445566778899aabbccddeeff".into()),
        ("basket".to_owned(), serde_json::json!({ "apples": 3, "of": ["a", null, 1.5, true] })),
    ];
    let seconds = expiry_date.duration_since(std::time::UNIX_EPOCH).expect("later").as_secs();
    let whole = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
    Record { id: Id::default(), data: data.into(), expiry_date: whole.into() }
}

async fn ours() -> impl SessionStore {
    Redis::connect(&stores::redis_url()).await.expect("Redis answers").sessions()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: see tests/services/run"]
async fn each_reads_what_the_other_has_written() {
    let (ours, theirs) = (ours().await, stores::redis().await);
    let mut written = record();
    theirs.create(&mut written).await.expect("created");
    assert_eq!(ours.load(&written.id).await.expect("loaded"), Some(written.clone()));

    written.data.insert("more".to_owned(), 1.into());
    ours.save(&written).await.expect("saved");
    assert_eq!(theirs.load(&written.id).await.expect("loaded"), Some(written.clone()));

    ours.delete(&written.id).await.expect("deleted");
    assert_eq!(theirs.load(&written.id).await.expect("loaded"), None);

    let mut written = record();
    ours.create(&mut written).await.expect("created");
    assert_eq!(theirs.load(&written.id).await.expect("loaded"), Some(written));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: see tests/services/run"]
async fn a_save_over_nothing_does_nothing_and_a_create_takes_a_free_id() {
    let ours = ours().await;
    let gone = record();
    ours.save(&gone).await.expect("nothing happens");
    assert_eq!(ours.load(&gone.id).await.expect("loaded"), None);

    let mut first = record();
    ours.create(&mut first).await.expect("created");
    let mut second = Record { id: first.id, ..record() };
    ours.create(&mut second).await.expect("created");
    assert_ne!(first.id, second.id);
    assert_eq!(ours.load(&first.id).await.expect("loaded"), Some(first));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: see tests/services/run"]
async fn a_session_that_has_ended_is_gone() {
    let ours = ours().await;
    let mut ended = record();
    ended.expiry_date = (Clock::system().now() - Duration::from_secs(5)).into();
    ours.create(&mut ended).await.expect("taken");
    assert_eq!(ours.load(&ended.id).await.expect("loaded"), None);
}
