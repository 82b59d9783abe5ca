//! Two requests of one session, a flight that stops where it is told to, and what is left when all
//! is over.

use std::{sync::Arc, time::Duration};

use metrics::{
    Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use tokio::{sync::watch, task::JoinHandle};
use tower_sessions::{Session, session::Id};
use tower_token_refresh::{
    AccessToken, Logout, LogoutOutcome, RefreshError,
    testing::{self, Endpoint},
    token_store::Put,
    tower_sessions,
};

use super::{Gate, StoredTokens, TokenOp, World, tokens};

/// The access token that another process has stored.
pub const ELSEWHERE: &str = "stored-elsewhere";

/// Where a flight can be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Station {
    BeforeRead,
    AfterRead,
    BeforeMark,
    AfterMark,
    BeforePost,
    AfterPost,
    BeforePut,
    AfterPut,
}

/// Runs each test at each station of a flight, on every store that works without a service.
#[macro_export]
macro_rules! at_every_gate {
    ($(async fn $name:ident($world:ident: World, $at:ident: Station) $body:block)*) => {$(
        async fn $name($world: $crate::World, $at: $crate::races::Station) $body

        mod $name {
            $crate::stations!(
                $name,
                before_the_read BeforeRead,
                after_the_read AfterRead,
                before_the_mark BeforeMark,
                after_the_mark AfterMark,
                before_the_post BeforePost,
                after_the_post AfterPost,
                before_the_put BeforePut,
                after_the_put AfterPut,
            );
        }
    )*};
}
#[macro_export]
macro_rules! stations {
    ($name:ident, $($module:ident $station:ident,)*) => {$(
        mod $module {
            use $crate::{World, races::Station::$station};

            #[tokio::test]
            async fn on_memory() {
                super::super::$name(World::on_memory(), $station).await;
            }

            #[tokio::test]
            async fn on_sqlite() {
                super::super::$name(World::on_sqlite().await, $station).await;
            }

            #[tokio::test]
            async fn on_swapping() {
                super::super::$name(World::on_swapping(), $station).await;
            }
        }
    )*};
}

/// A flight that stands at a station, and the request that waits for it.
pub struct Flight {
    pub session: Session,
    pub waiter: JoinHandle<Result<AccessToken, RefreshError>>,
    gate: AnyGate,
    landings: watch::Receiver<usize>,
}

enum AnyGate {
    Store(Gate),
    Issuer(testing::Gate),
}

impl Flight {
    pub fn open(&self) {
        match &self.gate {
            AnyGate::Store(gate) => gate.open(),
            AnyGate::Issuer(gate) => gate.open(),
        }
    }

    /// Opens the gate and gives what the waiter got, once the flight has done all it does.
    pub async fn land(mut self) -> Result<AccessToken, RefreshError> {
        self.open();
        self.landings.changed().await.expect("flights are counted");
        self.waiter.await.expect("no panic")
    }

    /// What the waiter gets while the flight still stands.
    pub async fn answer_meanwhile(&mut self) -> Result<AccessToken, RefreshError> {
        (&mut self.waiter).await.expect("no panic")
    }

    /// The client of the request that waits for it goes away.
    pub async fn client_leaves(&mut self) {
        self.waiter.abort();
        let ended = (&mut self.waiter).await;
        assert!(ended.is_err_and(|error| error.is_cancelled()), "the request was still waiting");
    }

    /// Opens the gate, and waits for the end of a flight whose waiter has its answer.
    pub async fn land_alone(mut self) {
        self.open();
        self.landings.changed().await.expect("flights are counted");
    }
}

impl World {
    /// A refresh from the first step to the last.
    pub async fn refresh(&self, id: Id) -> AccessToken {
        self.expire();
        let session = self.session(id);
        self.refresher.valid_token(&session).await.expect("refreshed")
    }

    /// The tokens expire, a request asks for new ones, and its flight stops at `at`.
    pub async fn flight_at(&self, at: Station, id: Id) -> Flight {
        let session = self.request(id).await;
        self.expire();
        self.flight_of(at, session).await
    }

    /// As [`flight_at`](Self::flight_at), for a session that is loaded and whose tokens have
    /// expired.
    pub async fn flight_of(&self, at: Station, session: Session) -> Flight {
        let gate = match at {
            Station::BeforeRead => AnyGate::Store(self.tokens.gate_before(TokenOp::Load)),
            Station::AfterRead => AnyGate::Store(self.tokens.gate_after(TokenOp::Load)),
            Station::BeforeMark => AnyGate::Store(self.tokens.gate_before(TokenOp::Swap)),
            Station::AfterMark => AnyGate::Store(self.tokens.gate_after(TokenOp::Swap)),
            Station::BeforePost => AnyGate::Issuer(self.issuer.gate_before(Endpoint::Token)),
            Station::AfterPost => AnyGate::Issuer(self.issuer.gate_after(Endpoint::Token)),
            Station::BeforePut => AnyGate::Store(self.tokens.gate_before(TokenOp::Put)),
            Station::AfterPut => AnyGate::Store(self.tokens.gate_after(TokenOp::Put)),
        };
        let landings = landings();
        let mut waiter = self.ask(&session);
        let reached = async {
            match &gate {
                AnyGate::Store(gate) => gate.reached().await,
                AnyGate::Issuer(gate) => gate.reached().await,
            }
        };
        tokio::select! {
            biased;
            () = reached => {}
            answered = &mut waiter => panic!("no flight came to {at:?}: {:?}", answered.expect("no panic")),
        }
        Flight { session, waiter, gate, landings }
    }

    /// Logs out in a task of its own.
    pub fn log_out(
        &self,
        session: &Session,
        how: Logout,
    ) -> JoinHandle<Result<LogoutOutcome, RefreshError>> {
        let (refresher, session) = (self.refresher.clone(), session.clone());
        tokio::spawn(async move { refresher.log_out(&session, how).await })
    }

    /// This process forgets the access tokens that it has in its cache.
    pub async fn forget_tokens(&self) {
        // One sweep finds what was in use until then, the next one that it no longer is.
        for _ in 0..2 {
            self.clock.advance(Duration::from_secs(61));
            self.log_in("somebody else").await;
        }
    }

    /// The login behind the session is refreshed, and the store refuses its new set from now on.
    pub async fn refuse_the_next_set(&self, id: Id) {
        self.expire();
        self.tokens.refuse(TokenOp::Put);
        self.refresher.valid_token(&self.session(id)).await.expect("served all the same");
    }

    /// Another process stores a set of `generation` for the login behind the session, whose access
    /// token is [`ELSEWHERE`]. Its record is not sealed.
    pub async fn store_elsewhere(&self, id: Id, generation: u64) -> Put {
        let grant = self.pointer(id).await.expect("the session points to a login");
        let key = tokens::key_of(&grant);
        let stored = self.tokens.peek(key).await.expect("there is a record");
        let newer = tokens::changed(&stored, |record| {
            let expires_at = record["expires_at"].as_u64().expect("a time") + 3_600_000;
            record["expires_at"] = expires_at.into();
            record["generation"] = generation.into();
            record["state"] = "live".into();
            record["nonce"] = "00000000000000bb".into();
            record["tokens"]["access_token"] = ELSEWHERE.into();
        });
        self.tokens
            .inner()
            .put_newer(key, &newer, &[])
            .await
            .expect("the inner store does not fail")
    }

    /// Every session that points to live tokens of `user`, and their generation.
    pub async fn held_by(&self, user: &str) -> Vec<(Id, u64)> {
        let subject = self.issuer.subject_of(user);
        let mut held = Vec::new();
        for record in self.sessions.records().await {
            match self.stored_tokens(record.id).await {
                StoredTokens::Live { generation, payload, .. }
                    if payload["subject"] == subject.as_str() =>
                {
                    held.push((record.id, generation));
                }
                _ => {}
            }
        }
        held
    }

    /// Nothing that the provider has ever handed out is good for anything.
    pub fn assert_dead_at_the_provider(&self) {
        for token in self.issuer.every_secret() {
            assert!(!self.issuer.is_access_token_live(&token), "an access token is still live");
            assert!(!self.issuer.is_refresh_token_live(&token), "a refresh token is still live");
        }
    }
}

/// Counts the flights of this test that have done all they do, from now on.
fn landings() -> watch::Receiver<usize> {
    thread_local! {
        static LANDED: watch::Sender<usize> = {
            let landed = watch::Sender::new(0);
            let recorder: &'static Landings = Box::leak(Box::new(Landings(landed.clone())));
            // The recorder stays for as long as the test's thread.
            #[expect(clippy::mem_forget, reason = "its guard would take it away again")]
            std::mem::forget(metrics::set_default_local_recorder(recorder));
            landed
        };
    }
    LANDED.with(watch::Sender::subscribe)
}

struct Landings(watch::Sender<usize>);

struct Landed(watch::Sender<usize>);

impl CounterFn for Landed {
    fn increment(&self, value: u64) {
        // It begins with 0, and that is no flight.
        let landed = usize::try_from(value).expect("few");
        self.0.send_if_modified(|all| {
            *all += landed;
            landed > 0
        });
    }

    fn absolute(&self, _value: u64) {}
}

impl Recorder for Landings {
    fn describe_counter(&self, _key: KeyName, _unit: Option<Unit>, _text: SharedString) {}

    fn describe_gauge(&self, _key: KeyName, _unit: Option<Unit>, _text: SharedString) {}

    fn describe_histogram(&self, _key: KeyName, _unit: Option<Unit>, _text: SharedString) {}

    fn register_counter(&self, key: &Key, _metadata: &Metadata<'_>) -> Counter {
        match key.name() {
            "token_refresh_flights_total" => Counter::from_arc(Arc::new(Landed(self.0.clone()))),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, _key: &Key, _metadata: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
