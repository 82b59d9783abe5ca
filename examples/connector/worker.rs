//! A process that runs the job, as seen by the one that starts it.

use std::{env, io, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::job::Setting;

/// It ends with this.
pub struct Worker {
    tell: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Worker {
    /// Starts this program once more and gives it the handles.
    pub async fn start(setting: &Setting, accounts: &[(String, String)]) -> io::Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .envs(setting.variables())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (mut tell, answers) = pipes.expect("both were asked for");
        for (user, handle) in accounts {
            tell.write_all(format!("{user} {handle}\n").as_bytes()).await?;
        }
        tell.write_all(b"\n").await?;
        Ok(Self { tell, answers: BufReader::new(answers).lines(), _process: process })
    }

    /// Runs the job once.
    pub async fn run(&mut self) -> io::Result<()> {
        self.tell.write_all(b"run\n").await?;
        match self.answers.next_line().await? {
            Some(_) => Ok(()),
            None => Err(io::Error::other("a process has ended")),
        }
    }
}
