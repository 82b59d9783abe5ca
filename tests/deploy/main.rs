//! What `deploy/` has for those who run an application: the alerts fire in the faults that they are
//! for, and nothing names what does not exist.

mod alerts;
#[path = "../../examples/bff/app/metrics.rs"]
#[allow(dead_code, reason = "the bff itself uses the rest")]
mod bff_metrics;
mod faults;
mod manifests;
mod names;
mod pins;
mod recording;

use std::{fs, path::Path};

/// A file of this repository.
fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files in a folder of this repository, with their content.
fn read_all(folder: &str, extension: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    let names = entries.expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().expect("UTF-8")).collect();
    names.retain(|name| name.ends_with(extension));
    names.sort();
    assert!(!names.is_empty(), "{folder} has no {extension}");
    names.into_iter().map(|name| (name.clone(), read(&format!("{folder}/{name}")))).collect()
}
