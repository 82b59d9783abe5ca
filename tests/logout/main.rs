//! How a login begins and how it ends: nothing is left half done, whatever fails, and what has
//! ended stays ended (promises 4 to 6).

mod back_channel;
mod log_in;
mod log_in_failures;
mod moves;
mod order;
mod race;
mod refused;
mod report;
