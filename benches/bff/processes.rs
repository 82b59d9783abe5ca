//! The processes that are measured.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
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

/// Builds the example as its users would; gives the program.
pub fn build_bff() -> PathBuf {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["build", "--release", "--example", "bff", "--message-format=json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "the bff does not build");
    let messages = String::from_utf8(output.stdout).expect("cargo speaks UTF-8");
    let of_bff = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == "bff").then(|| message["executable"].as_str().map(PathBuf::from))?
    };
    messages.lines().find_map(of_bff).expect("cargo names the program")
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
