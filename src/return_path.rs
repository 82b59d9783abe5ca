//! Where a browser may be sent back to: a path of this site, whatever a link said.

use url::{Position, Url};

/// Percent-encoding may triple it, and a whole URL should stay below the 8 KB that servers commonly
/// accept.
const LONGEST: usize = 1024;

/// The path to send a browser back to, if `asked` is one of this site; None for everything that a
/// browser may read as another site. Use it wherever a request says where to go next: a
/// `return_to` that is followed as it is makes your site a link to any other (CWE-601).
///
/// It must begin with a single `/` and have at most 1024 bytes, no backslash, no space and no
/// control character. The result is the path, query and fragment as a browser reads them: dots are
/// resolved, and what is not ASCII is percent-encoded.
///
/// ```
/// use tower_token_refresh::safe_return_to;
///
/// assert_eq!(safe_return_to("/orders?page=2").as_deref(), Some("/orders?page=2"));
/// assert_eq!(safe_return_to("/a/../b").as_deref(), Some("/b"));
/// for elsewhere in ["https://evil.example/", "//evil.example", "/\\evil.example", "/a/..//evil.example"] {
///     assert_eq!(safe_return_to(elsewhere), None);
/// }
/// ```
#[must_use]
pub fn safe_return_to(asked: &str) -> Option<String> {
    // Browsers drop tabs and line breaks, and read a backslash as a slash: what they do to a URL
    // must not change its meaning.
    let is_harmless = |c: char| !c.is_control() && !c.is_whitespace() && c != '\\';
    let begins_here = asked.starts_with('/') && !asked.starts_with("//");
    if !begins_here || asked.len() > LONGEST || !asked.chars().all(is_harmless) {
        return None;
    }
    let here = Url::parse("http://this.invalid/").ok()?;
    let url = here.join(asked).ok()?;
    let path = &url[Position::BeforePath..];
    // Without its dots, `/a/..//evil.example` begins with two slashes, and the next reader takes it
    // for a host.
    let leads_here = url.origin() == here.origin() && !path.starts_with("//");
    (leads_here && path.len() <= LONGEST).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_this_site_is_kept_as_a_browser_reads_it() {
        for (asked, kept) in [
            ("/", "/"),
            ("/orders", "/orders"),
            ("/orders?page=2&to=//elsewhere", "/orders?page=2&to=//elsewhere"),
            ("/app#/orders", "/app#/orders"),
            ("/a/./b/../c", "/a/c"),
            ("/\u{e9}", "/%C3%A9"),
            ("/%2f%2fevil.example", "/%2f%2fevil.example"),
            ("/%5cevil.example", "/%5cevil.example"),
            ("/a//b", "/a//b"),
            ("/@evil.example", "/@evil.example"),
        ] {
            assert_eq!(safe_return_to(asked).as_deref(), Some(kept), "{asked}");
        }
    }

    #[test]
    fn what_may_lead_elsewhere_is_none() {
        let long = format!("/{}", "a".repeat(LONGEST));
        let grows = format!("/{}", "\u{e9}".repeat(LONGEST / 4));
        for asked in [
            "",
            "orders",
            "https://evil.example",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "/\t/evil.example",
            "/a\n",
            "/a\0",
            "/ /evil.example",
            "/\u{a0}/evil.example",
            "/.//evil.example",
            "/a/..//evil.example",
            "/%2e//evil.example",
            "/a/%2E%2e//evil.example",
            "javascript:alert(1)",
            long.as_str(),
            grows.as_str(),
        ] {
            assert_eq!(safe_return_to(asked), None, "{asked}");
        }
    }

    #[test]
    fn what_is_kept_is_kept_again() {
        let once = safe_return_to("/a/../b?c=d").expect("a path of this site");
        assert_eq!(safe_return_to(&once), Some(once));
    }
}
