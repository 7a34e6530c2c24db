//! What can be wrong with a configuration, and the words for it.
//!
//! Operators read these lines in the proxy's log; every one names the path of
//! the field, the value found and what is allowed.

use std::fmt;

/// All that is wrong with a configuration: the first [`ConfigErrors::MOST`] things, and
/// how many more there are, so that no log is as long as its input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigErrors {
    first: Vec<ConfigError>,
    more: usize,
}

impl ConfigErrors {
    /// The most errors that are told one by one.
    pub const MOST: usize = 50;

    /// Returns the lines that tell of them, in the order of the fields.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let more = (self.more > 0).then(|| format!("and {} more", self.more));
        self.first.iter().map(ToString::to_string).chain(more)
    }

    /// Returns those that are told one by one.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.first.iter()
    }

    /// Returns how many more there are.
    #[must_use]
    pub fn more(&self) -> usize {
        self.more
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    pub(super) fn push(&mut self, path: &str, problem: Problem) {
        if self.first.len() < Self::MOST {
            let path = path.to_owned();
            self.first.push(ConfigError { path, problem });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }
}

/// One thing wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    path: String,
    problem: Problem,
}

impl ConfigError {
    /// Returns the path of the field; empty: the whole configuration.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns what is wrong with it, without its path.
    #[must_use]
    pub fn what(&self) -> String {
        self.problem.to_string()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// The bytes are not JSON; what `serde_json` says of them.
    NotJson(String),
    /// A value outside of what is allowed.
    Not { found: String, allowed: String },
    /// A value that is fine only beside another one.
    Needs { found: String, needed: &'static str },
    /// A required field is not there.
    Missing { allowed: String },
    /// A field given more than once.
    Repeated,
    /// A name that something else has already.
    Taken { found: String, by: String },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() {
            "pluginConfig"
        } else {
            &self.path
        };
        write!(f, "{path}: {}", self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(why) => write!(f, "is not JSON ({why})"),
            Self::Not { found, allowed } => write!(f, "{found} is not {allowed}"),
            Self::Needs { found, needed } => write!(f, "{found} needs {needed}"),
            Self::Missing { allowed } => write!(f, "is missing, it must be {allowed}"),
            Self::Repeated => f.write_str("is given twice, only once is allowed"),
            Self::Taken { found, by } => {
                write!(f, "{found} is taken by {by}, the two must differ")
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}
