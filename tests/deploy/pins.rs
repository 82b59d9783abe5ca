//! Each image is of one version, so that a deploy of tomorrow is the one of today.

use super::{read, read_all};

/// The images that a file names. `FROM` may name an earlier stage, `image:` what is built here.
fn images(text: &str) -> Vec<String> {
    let mut stages = Vec::new();
    let mut images = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(from) = line.strip_prefix("FROM ") {
            let mut words = from.split_whitespace();
            let image = words.next().expect("an image");
            if !stages.contains(&image) {
                images.push(image.to_owned());
            }
            stages.extend(words.skip(1));
        }
        if let Some(image) = line.trim_start_matches("- ").strip_prefix("image: ") {
            images.push(image.trim_matches('"').to_owned());
        }
    }
    images
}

/// Three numbers, or two where the project counts so: `8.2.1`, `v3.5.0`, `13.1-slim`.
fn is_pinned(image: &str) -> bool {
    let Some((_, tag)) = image.split_once(':') else { return false };
    let tag = tag.split('@').next().expect("a tag").trim_start_matches('v');
    let number = tag.split('-').next().expect("a number");
    number.split('.').count() >= 2 && number.split('.').all(|part| part.parse::<u32>().is_ok())
}

#[test]
fn each_image_has_an_exact_version() {
    let mut files = vec![
        ("Dockerfile".to_owned(), read("deploy/Dockerfile")),
        ("compose.yaml".to_owned(), read("deploy/compose.yaml")),
    ];
    files.extend(read_all("deploy/kubernetes", ".yaml"));
    let mut seen = 0;
    for (file, text) in files {
        for image in images(&text) {
            // Built from this repository, with its version.
            assert!(is_pinned(&image), "{file}: {image} can be another one tomorrow");
            seen += 1;
        }
    }
    assert!(seen >= 6, "{seen} images");
}

#[test]
fn what_moves_is_found() {
    for moving in ["redis", "redis:latest", "redis:8", "rust:1-slim", "grafana/grafana:main"] {
        assert!(!is_pinned(moving), "{moving}");
    }
    for pinned in ["redis:8.2.1", "prom/prometheus:v3.5.0", "debian:13.1-slim"] {
        assert!(is_pinned(pinned), "{pinned}");
    }
}
