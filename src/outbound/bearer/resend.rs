//! Which bodies can be sent again.

use std::any::Any;

use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{BodyExt, Empty, Full};

/// Makes a body once more, before it is sent.
pub(super) type CopyBody<B> = Box<dyn Fn(&B) -> Option<B> + Send + Sync>;

/// `own`: a [`CopyBody`] of the application, which may be for another type.
pub(super) fn copy<B: 'static>(body: &mut B, own: Option<&(dyn Any + Send + Sync)>) -> Option<B> {
    match own.and_then(|own| own.downcast_ref::<CopyBody<B>>()) {
        Some(copy) => copy(body),
        None => known(body),
    }
}

fn known<B: 'static>(body: &mut B) -> Option<B> {
    cloned::<(), B>(body)
        .or_else(|| cloned::<Bytes, B>(body))
        .or_else(|| cloned::<Full<Bytes>, B>(body))
        .or_else(|| cloned::<Empty<Bytes>, B>(body))
        .or_else(|| cloned::<String, B>(body))
        .or_else(|| cloned::<Vec<u8>, B>(body))
        .or_else(|| as_type(shared((body as &mut dyn Any).downcast_mut()?)?))
}

/// Every request to send is copied, and few are sent again: so the copy has the same bytes. reqwest
/// gives them only to whoever takes the body apart.
fn shared(body: &mut reqwest::Body) -> Option<reqwest::Body> {
    body.as_bytes()?;
    let bytes = std::mem::take(body).collect().now_or_never()?.ok()?.to_bytes();
    *body = bytes.clone().into();
    Some(bytes.into())
}

fn cloned<T: Clone + 'static, B: 'static>(body: &B) -> Option<B> {
    as_type((body as &dyn Any).downcast_ref::<T>()?.clone())
}

/// `value`, if `T` and `B` are one type. Without a box, as each request comes by here.
fn as_type<T: 'static, B: 'static>(value: T) -> Option<B> {
    (&mut Some(value) as &mut dyn Any).downcast_mut::<Option<B>>()?.take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_reqwest_and_its_copy_have_the_same_bytes() {
        for text in ["", "body"] {
            let mut body = reqwest::Body::from(text.to_owned());
            let at = body.as_bytes().expect("bytes").as_ptr();
            let again = copy(&mut body, None).expect("a copy");
            for body in [&body, &again] {
                let bytes = body.as_bytes().expect("bytes");
                assert_eq!(bytes, text.as_bytes());
                assert!(text.is_empty() || bytes.as_ptr() == at, "no second copy");
            }
        }
    }
}
