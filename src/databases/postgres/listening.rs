//! A connection that is notified of what others do.

use std::{
    error::Error,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use sqlx::{
    Executor, PgPool, Postgres,
    postgres::{PgListener, PgPoolOptions},
};
use uuid::Uuid;

use super::{Transaction, rows};
use crate::{keep_listening::QUIET, tokens::jitter};

/// How long whoever cannot listen behind a pooler waits before the next attempt.
const LISTEN_RETRY: Duration = Duration::from_secs(60);
/// How often a connection is asked whether it is always the same one at the server.
const POOLER_PROBES: usize = 10;
/// The longest pause between two such questions. Without pauses of different lengths, questions and
/// the statements of others fall into step, and a pooler gives the same one again and again.
const LONGEST_PAUSE: Duration = Duration::from_millis(40);
/// How long a connection may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Listens, and remembers that it could not.
#[derive(Default)]
pub(crate) struct Listening {
    is_pooled: AtomicBool,
}

impl Listening {
    /// A connection as those of `pool` that is told what happens in `channel`. It fails behind a
    /// pooler that gives each transaction another connection to the server, such as PgBouncer in
    /// transaction mode. The next call waits for a minute before it looks again: the pooler may have
    /// been slow only.
    ///
    /// `others` is the pool that the other statements go through.
    pub(crate) async fn begin(
        &self,
        pool: &PgPool,
        others: &PgPool,
        channel: &str,
    ) -> Result<PgListener, Box<dyn Error + Send + Sync + 'static>> {
        if self.is_pooled.load(Ordering::Relaxed) {
            tokio::time::sleep(LISTEN_RETRY).await;
        }
        let listening = listen(pool, others, channel).await;
        let listening =
            listening.map_err(|error| crate::databases::without_rows("PostgreSQL", error))?;
        self.is_pooled.store(listening.is_none(), Ordering::Relaxed);
        listening.ok_or_else(|| {
            "behind a pooler such as PgBouncer, PostgreSQL notifies nobody; \
             `PostgresTokens::listen_through` takes a pool of connections without one"
                .into()
        })
    }
}

/// None behind such a pooler: whoever used the listening connection next would get the messages, and
/// sqlx breaks off what it does not expect.
async fn listen(pool: &PgPool, others: &PgPool, channel: &str) -> sqlx::Result<Option<PgListener>> {
    // In a pool of its own: a listener that broke without a word would keep its place in yours.
    let options = (*pool.connect_options()).clone();
    let own = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    let mut listener = PgListener::connect_with(&own).await?;
    let Some(mine) = server_process(&mut listener).await? else { return Ok(None) };
    for _ in 0..POOLER_PROBES {
        // A pooler gives out first what it got back last: after this question, that is ours.
        if server_process(&mut listener).await? != Some(mine) {
            return Ok(None);
        }
        let mut other = Transaction::begin(others).await?;
        let theirs = server_process(&mut *other).await?;
        // While the other one is in a transaction, a pooler cannot give this one the same again.
        let is_mine_alone =
            theirs != Some(mine) && server_process(&mut listener).await? == Some(mine);
        other.rollback().await?;
        if !is_mine_alone {
            return Ok(None);
        }
        tokio::time::sleep(LONGEST_PAUSE.mul_f64(jitter(Uuid::new_v4()))).await;
    }
    listener.listen(channel).await?;
    Ok(Some(listener))
}

/// Which process of the server answers. None if none does: a pooler may have none to spare.
async fn server_process<'c>(
    by: impl Executor<'c, Database = Postgres>,
) -> sqlx::Result<Option<i32>> {
    let asking = rows::<(i32,)>(by, "SELECT pg_backend_pid()");
    match tokio::time::timeout(ANSWER, asking).await {
        Ok(answer) => Ok(answer?.pop().map(|(process,)| process)),
        Err(_elapsed) => Ok(None),
    }
}

/// Passes on what is told, until the connection is lost. Gives the reason.
pub(crate) async fn receive_until_lost(
    mut heard: PgListener,
    mut pass_on: impl FnMut(&str) + Send,
) -> Box<dyn Error + Send + Sync + 'static> {
    let failed = |error| crate::databases::without_rows("PostgreSQL", error);
    loop {
        match tokio::time::timeout(QUIET, heard.try_recv()).await {
            Ok(Ok(Some(message))) => pass_on(message.payload()),
            Ok(Ok(None)) => return "the connection was closed".into(),
            Ok(Err(error)) => return failed(error),
            // A connection may break without a word.
            Err(_quiet) => match tokio::time::timeout(ANSWER, heard.execute("SELECT 1")).await {
                Ok(Ok(_answer)) => {}
                Ok(Err(error)) => return failed(error),
                Err(_elapsed) => return "the connection does not answer".into(),
            },
        }
    }
}
