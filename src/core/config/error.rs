//! What can be wrong with a configuration, and the words for it.
//!
//! Operators read these lines in the proxy's log; every one names the path of
//! the field, the value found and what is allowed.

use std::fmt;

/// One thing wrong with a configuration. [`super::parse`] returns all that it finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    path: String,
    problem: Problem,
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

impl ConfigError {
    pub(super) fn new(path: &str, problem: Problem) -> Self {
        Self {
            path: path.to_owned(),
            problem,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() {
            "pluginConfig"
        } else {
            &self.path
        };
        match &self.problem {
            Problem::NotJson(why) => write!(f, "{path}: is not JSON ({why})"),
            Problem::Not { found, allowed } => write!(f, "{path}: {found} is not {allowed}"),
            Problem::Needs { found, needed } => write!(f, "{path}: {found} needs {needed}"),
            Problem::Missing { allowed } => write!(f, "{path}: is missing, it must be {allowed}"),
            Problem::Repeated => write!(f, "{path}: is given twice, only once is allowed"),
            Problem::Taken { found, by } => {
                write!(f, "{path}: {found} is taken by {by}, the two must differ")
            }
        }
    }
}

impl std::error::Error for ConfigError {}
