//! The pages of this application: one for whoever is logged in or not, and one for each way to
//! fail.
//!
//! Each is whole without its script. They share a frame, with one style and one script that stand
//! in the page itself: see `layout`.

mod failure;
pub mod home;
pub mod layout;

pub(crate) use failure::{not_found, not_logged_in};
pub(crate) use home::home;
