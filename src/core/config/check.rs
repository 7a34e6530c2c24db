//! The checks of single values: from a [`Tree`] to a type, or to the words for
//! what is allowed. After them no request can fail on a value of the configuration.

use super::tree::Tree;
use std::ops::RangeInclusive;

/// What a value must be, in the words that follow "is not" in an error.
pub(super) type Allowed = String;

/// Keywords of JSON Schema, in order.
pub(super) type Schema = Vec<(String, Tree)>;

/// What a value must be.
// The module reads values, and describes none.
#[cfg_attr(target_family = "wasm", allow(dead_code))]
pub(super) trait Check {
    /// What it becomes.
    type Value;

    /// Returns what the value is.
    ///
    /// # Errors
    /// What is allowed.
    fn check(&self, tree: &Tree) -> Result<Self::Value, Allowed>;

    /// Returns what was found in its place, for an error.
    fn shown(&self, tree: &Tree) -> String {
        tree.shown()
    }

    /// Returns the value as a configuration writes it.
    fn written(&self, value: &Self::Value) -> Tree;

    /// Returns the same as [`Check::check`] in keywords of JSON Schema.
    fn schema(&self) -> Schema;

    /// Returns what is allowed in words, where the schema's keywords are no such.
    fn words(&self) -> Option<&'static str>;
}

/// A text of a certain form, which is checked by what stands in this trait.
#[cfg_attr(target_family = "wasm", allow(dead_code))]
pub(super) trait Form {
    /// What is allowed.
    const WORDS: &'static str;

    /// The least and the most bytes.
    const BYTES: RangeInclusive<usize>;

    /// Whether a text of as many bytes has the form.
    fn fits(text: &str) -> bool;

    /// Returns the same as [`Form::fits`] as a regular expression, one that ECMAScript,
    /// Python, Rust and Go understand: no `\u`, no looking ahead, no count above 1,000.
    fn pattern() -> String;

    /// Returns another one that has to fit as well.
    fn and_pattern() -> Option<String> {
        None
    }

    /// Whether a text is one of these.
    fn is(text: &str) -> bool {
        Self::BYTES.contains(&text.len()) && Self::fits(text)
    }

    /// Returns what a text of this form becomes.
    fn value(text: &str) -> Box<str> {
        text.into()
    }
}

impl<F: Form> Check for F {
    type Value = Box<str>;

    fn check(&self, tree: &Tree) -> Result<Box<str>, Allowed> {
        tree.text()
            .filter(|text| F::is(text))
            .map(F::value)
            .ok_or_else(|| F::WORDS.to_owned())
    }

    fn written(&self, value: &Box<str>) -> Tree {
        Tree::from(&**value)
    }

    fn schema(&self) -> Schema {
        let mut schema = vec![
            ("type".to_owned(), "string".into()),
            ("minLength".to_owned(), (*F::BYTES.start()).into()),
            // Characters. All forms but the salt's are of ASCII, whose characters are bytes.
            ("maxLength".to_owned(), (*F::BYTES.end()).into()),
            ("pattern".to_owned(), Tree::Text(F::pattern())),
        ];
        if let Some(pattern) = F::and_pattern() {
            let also = Tree::map([("pattern", Tree::Text(pattern))]);
            schema.push(("allOf".to_owned(), Tree::List(vec![also])));
        }
        schema
    }

    fn words(&self) -> Option<&'static str> {
        Some(F::WORDS)
    }
}

/// What another check allows, or `null`.
pub(super) struct OrNull<C>(pub(super) C);

impl<C: Check> Check for OrNull<C> {
    type Value = Option<C::Value>;

    fn check(&self, tree: &Tree) -> Result<Self::Value, Allowed> {
        match tree {
            Tree::Null => Ok(None),
            tree => self.0.check(tree).map(Some),
        }
    }

    fn written(&self, value: &Self::Value) -> Tree {
        let written = |value| self.0.written(value);
        value.as_ref().map_or(Tree::Null, written)
    }

    fn schema(&self) -> Schema {
        let or_null = |(keyword, value): (String, Tree)| match &*keyword {
            // In this order: yaml-language-server 2.0 stumbles over a default that is
            // not of the first type.
            "type" => (keyword, Tree::List(vec!["null".into(), value])),
            _ => (keyword, value),
        };
        self.0.schema().into_iter().map(or_null).collect()
    }

    fn words(&self) -> Option<&'static str> {
        self.0.words()
    }
}

/// A whole number within a range.
pub(super) struct Whole(pub(super) RangeInclusive<u32>);

impl Check for Whole {
    type Value = u32;

    fn check(&self, tree: &Tree) -> Result<u32, Allowed> {
        let Self(range) = self;
        let value = match tree {
            Tree::Whole(value) => u32::try_from(*value).ok(),
            _ => None,
        };
        value
            .filter(|value| range.contains(value))
            .ok_or_else(|| format!("a whole number from {} to {}", range.start(), range.end()))
    }

    fn written(&self, value: &u32) -> Tree {
        Tree::Whole((*value).into())
    }

    fn schema(&self) -> Schema {
        vec![
            ("type".to_owned(), "integer".into()),
            ("minimum".to_owned(), self.written(self.0.start())),
            ("maximum".to_owned(), self.written(self.0.end())),
        ]
    }

    fn words(&self) -> Option<&'static str> {
        None
    }
}

/// `true` or `false`.
pub(super) struct Flag;

impl Check for Flag {
    type Value = bool;

    fn check(&self, tree: &Tree) -> Result<bool, Allowed> {
        match tree {
            Tree::Bool(value) => Ok(*value),
            _ => Err("true or false".into()),
        }
    }

    fn written(&self, value: &bool) -> Tree {
        Tree::Bool(*value)
    }

    fn schema(&self) -> Schema {
        vec![("type".to_owned(), "boolean".into())]
    }

    fn words(&self) -> Option<&'static str> {
        None
    }
}

/// One of a few words.
pub(super) struct Choice<'w, T>(pub(super) &'w [(&'static str, T)]);

impl<T: Copy + PartialEq> Check for Choice<'_, T> {
    type Value = T;

    fn check(&self, tree: &Tree) -> Result<T, Allowed> {
        let mut words = self.0.iter();
        words
            .find(|(word, _)| tree.text() == Some(word))
            .map(|(_, value)| *value)
            .ok_or_else(|| {
                let words: Vec<&str> = self.0.iter().map(|(word, _)| *word).collect();
                format!("one of {}", words.join(", "))
            })
    }

    fn written(&self, value: &T) -> Tree {
        self.word(*value).into()
    }

    fn schema(&self) -> Schema {
        let words = self.0.iter().map(|(word, _)| Tree::from(*word));
        vec![
            ("type".to_owned(), "string".into()),
            ("enum".to_owned(), Tree::List(words.collect())),
        ]
    }

    fn words(&self) -> Option<&'static str> {
        None
    }
}

impl<T: Copy + PartialEq> Choice<'_, T> {
    /// Returns the word for a value.
    pub(super) fn word(&self, value: T) -> &'static str {
        let mut words = self.0.iter();
        let word = words.find(|(_, other)| *other == value);
        word.map_or("", |(word, _)| *word)
    }
}
