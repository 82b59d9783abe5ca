//! An application under test, served over TCP before a real provider and a real store, with gates where a race has to be certain.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

pub mod app;
pub mod arrivals;
pub mod gate;
pub mod naive;
pub mod stores;
pub mod way;
