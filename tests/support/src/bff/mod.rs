//! The example `bff` as a program, and as a process that serves.

mod running;

use std::path::PathBuf;

pub use self::running::{Running, free_url};
use crate::program::build_example;

/// Builds it with these flags more; says where it lies.
pub fn build(flags: &[&str]) -> PathBuf {
    build_example("bff", flags)
}
