//! Where the settings come from: the environment, then the files that hold a secret each, then
//! `CONFIG_FILE`.

use std::{borrow::Cow, ffi::OsString, fs, path::Path};

use figment::{
    Figment,
    providers::Serialized,
    value::{Dict, Value},
};
use tower_token_refresh::RefreshConfig;

use super::{
    SettingError,
    table::{REFRESH, SECRETS, VARIABLES},
};

const CONFIG_FILE: &str = "CONFIG_FILE";
/// The table of `CONFIG_FILE` whose keys are those of [`RefreshConfig`].
const REFRESH_TABLE: &str = "refresh";

pub(super) struct Source<F> {
    variable: F,
    /// What stands in `CONFIG_FILE`.
    file: Dict,
}

impl<F: Fn(&str) -> Option<OsString>> Source<F> {
    pub(super) fn new(variable: F) -> Result<Self, SettingError> {
        let mut source = Self { variable, file: Dict::new() };
        let Some(path) = source.environment(CONFIG_FILE)? else { return Ok(source) };
        let broken = |rule: String| SettingError::shown(CONFIG_FILE, &path, rule);
        let text = fs::read_to_string(&path).map_err(|error| broken(error.to_string()))?;
        source.file = toml::from_str(&text).map_err(|error| broken(unparsed(&text, &error)))?;
        let is_setting = |key: &str| {
            let mut names = VARIABLES.iter().map(|variable| variable.name);
            names.any(|name| name != REFRESH && key == name.to_ascii_lowercase())
        };
        let is_known = |key: &String| key == REFRESH_TABLE || is_setting(key);
        match source.file.keys().find(|key| !is_known(key)) {
            Some(unknown) => Err(broken(format!("{} is not a setting", unknown.escape_debug()))),
            None => Ok(source),
        }
    }

    /// An empty variable counts as missing.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, SettingError> {
        if let Some(value) = self.environment(name)? {
            return Ok(Some(value));
        }
        if let Some(secret) = self.secret_in_a_file(name)? {
            return Ok(Some(secret));
        }
        match self.file.get(&name.to_ascii_lowercase()) {
            None => Ok(None),
            Some(Value::String(_, text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(Value::Bool(_, is_on)) => Ok(Some(u8::from(*is_on).to_string())),
            Some(_) => Err(SettingError::unshown(name, "in CONFIG_FILE it must be a text")),
        }
    }

    pub(super) fn required(&self, name: &'static str) -> Result<String, SettingError> {
        self.text(name)?.ok_or_else(|| {
            SettingError::unshown(name, "it is required, but it is missing or empty")
        })
    }

    /// The times and limits, and what was set of them.
    pub(super) fn refresh(&self) -> Result<(RefreshConfig, String), SettingError> {
        let mut set = match self.file.get(REFRESH_TABLE) {
            None => Dict::new(),
            Some(Value::Dict(_, table)) => table.clone(),
            Some(_) => return Err(SettingError::unshown(CONFIG_FILE, "refresh must be a table")),
        };
        for key in RefreshConfig::KEYS {
            if let Some(text) = self.environment(&variable_of(key))? {
                set.insert(key.to_owned(), parsed(&text));
            }
        }
        // The keys as they are: figment would take a dot in one for a table in a table.
        let figment = Figment::from(Serialized::defaults(&set));
        let set: Vec<_> =
            set.iter().map(|(key, value)| format!("{key}={}", shown(value))).collect();
        let config = figment.extract::<RefreshConfig>();
        let config = config.map_err(|error| self.named(&error))?;
        config.check().map_err(|error| SettingError::unshown(REFRESH, error.to_string()))?;
        Ok((config, set.join(", ")))
    }

    /// By the variable or the key that holds the value.
    fn named(&self, error: &figment::Error) -> SettingError {
        let key = error.path.last().map(String::as_str).unwrap_or_default();
        let variable = variable_of(key);
        let is_variable = matches!(self.environment(&variable), Ok(Some(_)));
        let name = match key {
            // One that nobody knows.
            "" => CONFIG_FILE.into(),
            _ if is_variable => Cow::Owned(variable),
            _ => Cow::Owned(format!("{CONFIG_FILE}, {REFRESH_TABLE}.{}", key.escape_debug())),
        };
        SettingError::unshown(name, one_line(error))
    }

    fn secret_in_a_file(&self, name: &'static str) -> Result<Option<String>, SettingError> {
        if !SECRETS.contains(&name) {
            return Ok(None);
        }
        let variable = format!("{name}_FILE");
        let Some(path) = self.environment(&variable)? else { return Ok(None) };
        let broken = |rule: String| {
            // What names no file that is there may be the secret itself.
            if Path::new(&path).exists() {
                SettingError::shown(variable.clone(), &path, rule)
            } else {
                SettingError::unshown(variable.clone(), format!("it names no file: {rule}"))
            }
        };
        let secret = fs::read_to_string(&path).map_err(|error| broken(error.to_string()))?;
        // Deliberately not as if it were missing: without it tokens lie there in plain text, or
        // sessions in memory, and nobody is told.
        if secret.trim().is_empty() {
            return Err(broken("the file is empty".to_owned()));
        }
        // Whoever writes a file ends it with a line break.
        Ok(Some(secret.trim_end_matches(['\r', '\n']).to_owned()))
    }

    fn environment(&self, name: &str) -> Result<Option<String>, SettingError> {
        match (self.variable)(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value).filter(|value| !value.is_empty())),
            Some(Err(_)) => Err(SettingError::unshown(name.to_owned(), "it is not UTF-8")),
        }
    }
}

pub(super) fn variable_of(key: &str) -> String {
    format!("REFRESH_{}", key.to_ascii_uppercase())
}

/// A number or a switch, where it looks like one.
fn parsed(text: &str) -> Value {
    // None is a list or a table, and figment's parser calls itself for each bracket.
    if text.contains(['[', '{']) {
        return text.into();
    }
    text.parse().unwrap_or_else(|never: std::convert::Infallible| match never {})
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(_, text) => text.clone(),
        Value::Bool(_, is_on) => is_on.to_string(),
        Value::Num(_, number) => {
            let whole = number.to_u128().map(|number| number.to_string());
            let whole = whole.or_else(|| number.to_i128().map(|number| number.to_string()));
            whole.unwrap_or_else(|| "…".to_owned())
        }
        _ => "…".to_owned(),
    }
}

/// Where it is, and what is wrong. The error itself shows the whole line, which may hold a secret.
fn unparsed(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let (line, last) = (before.matches('\n').count() + 1, before.rsplit('\n').next());
    let column = last.unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: {}", error.message().trim().replace('\n', ", "))
}

/// Without where it stands, which is named in our own words.
fn one_line(error: &figment::Error) -> String {
    error.kind.to_string().replace(char::is_control, " ")
}
