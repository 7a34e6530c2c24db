//! How the `read_…` functions ask for the fields of a configuration.
//!
//! Two answer: the [`Reader`](super::reader::Reader) reads a configuration. The
//! `Describer`, which is no part of the module, writes down what it is asked for, and
//! that is the JSON Schema. So a field is one row, and the two cannot drift apart.

use super::check::{Check, Form};
use super::error::Problem;

/// The fields of one mapping.
pub(super) trait Fields: Sized {
    /// The field's value; `None` when it is absent or wrong.
    fn get<C: Check>(&mut self, name: &'static str, check: C) -> Option<C::Value>;

    /// Like [`Fields::get`], with a value for when the field is absent.
    fn get_or<C: Check>(&mut self, name: &'static str, default: C::Value, check: C) -> C::Value;

    /// Like [`Fields::get`]; an absent field is an error.
    fn require<C: Check>(&mut self, name: &'static str, check: C) -> Option<C::Value>;

    /// The items of a list of one or more values; `None` when the field is absent.
    /// Wrong items are reported and left out.
    fn list<C: Check>(&mut self, name: &'static str, item: C) -> Option<Vec<C::Value>>;

    /// Like [`Fields::list`]; an absent field is an error.
    fn require_list<C: Check>(&mut self, name: &'static str, item: C) -> Vec<C::Value>;

    /// The items of a list of 0 to `most` values. An absent one is empty. Wrong items are
    /// reported and left out.
    fn list_up_to<C: Check>(&mut self, name: &'static str, most: usize, item: C) -> Vec<C::Value>;

    /// Reads the mappings of a list of 1 to `most` of them; `None` when the field is absent
    /// or `null`.
    fn mappings_or_null<T>(
        &mut self,
        name: &'static str,
        most: usize,
        read: impl FnMut(&mut Self) -> T,
    ) -> Option<Vec<T>>;

    /// Reads the mappings of a map of 0 to `most` of them, by names of the form `key`.
    /// An absent one is empty.
    fn entries<K: Form>(
        &mut self,
        name: &'static str,
        most: usize,
        key: K,
        read: impl FnMut(&mut Self, &str),
    );

    /// A mapping inside of this one, as `read` gives it. An absent one is `inherited`,
    /// or is read as an empty one, so that all defaults stand in one place.
    fn mapping<T: Clone>(
        &mut self,
        name: &'static str,
        inherited: Option<&T>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T;

    /// Like [`Fields::mapping`]; `null` is `None`.
    fn mapping_or_null<T: Clone>(
        &mut self,
        name: &'static str,
        inherited: Option<&Option<T>>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T>;

    /// Like [`Fields::mapping`]; `null` and an absent one are `None`.
    fn mapping_if_given<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T>;

    /// Reports the field `name`, whose value is `value`, if that is a case in which
    /// another field has to have a certain value and has not.
    fn need(&mut self, name: &'static str, value: &str, case: Case, needed: Needed);

    /// Calls `read` if the field `flag`, which was read already and is true where it is
    /// absent, `is` true.
    fn only_if(&mut self, flag: &'static str, is: bool, read: impl FnOnce(&mut Self));

    /// Whether the field is given.
    fn has(&self, name: &str) -> bool;

    /// The path of this mapping.
    fn path(&self) -> &str;

    /// The path of a field of it, or of one below, as in `tag.header`.
    fn path_of(&self, name: &str) -> String;

    /// Reports a problem at a whole path.
    fn report_at(&mut self, path: &str, problem: Problem);

    /// Reports a problem of the field `name`.
    fn report(&mut self, name: &str, problem: Problem) {
        self.report_at(&self.path_of(name), problem);
    }
}

/// The values of a field that need something of another one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Case {
    /// Texts that begin with this, in any case of the letters.
    Begins(&'static str),
    /// This text.
    Is(&'static str),
    /// True.
    True,
}

impl Case {
    /// Whether the value is one of them.
    pub(super) fn has(self, value: &str) -> bool {
        match self {
            Self::Begins(prefix) => value
                .get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix)),
            Self::Is(word) => value == word,
            Self::True => value == "true",
        }
    }
}

/// What a value needs of another field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needed {
    /// The field and its value, as YAML: `secure: always`.
    pub(super) yaml: &'static str,
    /// Whether it is so.
    pub(super) met: bool,
}

/// Returns the path of the field `name` in the mapping at `path`, as errors write it: names
/// that need it are quoted, for they come from the configuration's text.
#[must_use]
pub fn join(path: &str, name: &str) -> String {
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let name = if plain && name.len() <= 64 {
        name.to_owned()
    } else {
        super::tree::quoted(name)
    };
    if path.is_empty() {
        name
    } else {
        format!("{path}.{name}")
    }
}
