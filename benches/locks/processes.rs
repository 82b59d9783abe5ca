//! The other processes: this program, started again, which is sent lines and answers each with one.

use std::{env, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::scene::Scene;

/// Another process, which ends with its handle.
pub struct Process {
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Process {
    pub fn start(scene: &Scene) -> Self {
        let mut process = Command::new(env::current_exe().expect("this program"))
            .args(scene.child_arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("this program starts again");
        let to = process.stdin.take().expect("a pipe");
        let from = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        Self { to, from, _process: process }
    }

    pub async fn tell(&mut self, line: &str) {
        self.to.write_all(format!("{line}\n").as_bytes()).await.expect("the other process lives");
    }

    pub async fn answer(&mut self) -> String {
        self.from.next_line().await.expect("output").expect("the other process lives")
    }

    pub async fn ask(&mut self, line: &str) -> String {
        self.tell(line).await;
        self.answer().await
    }
}
