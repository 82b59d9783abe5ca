//! What the command line says.

use super::settings::VARIABLES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Serve,
    Check,
    Demo,
    Help,
}

/// Name and meaning.
const ARGUMENTS: [(&str, &str); 3] = [
    ("--check", "serves nothing: tries the settings, the provider, the stores and the APIs"),
    ("--demo", "needs no settings: runs with a provider and an API of its own, and prints its URL"),
    ("--help", "this text"),
];

impl Command {
    /// An error is one line.
    pub fn read(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut command = Self::Serve;
        for argument in arguments {
            let asked = match argument.as_str() {
                "--check" => Self::Check,
                "--demo" => Self::Demo,
                "--help" | "-h" => Self::Help,
                _ => return Err(format!("{argument:?}: no such argument; --help names them")),
            };
            if command != Self::Serve && command != asked {
                return Err(format!("{argument:?}: one argument is enough"));
            }
            command = asked;
        }
        Ok(command)
    }
}

pub fn help() -> String {
    let mut help = "A backend for a frontend: logs users in, and passes /api on with their tokens.\n\nbff [ARGUMENT]\n\n".to_owned();
    for (name, what) in ARGUMENTS {
        help += &format!("  {name:8} {what}\n");
    }
    help += "\nAt the provider, register BASE_URL/auth/callback as a redirect URI, and BASE_URL/ for after a \
             logout.\n\nSettings are environment variables:\n";
    for variable in &VARIABLES {
        let (default, what) = (plain(variable.default), plain(variable.what));
        help += &format!("\n  {} ({default})\n      {what}\n", variable.name);
    }
    help
}

/// Without the marks of Markdown.
fn plain(text: &str) -> String {
    text.replace(['`', '*'], "")
}
