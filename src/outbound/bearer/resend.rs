//! Which bodies can be sent again.

use std::any::Any;

use bytes::Bytes;
use http_body_util::{Empty, Full};

/// Makes a body once more, before it is sent.
pub(super) type CopyBody<B> = Box<dyn Fn(&B) -> Option<B> + Send + Sync>;

/// `own`: a [`CopyBody`] of the application, which may be for another type.
pub(super) fn copy<B: 'static>(body: &B, own: Option<&(dyn Any + Send + Sync)>) -> Option<B> {
    match own.and_then(|own| own.downcast_ref::<CopyBody<B>>()) {
        Some(copy) => copy(body),
        None => known(body),
    }
}

fn known<B: 'static>(body: &B) -> Option<B> {
    cloned::<(), B>(body)
        .or_else(|| cloned::<Bytes, B>(body))
        .or_else(|| cloned::<Full<Bytes>, B>(body))
        .or_else(|| cloned::<Empty<Bytes>, B>(body))
        .or_else(|| cloned::<String, B>(body))
        .or_else(|| cloned::<Vec<u8>, B>(body))
        .or_else(|| {
            let body = (body as &dyn Any).downcast_ref::<reqwest::Body>()?.as_bytes()?.to_vec();
            as_type(reqwest::Body::from(body))
        })
}

fn cloned<T: Clone + 'static, B: 'static>(body: &B) -> Option<B> {
    as_type((body as &dyn Any).downcast_ref::<T>()?.clone())
}

/// `value`, if `T` and `B` are one type. Without a box, as each request comes by here.
fn as_type<T: 'static, B: 'static>(value: T) -> Option<B> {
    (&mut Some(value) as &mut dyn Any).downcast_mut::<Option<B>>()?.take()
}
