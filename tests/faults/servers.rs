//! Servers that a test starts, kills and sends to sleep.

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::Duration,
};

use support::stores;
use tower_token_refresh::Clock;
use uuid::Uuid;

/// Real time, since some moment before the test.
pub fn now() -> Duration {
    static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::system);
    CLOCK.monotonic()
}

/// A folder that goes when the test is done.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("faults-{}", Uuid::new_v4().simple()));
        std::fs::create_dir(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A program that runs, and is killed at the end.
pub struct Server {
    command: Vec<String>,
    pub port: u16,
    child: Child,
}

impl Server {
    /// Starts `command` and waits until it listens on `port`.
    pub fn start(command: &[&str], port: u16) -> Self {
        let command: Vec<_> = command.iter().map(|&part| part.to_owned()).collect();
        let child = spawn(&command);
        let server = Self { command, port, child };
        server.until_it_listens();
        server
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    pub fn restart(&mut self) {
        self.child = spawn(&self.command);
        self.until_it_listens();
    }

    pub fn sleep(&self) {
        self.signal("STOP");
    }

    pub fn wake(&self) {
        self.signal("CONT");
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(&mut self) {
        self.signal("INT");
        self.child.wait().expect("it ends");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{signal}"), &*pid]).status();
        assert!(status.expect("kill runs").success());
    }

    fn until_it_listens(&self) {
        let patience = now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(now() < patience, "{:?} does not listen", self.command);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &[String]) -> Child {
    let (program, arguments) = command.split_first().expect("a program");
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| panic!("{program} does not start: {error}"))
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Redis, which writes each change to disk before it answers.
pub fn redis(folder: &Path, more: &[&str]) -> Server {
    let port = free_port();
    let (port_text, folder) = (port.to_string(), folder.to_str().expect("a name").to_owned());
    let mut command = vec![
        "redis-server",
        "--bind",
        "127.0.0.1",
        "--port",
        &port_text,
        "--dir",
        &folder,
        "--save",
        "",
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--appenddirname",
        &port_text,
    ];
    command.extend(more);
    Server::start(&command, port)
}

pub fn url_of(server: &Server) -> String {
    format!("redis://127.0.0.1:{}", server.port)
}

/// Runs `redis-cli` and gives what it prints.
pub fn redis_cli(port: u16, arguments: &[&str]) -> String {
    stores::redis_cli(&format!("redis://127.0.0.1:{port}"), arguments)
}
