//! The upstream as a process of its own.

use std::{env, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
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
    let url =
        BufReader::new(output).lines().next_line().await.expect("output").expect("an address");
    Server { url, _process: process }
}
