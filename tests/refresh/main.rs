//! One refresh for any number of requests, and what becomes of it when things go wrong.

mod single_flight;
