//! The spans of a refresh, as a collector of traces gets them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use support::{World, settle};
use tower_token_refresh::testing::Endpoint;
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::DefaultGuard,
};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt, registry::LookupSpan};

#[derive(Default, Debug, Clone)]
struct Seen {
    name: &'static str,
    parent: Option<u64>,
    follows: Vec<u64>,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

#[derive(Default, Clone)]
struct Spans(Arc<Mutex<BTreeMap<u64, Seen>>>);

impl Spans {
    /// Those of this test's thread, for as long as the guard lives.
    fn collecting() -> (Self, DefaultGuard) {
        let spans = Self::default();
        let subscriber = tracing_subscriber::registry().with(spans.clone());
        (spans, tracing::subscriber::set_default(subscriber))
    }

    fn change(&self, id: &Id, change: impl FnOnce(&mut Seen)) {
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(spans.entry(id.into_u64()).or_default());
    }

    fn named(&self, name: &str) -> Vec<(u64, Seen)> {
        let spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let named = spans.iter().filter(|(_, seen)| seen.name == name);
        named.map(|(id, seen)| (*id, seen.clone())).collect()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let parent = context.span(id).and_then(|span| span.parent().map(|of| of.id().into_u64()));
        self.change(id, |seen| {
            (seen.name, seen.parent) = (attributes.metadata().name(), parent);
            attributes.record(seen);
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        self.change(id, |seen| values.record(seen));
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, _: Context<'_, S>) {
        self.change(id, |seen| seen.follows.push(follows.into_u64()));
    }
}

#[tokio::test]
async fn waiters_follow_from_the_one_refresh_that_asked_the_provider() {
    let (spans, _collecting) = Spans::collecting();
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    world.expire();
    let gate = world.issuer.gate_before(Endpoint::Token);
    let asked: Vec<_> = (0..5).map(|_| world.ask(&world.session(id))).collect();
    gate.reached().await;
    settle().await;
    gate.open();
    for asked in asked {
        asked.await.unwrap().expect("a token");
    }

    let flights = spans.named("token_refresh.flight");
    let [(flight, seen)] = &flights[..] else { panic!("{flights:?}") };
    assert_eq!(seen.fields["outcome"], "refreshed");
    let requests = spans.named("token_refresh.request");
    assert_eq!(requests.len(), 5);
    assert!(requests.iter().all(|(_, request)| request.follows == [*flight]), "{requests:?}");
    let posts = spans.named("token_refresh.token_request");
    let [(_, post)] = &posts[..] else { panic!("{posts:?}") };
    assert_eq!(post.parent, Some(*flight));
    for (field, value) in [
        ("otel.kind", "client"),
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
    ] {
        assert_eq!(post.fields[field], value);
    }
    let of_flight = spans.named("token_refresh.store");
    let mut operations = of_flight.iter().filter(|(_, store)| store.parent == Some(*flight));
    let mut next = || operations.next().map(|(_, store)| store.fields["operation"].clone());
    assert_eq!([next(), next(), next()], ["load", "swap", "put"].map(|name| Some(name.to_owned())));

    // Whoever waits for nobody has none.
    world.refresher.valid_token(&world.session(id)).await.expect("a token");
    assert_eq!(spans.named("token_refresh.request").len(), 5);
}

#[tokio::test]
async fn a_request_that_failed_says_why() {
    let (spans, _collecting) = Spans::collecting();
    let world = World::on_swapping();
    let id = world.log_in("alice").await;
    world.expire();
    world.issuer.fail_next_oauth(400, "invalid_client");
    assert!(world.refresher.valid_token(&world.session(id)).await.is_err());
    let posts = spans.named("token_refresh.token_request");
    assert_eq!(posts[0].1.fields["http.response.status_code"], "400");
    assert_eq!(posts[0].1.fields["error.type"], "rejected");
}
