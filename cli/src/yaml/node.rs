//! A value with its place in the text.

use std::fmt::Write as _;
use std::ops::Range;
use std::rc::Rc;

/// A value of a YAML document.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its bytes in the text of the file.
    pub span: Range<usize>,
    /// What it is.
    pub kind: Kind,
    /// How many values it has in it, itself included, with all aliases written out.
    pub size: usize,
}

/// What a value is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// `null`, or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as JSON writes it.
    Number(serde_json::Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Rc<Node>>),
    /// A mapping, in the order of the text, with keys that are there twice.
    Map(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The bytes of the key in the text of the file.
    pub key_span: Range<usize>,
    /// The value.
    pub value: Rc<Node>,
}

impl Node {
    /// Returns the entries of a mapping; none of anything else.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Returns where a mapping begins: its first key; of anything else its whole place.
    #[must_use]
    pub fn head(&self) -> Range<usize> {
        let first = self.entries().first();
        first.map_or_else(|| self.span.clone(), |entry| entry.key_span.clone())
    }

    /// Returns the items of a list; none of anything else.
    #[must_use]
    pub fn items(&self) -> &[Rc<Node>] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// Returns the entry of a key. Of a key that is there twice the last one counts, as
    /// for kubectl.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().rev().find(|entry| entry.key == key)
    }

    /// Returns the value of a key; `None` for `null`, too, which is nothing to Kubernetes.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Rc<Self>> {
        let value = &self.entry(key)?.value;
        (!matches!(value.kind, Kind::Null)).then_some(value)
    }

    /// Returns the value that these keys lead to, one after the other.
    #[must_use]
    pub fn at<'n>(&'n self, keys: &[&str]) -> Option<&'n Self> {
        keys.iter()
            .try_fold(self, |node, key| node.get(key).map(|rc| &**rc))
    }

    /// Returns the text of a key.
    #[must_use]
    pub fn text_at(&self, keys: &[&str]) -> Option<&str> {
        self.at(keys)?.text()
    }

    /// Returns the text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the whole number, of 0 or more.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        match &self.kind {
            Kind::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// Returns whether two values say the same, wherever they stand.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Null, Kind::Null) => true,
            (Kind::Bool(one), Kind::Bool(other)) => one == other,
            (Kind::Number(one), Kind::Number(other)) => one == other,
            (Kind::Text(one), Kind::Text(other)) => one == other,
            (Kind::List(one), Kind::List(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.same(b))
            }
            (Kind::Map(one), Kind::Map(two)) => {
                let in_other = |entry: &Entry| {
                    other
                        .entry(&entry.key)
                        .is_some_and(|there| there.value.same(&entry.value))
                };
                one.len() == two.len() && one.iter().all(in_other)
            }
            _ => false,
        }
    }

    /// Returns the value as JSON, with keys that are there twice.
    #[must_use]
    pub fn json(&self) -> String {
        let mut text = String::new();
        self.write_json(&mut text);
        text
    }

    fn write_json(&self, to: &mut String) {
        match &self.kind {
            Kind::Null => to.push_str("null"),
            Kind::Bool(value) => to.push_str(if *value { "true" } else { "false" }),
            Kind::Number(number) => {
                let _ = write!(to, "{number}");
            }
            Kind::Text(text) => write_text(text, to),
            Kind::List(items) => {
                to.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        to.push(',');
                    }
                    item.write_json(to);
                }
                to.push(']');
            }
            Kind::Map(entries) => {
                to.push('{');
                for (at, entry) in entries.iter().enumerate() {
                    if at > 0 {
                        to.push(',');
                    }
                    write_text(&entry.key, to);
                    to.push(':');
                    entry.value.write_json(to);
                }
                to.push('}');
            }
        }
    }
}

fn write_text(text: &str, to: &mut String) {
    to.push_str(&serde_json::Value::from(text).to_string());
}
