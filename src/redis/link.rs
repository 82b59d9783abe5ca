//! One connection, to a server or to a cluster.

use ::redis::{
    Cmd, FromRedisValue, RedisResult, aio::MultiplexedConnection, cluster_async::ClusterConnection,
    cmd,
};

#[derive(Clone)]
pub(super) enum Link {
    Single(MultiplexedConnection),
    Cluster(Box<ClusterConnection>),
}

/// Whether a command may be sent again when its answer got lost. A cluster's client does that by
/// itself, whatever this says: there a release that is repeated answers that the lock was lost, and
/// a session that is created twice leaves a record behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    Never,
    Once,
}

impl Link {
    pub(super) async fn send<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::Single(link) => command.query_async(link).await,
            Self::Cluster(link) => command.query_async(&mut **link).await,
        }
    }

    /// A cluster heals by itself: one of its nodes may be down while the others are well.
    pub(super) fn heals_itself(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }
}

/// A command that runs `script` over `key`. Deliberately with its text each time: a node of a
/// cluster that has just been started knows no script, and its other nodes may be down.
pub(crate) fn eval(script: &str, key: &str) -> Cmd {
    let mut eval = cmd("EVAL");
    eval.arg(script).arg(1).arg(key);
    eval
}
