//! What is written to sessions touches no tokens; a login that has ended stays ended in every
//! session that points to it; and a session that was deleted stays deleted (promises 4, 5 and 6).

mod axum_login;
mod cookie_layer;
mod cycle_id;
mod ended_login;
mod foreign_layer;
mod guard;
mod late_responses;
mod lost_update;
mod session_writes;
