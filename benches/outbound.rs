//! What a call that goes out pays for its token, against the caches one would write by hand.
//!
//! All variants take turns in small blocks, on one thread and then on two at once; the layer is
//! measured around a service that does nothing.

mod common;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::{black_box, spin_loop},
    sync::{
        Arc, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use common::{ACCESS_TOKEN_BYTES, Samples, print_goal, token_response};
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use tokio::sync::Semaphore;
use tower::{Layer, Service};
use tower_token_refresh::{ApiHosts, BearerLayer, ServiceTokens, TokenSet};

const ROUNDS: usize = 400;
const CALLS: usize = 2_000;

/// What code written by hand keeps.
#[derive(Clone)]
struct Held {
    header: HeaderValue,
    expires_at: SystemTime,
}

/// A token that is kept in one way or another.
#[derive(Clone)]
enum Cache {
    Ours(ServiceTokens),
    AsyncRwLock(Arc<tokio::sync::RwLock<Option<Held>>>),
    ArcSwap(Arc<ArcSwap<Held>>),
    /// Nothing is kept: what every other variant pays as well.
    Bare(Arc<Held>),
    /// A read lock for the look, a semaphore with one permit for the fetch.
    Semaphore(Arc<(RwLock<Option<Held>>, Semaphore)>),
}

impl Cache {
    async fn header(&self) -> HeaderValue {
        match self {
            Self::Ours(tokens) => tokens.token().await.expect("a token").header(),
            Self::AsyncRwLock(held) => {
                let held = held.read().await;
                let held = held.as_ref().filter(|held| is_fresh(held));
                held.expect("it lives for an hour").header.clone()
            }
            Self::ArcSwap(held) => {
                let held = held.load();
                assert!(is_fresh(&held), "it lives for an hour");
                held.header.clone()
            }
            Self::Bare(held) => {
                assert!(is_fresh(held), "it lives for an hour");
                held.header.clone()
            }
            Self::Semaphore(cache) => {
                let held = cache.0.read().expect("nothing panics").clone();
                match held.filter(is_fresh) {
                    Some(held) => held.header,
                    None => {
                        let _permit = cache.1.acquire().await;
                        unreachable!("it lives for an hour")
                    }
                }
            }
        }
    }
}

fn main() {
    let runtime = common::runtime();
    let _inside = runtime.enter();
    let tokens = ServiceTokens::from_fn(|_| async {
        TokenSet::from_response(token_response("service"))
            .map(|set| set.with_expires_at(in_an_hour()))
    });
    runtime.block_on(tokens.warm_up()).expect("a token");
    let header = runtime.block_on(tokens.token()).expect("a token").header();
    let held = Held { header, expires_at: in_an_hour() };
    let caches = [
        ("ServiceTokens", Cache::Ours(tokens.clone())),
        ("tokio RwLock<Option<Token>>", Cache::AsyncRwLock(Arc::new(Some(held.clone()).into()))),
        ("ArcSwap<Token>", Cache::ArcSwap(Arc::new(ArcSwap::from_pointee(held.clone())))),
        (
            "a lock and a semaphore",
            Cache::Semaphore(Arc::new((RwLock::new(Some(held.clone())), Semaphore::new(1)))),
        ),
        ("the clock and the header alone", Cache::Bare(Arc::new(held))),
    ];
    println!(
        "\nA valid token of {ACCESS_TOKEN_BYTES} B and its header: ns per call, medians of {ROUNDS} rounds.\n"
    );
    for (threads, goal) in [(1, 60.0), (2, 100.0)] {
        let mut samples = vec![Samples::default(); caches.len()];
        let (mut alone, mut clock) = (Samples::default(), Samples::default());
        for round in 0..ROUNDS {
            for turn in 0..caches.len() {
                let index = (round + turn) % caches.len();
                let cache = &caches[index].1;
                samples[index].0.push(nanos_per_call(threads, async || {
                    black_box(cache.header().await);
                }));
            }
            alone.0.push(nanos_per_call(threads, async || {
                black_box(tokens.token().await.expect("there is a valid token"));
            }));
            clock.0.push(nanos_per_call(threads, async || {
                black_box(now());
            }));
        }
        for ((name, _), samples) in caches.iter().zip(&samples) {
            println!("  {threads} thread(s)  {name:<32}{:>7.1}", samples.median());
        }
        println!("  {threads} thread(s)  {:<32}{:>7.1}", "the clock alone", clock.median());
        let what = format!("ServiceTokens::token without a header, {threads} thread(s), ns");
        print_goal(&what, alone.median(), Some(alone.spread()), goal);
        for (other, (name, _)) in caches.iter().enumerate().skip(1) {
            let ratio = samples[0].per_round(&samples[other]);
            println!("ours / {name}: {:.2} (no goal)", ratio.median());
        }
        println!();
    }
    the_layer(tokens);
}

/// Nanoseconds per call, on so many threads at once. Each is awaited where it is made, as in a
/// handler: a future that is moved before it is polled takes up to 30 ns more.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn nanos_per_call(threads: usize, call: impl AsyncFn() + Sync) -> f64 {
    // Whoever sleeps at a barrier wakes when the other one is done.
    let missing = AtomicUsize::new(threads);
    let run = || {
        missing.fetch_sub(1, Ordering::AcqRel);
        while missing.load(Ordering::Acquire) > 0 {
            spin_loop();
        }
        let started = std::time::Instant::now();
        let calls = async {
            for _ in 0..CALLS {
                call().await;
            }
        };
        calls.now_or_never().expect("nothing waits");
        started.elapsed().as_nanos() as f64 / CALLS as f64
    };
    if threads == 1 {
        return run();
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let nanos = threads.into_iter().map(|thread| thread.join().expect("no panic"));
        nanos.fold(0.0, f64::max)
    })
}

/// A client that sends nothing.
#[derive(Clone)]
struct Nothing;

impl Service<Request<Full<Bytes>>> for Nothing {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        black_box(request);
        ready(Ok(Response::new(())))
    }
}

fn the_layer(tokens: ServiceTokens) {
    let api = ApiHosts::new(["api.example.com"]).expect("a host");
    let mut layered = BearerLayer::new(tokens, &api).layer(Nothing);
    let mut bare = Nothing;
    let (mut with, mut without) = (Samples::default(), Samples::default());
    for round in 0..ROUNDS {
        if round % 2 == 0 {
            with.0.push(nanos_per_request(&mut layered));
            without.0.push(nanos_per_request(&mut bare));
        } else {
            without.0.push(nanos_per_request(&mut bare));
            with.0.push(nanos_per_request(&mut layered));
        }
    }
    println!("  a service that does nothing: {:.0} ns per request", without.median());
    println!("  the same inside a BearerLayer: {:.0} ns", with.median());
    let cost =
        Samples(with.0.iter().zip(&without.0).map(|(with, without)| with - without).collect());
    print_goal("the layer alone, ns", cost.median(), Some(cost.spread()), 300.0);
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn nanos_per_request<S>(service: &mut S) -> f64
where
    S: Service<Request<Full<Bytes>>, Response = Response<()>>,
    S::Error: std::fmt::Debug,
{
    let mut context = Context::from_waker(std::task::Waker::noop());
    let started = std::time::Instant::now();
    for _ in 0..CALLS {
        let request = Request::get("https://api.example.com/orders").body(Full::default());
        assert!(service.poll_ready(&mut context).is_ready());
        let answer = service.call(request.expect("a request")).now_or_never();
        black_box(answer.expect("nothing waits").expect("nothing fails"));
    }
    started.elapsed().as_nanos() as f64 / CALLS as f64
}

fn is_fresh(held: &Held) -> bool {
    now() + Duration::from_secs(5) < held.expires_at
}

fn in_an_hour() -> SystemTime {
    now() + Duration::from_secs(3600)
}

#[expect(clippy::disallowed_methods, reason = "what code written by hand would call")]
fn now() -> SystemTime {
    SystemTime::now()
}
