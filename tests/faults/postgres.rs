//! PostgreSQL, restarted, with its connections ended, and behind PgBouncer.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sqlx::{PgPool, postgres::PgPoolOptions};
use support::log::Log;
use tower_sessions_sqlx_store::sqlx;
use tower_token_refresh::{
    lock::{LockService, PostgresLock},
    token_store::{Ending, PostgresTokens, RecordKey, RecordListener, StoreError, TokenStore},
};

use crate::{
    scene::Scene,
    servers::{Folder, Server, free_port},
};

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    String::from_utf8_lossy(&id.stdout).trim() == "0"
}

/// PostgreSQL and PgBouncer refuse to run as root.
fn as_postgres() -> &'static [&'static str] {
    match is_root() {
        true => &["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"],
        false => &[],
    }
}

/// Debian keeps PostgreSQL's programs out of the PATH.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let mut versions: Vec<_> = versions.map(|version| version.expect("readable").path()).collect();
    versions.sort();
    versions.pop().expect("a version").join("bin")
}

fn run(command: &[&str]) {
    let (program, arguments) = command.split_first().expect("a program");
    let output = Command::new(program).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn hand_over(path: &Path) {
    if is_root() {
        run(&["chown", "-R", "postgres", path.to_str().expect("a name")]);
    }
}

fn postgres(folder: &Folder) -> Server {
    let (port, data) = (free_port(), folder.0.join("data"));
    hand_over(&folder.0);
    let (bin, data) = (programs(), data.to_str().expect("a name").to_owned());
    let initdb = bin.join("initdb").to_str().expect("a name").to_owned();
    let init = ["--pgdata", &data, "--username", "test", "--auth", "trust", "--no-sync"];
    run(&[as_postgres(), &[&*initdb], &init].concat());
    let program = bin.join("postgres").to_str().expect("a name").to_owned();
    let port_text = port.to_string();
    let start = [
        "-D",
        &data,
        "-p",
        &port_text,
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "unix_socket_directories=",
    ];
    Server::start(&[as_postgres(), &[&*program], &start].concat(), port)
}

async fn pool(port: u16) -> PgPool {
    let url = format!("postgres://test@127.0.0.1:{port}/postgres");
    let options = PgPoolOptions::new().acquire_timeout(Duration::from_secs(2));
    let connecting = async {
        loop {
            match options.clone().connect(&url).await {
                Ok(pool) => return pool,
                // It listens before it takes anybody.
                Err(_starting) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), connecting).await.expect("PostgreSQL answers")
}

async fn processes(port: u16) -> Vec<PostgresTokens> {
    let (one, other) = (pool(port).await, pool(port).await);
    let processes = vec![PostgresTokens::new(one), PostgresTokens::new(other)];
    processes[0].migrate().await.expect("the tables are created");
    processes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: see tests/services/run"]
async fn restarted() {
    let folder = Folder::new();
    let mut postgres = postgres(&folder);
    let scene = Scene::of(processes(postgres.port).await).await;
    let tally = scene.suffer("PostgreSQL restarted, down for 3 s", async {
        postgres.stop();
        tokio::time::sleep(Duration::from_secs(3)).await;
        postgres.restart();
    });
    tally.await.assert_nobody_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: see tests/services/run"]
async fn killed() {
    let folder = Folder::new();
    let mut postgres = postgres(&folder);
    let scene = Scene::of(processes(postgres.port).await).await;
    let tally = scene.suffer("PostgreSQL killed for 3 s", async {
        postgres.kill();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let _ = std::fs::remove_file(folder.0.join("data/postmaster.pid"));
        postgres.restart();
    });
    tally.await.assert_nobody_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: see tests/services/run"]
async fn all_connections_ended() {
    let folder = Folder::new();
    let postgres = postgres(&folder);
    let scene = Scene::of(processes(postgres.port).await).await;
    let admin = pool(postgres.port).await;
    let tally = scene.suffer("pg_terminate_backend for every connection, three times", async {
        for _ in 0..3 {
            sqlx::query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE pid <> pg_backend_pid() AND usename = 'test'",
            )
            .execute(&admin)
            .await
            .expect("ended");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    tally.await.assert_nobody_lost();
}

/// PgBouncer in transaction mode, with so many connections to the server.
fn pgbouncer(folder: &Folder, postgres: &Server, connections: usize) -> Server {
    let (port, settings) = (free_port(), folder.0.join("pgbouncer.ini"));
    std::fs::write(
        &settings,
        format!(
            "[databases]\npostgres = host=127.0.0.1 port={} user=test\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = {connections}\nunix_socket_dir =\n\
             ignore_startup_parameters = extra_float_digits\n",
            postgres.port
        ),
    )
    .expect("written");
    hand_over(&folder.0);
    let settings = settings.to_str().expect("a name").to_owned();
    Server::start(&[as_postgres(), &["pgbouncer", &settings]].concat(), port)
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "needs PostgreSQL and PgBouncer: see tests/services/run"]
async fn behind_pgbouncer_in_transaction_mode() {
    let folder = Folder::new();
    let postgres = postgres(&folder);
    let pgbouncer = pgbouncer(&folder, &postgres, 3);
    let log = Log::of_this_thread();
    let scene = Scene::of(processes(pgbouncer.port).await).await;
    let tally = scene.suffer("PgBouncer in transaction mode", async {
        tokio::time::sleep(Duration::from_secs(5)).await;
    });
    tally.await.assert_nobody_lost();
    let told = log.text().matches("`PostgresTokens::listen_through`").count();
    assert_eq!(told, 2, "once per process: {}", log.text());
}

struct Nobody;

impl RecordListener for Nobody {
    fn listening(&self) {
        panic!("nothing can be heard through PgBouncer");
    }

    fn changed(&self, _: RecordKey) {}

    fn ended(&self, _: RecordKey, _: Ending) {}
}

/// A connection to the server that listens would send messages to whoever uses it next, and break
/// off what that does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL and PgBouncer: see tests/services/run"]
async fn nothing_listens_through_pgbouncer() {
    for connections in [1, 3] {
        let folder = Folder::new();
        let postgres = postgres(&folder);
        let pgbouncer = pgbouncer(&folder, &postgres, connections);
        let (direct, through) = (pool(postgres.port).await, pool(pgbouncer.port).await);
        let (tokens, locks) =
            (PostgresTokens::new(through.clone()), PostgresLock::new(through.clone()));
        tokens.migrate().await.expect("the tables are created");
        locks.migrate().await.expect("the table is created");
        let listening = tokio::spawn(async move { tokens.listen(&Nobody).await });
        let _guard = locks.acquire("a key").await.expect("free");
        let waiting = tokio::spawn(async move { locks.released("a key").await });

        for _ in 0..100 {
            for channel in ["token_records", "lock_leases"] {
                let notify = format!("NOTIFY {channel}, 'something'");
                sqlx::raw_sql(&notify).execute(&direct).await.expect("told");
            }
            sqlx::raw_sql("SELECT 1").execute(&through).await.expect("an answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(!waiting.is_finished(), "{connections} connections");
        waiting.abort();
        let refused = listening.await.expect("no panic").expect_err("it hears nothing");
        let StoreError::Backend(why) = refused else { panic!("{refused}") };
        assert!(why.to_string().contains("pooler"), "{connections} connections: {why}");
    }
}
