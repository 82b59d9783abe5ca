//! What a client of the application is answered, with a token and without.

mod error_answers;
mod layer;
mod misconfigured;
mod rejections;
mod return_to;
mod same_origin;
mod several_providers;
mod unreadable;
