//! Many requests on a bounded number of connections. All of them are written before any answer is
//! read, so a test knows when nothing is left to be sent.

use std::time::Duration;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use crate::{report::Answers, visitor::Visitor};

/// So that a hang fails a test; nothing else hangs on it.
const PATIENCE: Duration = Duration::from_secs(90);

/// How many requests, on how many connections. Each connection carries the same number, one behind
/// the other (HTTP/1.1 pipelining).
#[derive(Clone, Copy)]
pub struct Load {
    pub requests: usize,
    pub connections: usize,
}

/// What came back. The status is 0 if the connection broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// Requests that are under way.
pub struct Storm {
    connections: usize,
    written: watch::Receiver<usize>,
    answers: Vec<JoinHandle<Vec<Answer>>>,
}

impl Storm {
    /// Spreads the connections over these processes in turn.
    pub fn begin(urls: &[&str], visitor: &Visitor, load: Load) -> Self {
        let Load { requests, connections } = load;
        assert_eq!(requests % connections, 0, "each connection carries the same number");
        let (counter, written) = watch::channel(0);
        let each = requests / connections;
        let connection = |nth: usize| {
            let authority = urls[nth % urls.len()].trim_start_matches("http://").to_owned();
            let request = format!(
                "GET /api/orders HTTP/1.1\r\nhost: {authority}\r\ncookie: {}\r\n\r\n",
                visitor.cookie
            );
            let counter = counter.clone();
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(&authority).await.expect("the process listens");
                stream.write_all(request.repeat(each).as_bytes()).await.expect("written");
                counter.send_modify(|count| *count += 1);
                let mut answers = BufReader::new(stream);
                let mut read = Vec::new();
                for _ in 0..each {
                    let broken = Answer { status: 0, body: String::new() };
                    read.push(answer(&mut answers).await.unwrap_or(broken));
                }
                read
            })
        };
        Self { connections, written, answers: (0..connections).map(connection).collect() }
    }

    /// Waits until every request has been written.
    pub async fn written(&mut self) {
        let all = self.written.wait_for(|count| *count == self.connections);
        timeout(PATIENCE, all).await.expect("the processes accept").expect("it counts");
    }

    pub async fn answers(self) -> Answers {
        let mut all = Vec::new();
        for answers in self.answers {
            let answers = timeout(PATIENCE, answers).await.expect("no request hangs");
            all.extend(answers.expect("no panic"));
        }
        Answers(all)
    }
}

/// One request on a connection of its own.
pub async fn ask(url: &str, visitor: &Visitor) -> Answer {
    let load = Load { requests: 1, connections: 1 };
    let mut answers = Storm::begin(&[url], visitor, load).answers().await;
    answers.0.pop().expect("one answer")
}

/// The next answer on a connection: none if that broke.
async fn answer(connection: &mut BufReader<TcpStream>) -> Option<Answer> {
    let mut line = String::new();
    connection.read_line(&mut line).await.ok()?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let mut length = 0;
    loop {
        line.clear();
        connection.read_line(&mut line).await.ok()?;
        if line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.ok()?;
    Some(Answer { status, body: String::from_utf8(body).expect("text") })
}
