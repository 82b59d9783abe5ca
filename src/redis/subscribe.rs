//! What Redis publishes, over a connection of its own.

use std::error::Error;

use ::redis::{Client, RedisError, RedisResult, aio::PubSub};
use futures_util::StreamExt;

use super::{NODE_TIMEOUT, RESPONSE_TIMEOUT, Redis, Servers, in_time};
use crate::keep_listening::QUIET;

impl Redis {
    /// Passes on what is published in `channel`, over a connection of its own, until that is lost.
    /// Gives the reason. `begun`: from now on nothing is missed.
    pub(crate) async fn receive_until_lost(
        &self,
        channel: &str,
        begun: impl FnOnce() + Send,
        mut pass_on: impl FnMut(&str) + Send,
    ) -> Box<dyn Error + Send + Sync + 'static> {
        let (mut sink, mut messages) = match self.subscribe(channel).await {
            Ok(heard) => heard.split(),
            Err(error) => return error.into(),
        };
        begun();
        loop {
            match tokio::time::timeout(QUIET, messages.next()).await {
                Ok(Some(message)) => {
                    if let Ok(message) = std::str::from_utf8(message.get_payload_bytes()) {
                        pass_on(message);
                    }
                }
                Ok(None) => return "the connection was closed".into(),
                // A connection may break without a word.
                Err(_quiet) => {
                    match tokio::time::timeout(RESPONSE_TIMEOUT, sink.ping::<()>()).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => return error.into(),
                        Err(_elapsed) => return "the connection does not answer".into(),
                    }
                }
            }
        }
    }

    async fn subscribe(&self, channel: &str) -> RedisResult<PubSub> {
        let subscribing = async {
            let mut heard = match &self.inner.servers {
                Servers::Single(client) => client.get_async_pubsub().await?,
                Servers::Sentinel(sentinels) => {
                    let master = sentinels.listening.lock().await.async_get_client().await?;
                    master.get_async_pubsub().await?
                }
                // Any node hears what is published at any other.
                Servers::Cluster { nodes, .. } => subscribe_to_any(nodes).await?,
            };
            heard.subscribe(channel).await?;
            Ok(heard)
        };
        in_time(self.inner.limit(), subscribing).await
    }
}

async fn subscribe_to_any(nodes: &[Client]) -> RedisResult<PubSub> {
    let mut failed = RedisError::from((::redis::ErrorKind::Io, "there are no nodes"));
    for node in nodes {
        match in_time(NODE_TIMEOUT, node.get_async_pubsub()).await {
            Ok(heard) => return Ok(heard),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
