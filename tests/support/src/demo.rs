//! The example `demo` as a process that serves its page.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::program::build_example;

/// It ends with its handle.
pub struct Demo {
    pub url: String,
    /// What it has printed before it served.
    pub printed: String,
    _process: Child,
}

impl Demo {
    /// Returns when it serves.
    pub async fn start() -> Self {
        let mut command = Command::new(build_example("demo", &[]));
        command.arg("--serve").stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("the demo starts");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let mut printed = String::new();
        loop {
            let line = lines.next_line().await.expect("text").expect("a line with its URL");
            if let Some((_, url)) = line.split_once("open ") {
                let url = url.split(' ').next().unwrap_or_default().to_owned();
                return Self { url, printed, _process: process };
            }
            printed.push_str(&line);
            printed.push('\n');
        }
    }
}
