//! Worlds on the stores that need a server.

use support::stores;

use super::world::Told;

impl Told {
    pub async fn on_redis() -> Self {
        Self::on(stores::redis().await, |builder| builder)
    }

    pub async fn on_postgres() -> Self {
        Self::on(stores::postgres().await, |builder| builder)
    }
}
