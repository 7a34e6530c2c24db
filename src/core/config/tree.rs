//! The configuration as it was written: JSON that keeps repeated keys.
//!
//! `serde_json::Value` drops the first of two equal keys in silence, and a
//! derived `Deserialize` stops at the first problem and knows no path; hence
//! this small tree, which [`super::fields`] turns into types.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    /// A whole number of 0 or more. Istio's `pluginConfig` passes through
    /// protobuf, whose numbers are doubles, so `100.0` counts as 100.
    Whole(u64),
    /// Any other number, as text.
    Number(String),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// A mapping of these entries.
    pub(super) fn map<const N: usize>(entries: [(&str, Self); N]) -> Self {
        let owned = |(key, tree): (&str, Self)| (key.to_owned(), tree);
        Self::Map(entries.into_iter().map(owned).collect())
    }

    /// Reads JSON; `None` where the bytes are none.
    pub(crate) fn of_json(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value for an error message: strings quoted and cut, so that no line
    /// break and no kilobyte reaches the log.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Whole(value) => value.to_string(),
            Self::Number(value) => value.clone(),
            Self::Text(text) => quoted(text),
            Self::List(items) => format!("a list of {}", items.len()),
            Self::Map(_) => "a mapping".to_owned(),
        }
    }
}

impl From<&str> for Tree {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<usize> for Tree {
    fn from(number: usize) -> Self {
        Self::Whole(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

/// `text` in quotes, its control characters escaped, cut after 64 characters.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 64;
    if text.chars().count() <= LONGEST {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("{start:?}...")
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Whole(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        // Formatted without an exponent, a whole double is its digits. The sum makes
        // 0 of -0.
        let text = (value + 0.0).to_string();
        Ok(text.parse().map_or(Tree::Number(text), Tree::Whole))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_are_kept() {
        let tree: Tree = serde_json::from_str(r#"{"a": 1, "a": 2}"#).unwrap();
        assert_eq!(
            tree,
            Tree::Map(vec![
                ("a".to_owned(), Tree::Whole(1)),
                ("a".to_owned(), Tree::Whole(2)),
            ])
        );
    }

    #[test]
    fn a_whole_double_is_a_whole_number() {
        let of = |json| serde_json::from_str::<Tree>(json).unwrap();
        assert_eq!(of("100.0"), Tree::Whole(100));
        assert_eq!(of("3.456e7"), Tree::Whole(34_560_000));
        assert_eq!(of("-0"), Tree::Whole(0));
        assert_eq!(of("1.5"), Tree::Number("1.5".to_owned()));
        assert_eq!(of("-1"), Tree::Number("-1".to_owned()));
    }

    #[test]
    fn a_long_value_is_cut_in_messages() {
        assert_eq!(quoted("a\nb"), r#""a\nb""#);
        assert_eq!(quoted(&"x".repeat(65)), format!("{:?}...", "x".repeat(64)));
    }
}
