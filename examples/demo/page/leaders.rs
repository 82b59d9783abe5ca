//! Which request leads a refresh: the one in whose span the span of the refresh begins.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
};

use tracing::{
    Span, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer, filter::LevelFilter, layer::Context, layer::SubscriberExt, registry::LookupSpan,
    util::SubscriberInitExt,
};

/// In the order in which they began to lead.
#[derive(Clone, Default)]
pub struct Leaders(Arc<Mutex<Vec<usize>>>);

/// Of a span of [`request_span`].
struct Number(usize);

impl Leaders {
    /// Sees every refresh of this program from now on. A second one sees none.
    pub fn watch() -> Self {
        let leaders = Self::default();
        let layer = leaders.clone().with_filter(LevelFilter::INFO);
        let _ = tracing_subscriber::registry().with(layer).try_init();
        leaders
    }

    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub fn so_far(&self) -> Vec<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub fn request_span(number: usize) -> Span {
    tracing::info_span!("demo.request", number)
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Leaders {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        match attributes.metadata().name() {
            "demo.request" => {
                let mut number = Number(0);
                attributes.record(&mut number);
                span.extensions_mut().insert(number);
            }
            "token_refresh.flight" => {
                let number = |of: tracing_subscriber::registry::SpanRef<'_, _>| {
                    of.extensions().get().map(|Number(number)| *number)
                };
                if let Some(leader) = span.scope().find_map(number) {
                    self.0.lock().unwrap_or_else(PoisonError::into_inner).push(leader);
                }
            }
            _ => {}
        }
    }
}

impl Visit for Number {
    fn record_u64(&mut self, _: &Field, value: u64) {
        self.0 = usize::try_from(value).unwrap_or(usize::MAX);
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
