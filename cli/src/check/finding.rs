//! What is found: where, what is wrong, why it matters, and what to write.

use std::ops::Range;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Others are harmed, or nobody is sticky.
    Error,
    /// Users may see what nobody meant.
    Warning,
    /// Something to know. The exit code does not count it.
    Note,
}

impl Level {
    /// Returns its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, as in `--allow`.
    pub id: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What it looks at, in a sentence.
    pub about: &'static str,
    /// Whether an admission policy has it, too.
    pub is_policys: bool,
}

/// A place in one of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, by its place in their list.
    pub file: usize,
    /// The bytes.
    pub span: Range<usize>,
}

impl Place {
    /// Returns the place of these bytes.
    #[must_use]
    pub fn new(file: usize, span: Range<usize>) -> Self {
        Self { file, span }
    }
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule.
    pub rule: &'static Rule,
    /// Where.
    pub place: Place,
    /// What is wrong there, and with what.
    pub what: String,
    /// Why it matters; empty: the rest says it.
    pub why: String,
    /// What to write; empty: the rest says it.
    pub write: String,
    /// Other places that belong to it, with what they are.
    pub also: Vec<(Place, String)>,
}
