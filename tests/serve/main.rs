//! The server: what a slow, greedy or silent client gets, and how serving ends.

mod bodies;
mod connections;
mod heads;
mod stopping;
mod upgrades;
mod world;
mod writes;
