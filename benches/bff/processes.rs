//! The processes that are measured.

use std::{env, path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
    time::sleep,
};

pub const SERVE_UPSTREAM: &str = "serve-upstream";

/// A server that ends with its handle.
pub struct Server {
    pub url: String,
    _process: Child,
}

pub async fn start_upstream() -> Server {
    let mut process = Command::new(env::current_exe().expect("this program"))
        .arg(SERVE_UPSTREAM)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("this program starts again");
    let output = process.stdout.take().expect("a pipe");
    let url = BufReader::new(output).lines().next_line().await.expect("output").expect("an address");
    Server { url, _process: process }
}

/// The bff on a free port, with sessions in memory.
pub async fn start_bff(program: &Path, issuer_url: &str, upstream: &Server) -> Server {
    let port = free_port().await;
    let url = format!("http://127.0.0.1:{port}");
    let mut process = Command::new(program)
        .env_clear()
        .envs([("ISSUER_URL", issuer_url), ("CLIENT_ID", "web"), ("CLIENT_SECRET", "secret")])
        .envs([("UPSTREAM_URL", upstream.url.as_str()), ("BASE_URL", url.as_str())])
        .kill_on_drop(true)
        .spawn()
        .expect("the bff starts");
    let health = format!("{url}/healthz");
    loop {
        if reqwest::get(&health).await.is_ok_and(|answer| answer.status().is_success()) {
            return Server { url, _process: process };
        }
        let ended = process.try_wait().expect("a process");
        assert!(ended.is_none(), "the bff ended: {ended:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    listener.local_addr().expect("an address").port()
}
