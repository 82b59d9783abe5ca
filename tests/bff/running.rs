//! The example as a process that serves.

use std::{path::Path, time::Duration};

use tokio::{
    net::TcpListener,
    process::{Child, Command},
    time::sleep,
};

/// The bff on a free port, with sessions in memory. It ends with its handle.
pub struct Running {
    pub url: String,
    _process: Child,
}

impl Running {
    /// Starts it before a provider and an API, with more settings; returns when it serves.
    pub async fn start(
        program: &Path,
        issuer_url: &str,
        client_id: &str,
        upstream_url: &str,
        more: &[(&str, &str)],
    ) -> Self {
        let url = format!("http://127.0.0.1:{}", free_port().await);
        let mut process = Command::new(program)
            .env_clear()
            .envs([
                ("ISSUER_URL", issuer_url),
                ("CLIENT_ID", client_id),
                ("CLIENT_SECRET", "secret"),
            ])
            .envs([("UPSTREAM_URL", upstream_url), ("BASE_URL", url.as_str())])
            .envs(more.iter().copied())
            .kill_on_drop(true)
            .spawn()
            .expect("the bff starts");
        let health = format!("{url}/healthz");
        while !reqwest::get(&health).await.is_ok_and(|answer| answer.status().is_success()) {
            let ended = process.try_wait().expect("a process");
            assert!(ended.is_none(), "the bff ended: {ended:?}");
            sleep(Duration::from_millis(50)).await;
        }
        Self { url, _process: process }
    }
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    listener.local_addr().expect("an address").port()
}
