//! The example as a process that serves.

use std::{
    net::TcpListener,
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    time::sleep,
};

/// The bff on a free port, with sessions in memory. It ends with its handle, even if it is frozen.
pub struct Running {
    pub url: String,
    process: Child,
    log: Log,
}

/// What a process has written to stderr so far.
type Log = Arc<Mutex<String>>;

impl Running {
    /// Starts it before a provider and an API, with more settings; returns when it serves.
    pub async fn start(
        program: &Path,
        issuer_url: &str,
        client_id: &str,
        upstream_url: &str,
        more: &[(&str, &str)],
    ) -> Self {
        let url = free_url();
        Self::start_at(&url, program, issuer_url, client_id, upstream_url, more).await
    }

    /// The same at a URL that somebody had to know before.
    pub async fn start_at(
        url: &str,
        program: &Path,
        issuer_url: &str,
        client_id: &str,
        upstream_url: &str,
        more: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs([
                ("ISSUER_URL", issuer_url),
                ("CLIENT_ID", client_id),
                ("CLIENT_SECRET", "secret"),
            ])
            .envs([
                ("UPSTREAM_URL", upstream_url),
                ("BASE_URL", url),
                ("LISTEN", url.trim_start_matches("http://")),
            ])
            .envs(more.iter().copied());
        Self::serving(spawn(command), url.to_owned()).await
    }

    /// Starts its demo, which says itself where it is.
    pub async fn demo(program: &Path) -> Self {
        let mut command = Command::new(program);
        command.arg("--demo").env_clear().stdout(Stdio::piped());
        let mut process = spawn(command);
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let url = lines.next_line().await.expect("text").expect("its URL");
        Self::serving(process, url).await
    }

    async fn serving(mut process: Child, url: String) -> Self {
        let log = Log::default();
        tokio::spawn(keep(process.stderr.take().expect("a pipe"), log.clone()));
        let mut running = Self { url, process, log };
        let health = format!("{}/healthz", running.url);
        while !reqwest::get(&health).await.is_ok_and(|answer| answer.status().is_success()) {
            let ended = running.process.try_wait().expect("a process");
            assert!(ended.is_none(), "the bff ended: {ended:?}\n{}", running.log());
            sleep(Duration::from_millis(50)).await;
        }
        running
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It dies at once, without a word (SIGKILL).
    pub async fn kill(&mut self) {
        self.process.kill().await.expect("it runs");
    }

    /// It stands still until it is thawed (SIGSTOP).
    pub async fn freeze(&self) {
        self.signal("STOP").await;
    }

    pub async fn thaw(&self) {
        self.signal("CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let id = self.process.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status().await;
        assert!(sent.expect("kill runs").success());
    }
}

fn spawn(mut command: Command) -> Child {
    command.stderr(Stdio::piped()).kill_on_drop(true).spawn().expect("the bff starts")
}

async fn keep(output: impl AsyncRead + Unpin, log: Log) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push_str(&line);
        log.push('\n');
    }
}

/// Where nobody listens yet.
pub fn free_url() -> String {
    format!("http://127.0.0.1:{}", free_port())
}

/// Below the range from which outgoing connections get theirs, and never the same one twice: nobody
/// else takes it before the process does.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let nth = std::process::id().wrapping_mul(97) + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 15_000 + u16::try_from(nth % 15_000).expect("a small number");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
