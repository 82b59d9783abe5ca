//! Names that look like one of ours. A misspelt setting would be ignored without a word, and the
//! default might even work.

use tower_token_refresh::RefreshConfig;

use super::{source::variable_of, table::names};

/// What others call some of them.
const CALLED_BY_OTHERS: [(&str, &str); 4] = [
    ("ISSUER", "ISSUER_URL"),
    ("OIDC_ISSUER_URL", "ISSUER_URL"),
    ("REDIRECT_URI", "BASE_URL"),
    ("REDIRECT_URL", "BASE_URL"),
];

/// Below this length a second letter makes another word.
const LONG: usize = 8;

/// A line for each of `names` that is none of ours and nearly is, or begins with `REFRESH_`. It says
/// nothing of their values.
pub fn misspelt(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<_> = names.into_iter().filter_map(|name| line(&name)).collect();
    lines.sort();
    lines
}

fn line(name: &str) -> Option<String> {
    if names().any(|known| known == name) {
        return None;
    }
    let upper = name.to_ascii_uppercase();
    let called = CALLED_BY_OTHERS.iter().find(|(theirs, _)| *theirs == upper);
    let meant = called.map(|(_, ours)| (*ours).to_owned());
    let meant = meant.or_else(|| nearest(&upper)).or_else(|| without_prefix(&upper));
    let hint = match meant {
        Some(meant) => format!("did you mean {meant}?"),
        None if upper.starts_with(&variable_of("")) => {
            format!("those of this kind are {}", RefreshConfig::KEYS.map(variable_of).join(", "))
        }
        None => return None,
    };
    Some(format!("{} is not a setting; {hint}", name.escape_debug()))
}

/// The library calls them so. A single word, such as `QUEUE`, may be anybody's.
fn without_prefix(name: &str) -> Option<String> {
    let ours = variable_of(name);
    let is_key = RefreshConfig::KEYS.into_iter().any(|key| variable_of(key) == ours);
    (is_key && name.contains('_')).then_some(ours)
}

fn nearest(name: &str) -> Option<String> {
    let near = names().filter_map(|known| {
        let most = if known.len() < LONG { 1 } else { 2 };
        let distance = distance(name.as_bytes(), known.as_bytes());
        (distance <= most).then_some((distance, known))
    });
    near.min().map(|(_, name)| name)
}

/// How many letters to add, leave out or change (Levenshtein).
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
