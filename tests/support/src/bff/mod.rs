//! The example `bff` as a program, and as a process that serves.

mod program;
mod running;

pub use self::{program::build, running::Running};
