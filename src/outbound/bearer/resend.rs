//! Which bodies can be sent again.

use std::any::Any;

use bytes::Bytes;
use http_body_util::{Empty, Full};

/// Makes a body once more, before it is sent.
pub(super) type Copy<B> = Box<dyn Fn(&B) -> Option<B> + Send + Sync>;

/// `own`: a [`Copy`] of the application, which may be for another type.
pub(super) fn copy<B: 'static>(body: &B, own: Option<&(dyn Any + Send + Sync)>) -> Option<B> {
    match own.and_then(|own| own.downcast_ref::<Copy<B>>()) {
        Some(copy) => copy(body),
        None => known(body),
    }
}

fn known<B: 'static>(body: &B) -> Option<B> {
    let body = body as &dyn Any;
    let copy = cloned::<()>(body)
        .or_else(|| cloned::<Bytes>(body))
        .or_else(|| cloned::<Full<Bytes>>(body))
        .or_else(|| cloned::<Empty<Bytes>>(body))
        .or_else(|| cloned::<String>(body))
        .or_else(|| cloned::<Vec<u8>>(body))
        .or_else(|| {
            let body = body.downcast_ref::<reqwest::Body>()?.as_bytes()?.to_vec();
            Some(Box::new(reqwest::Body::from(body)) as Box<dyn Any>)
        })?;
    copy.downcast().ok().map(|copy| *copy)
}

fn cloned<T: Clone + 'static>(body: &dyn Any) -> Option<Box<dyn Any>> {
    body.downcast_ref::<T>().map(|body| Box::new(body.clone()) as Box<dyn Any>)
}
