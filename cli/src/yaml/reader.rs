//! Reads the documents of a file, each by itself: one that is wrong does not hide the
//! others, and what it takes of memory does not depend on what it says.

use super::node::{Entry, Kind, Node};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

/// The most values that a document may have, with all aliases written out. Kubernetes
/// stores objects of up to 1.5 MB.
pub const MOST_VALUES: usize = 1_000_000;

/// The deepest that values may lie in each other. Kubernetes allows 100, too, as JSON
/// readers do.
const DEEPEST: usize = 100;

/// A document of a file.
#[derive(Debug)]
pub struct Document {
    /// What it says.
    pub root: Rc<Node>,
}

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlError {
    /// What it is.
    pub what: String,
    /// Where, in bytes of the text.
    pub span: Range<usize>,
}

/// Returns the documents of a text, in order. Empty ones are left out.
pub fn documents(text: &str) -> impl Iterator<Item = Result<Document, YamlError>> + '_ {
    parts(text).filter_map(move |part| {
        let source = text.get(part.clone()).unwrap_or_default();
        let read = Reader::new(source, part.start).read();
        read.map(|root| root.map(|root| Document { root }))
            .transpose()
    })
}

/// Returns the bytes of each document: a line that begins with `---` ends one, also
/// inside of a block of text (YAML 1.2.2, 9.1.2).
fn parts(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let is_mark = move |at: usize| {
        let rest = text.get(at..).unwrap_or_default();
        rest.strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']))
    };
    let mut start = 0;
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let mut from = start;
        loop {
            let line = text.get(from..)?.find('\n').map(|at| from + at + 1);
            match line {
                Some(line) if is_mark(line) => {
                    let part = start..line;
                    start = line;
                    return Some(part);
                }
                Some(line) => from = line,
                None => {
                    done = true;
                    return Some(start..text.len());
                }
            }
        }
    })
}

/// Reads one document.
struct Reader<'t> {
    places: Places<'t>,
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    anchors: HashMap<usize, Rc<Node>>,
    /// The lists and mappings that are open, the outermost first.
    open: Vec<Open>,
    root: Option<Rc<Node>>,
    /// How many values there are.
    count: usize,
}

/// A list or a mapping whose end is still to come.
struct Open {
    start: usize,
    anchor: usize,
    size: usize,
    kind: Opened,
}

enum Opened {
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>, Option<(String, Range<usize>)>),
}

impl<'t> Reader<'t> {
    fn new(text: &'t str, offset: usize) -> Self {
        Self {
            places: Places::new(text, offset),
            parser: Parser::new_from_str(text),
            anchors: HashMap::new(),
            open: Vec::new(),
            root: None,
            count: 0,
        }
    }

    /// Returns the document; `None` when there is nothing in it.
    fn read(mut self) -> Result<Option<Rc<Node>>, YamlError> {
        while let Some(event) = self.parser.next_event() {
            let (event, span) = event.map_err(|error| {
                let at = self.places.byte(error.marker().index());
                // The parser's own limit, which it meets before the first value.
                let is_deep = error.info().contains("recursion limit");
                let what = if is_deep {
                    too_deep()
                } else {
                    error.info().to_owned()
                };
                let span = at..at;
                YamlError { what, span }
            })?;
            let span = self.places.span(span);
            self.take(event, span)?;
        }
        Ok(self.root)
    }

    fn take(&mut self, event: Event<'_>, span: Range<usize>) -> Result<(), YamlError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let kind = scalar(text, style, tag.as_deref());
                self.add(
                    anchor,
                    Node {
                        span,
                        kind,
                        size: 1,
                    },
                )
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    let what = "an alias of what it stands in".to_owned();
                    return Err(YamlError { what, span });
                };
                self.put(node, &span)
            }
            Event::SequenceStart(anchor, _) => self.open(span, anchor, Opened::List(Vec::new())),
            Event::MappingStart(anchor, _) => {
                self.open(span, anchor, Opened::Map(Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(&span),
            _ => Ok(()),
        }
    }

    fn open(&mut self, span: Range<usize>, anchor: usize, kind: Opened) -> Result<(), YamlError> {
        if self.open.len() >= DEEPEST {
            let what = too_deep();
            return Err(YamlError { what, span });
        }
        self.open.push(Open {
            start: span.start,
            anchor,
            size: 1,
            kind,
        });
        Ok(())
    }

    fn close(&mut self, span: &Range<usize>) -> Result<(), YamlError> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let kind = match open.kind {
            Opened::List(items) => Kind::List(items),
            Opened::Map(entries, _) => Kind::Map(merged(entries)),
        };
        // A block ends where the next value begins: what is between them is no part of it.
        let end = self.places.trimmed(open.start, span.end);
        let node = Node {
            span: open.start..end,
            kind,
            size: open.size,
        };
        self.add(open.anchor, node)
    }

    /// Adds a value that may have a name.
    fn add(&mut self, anchor: usize, node: Node) -> Result<(), YamlError> {
        let span = node.span.clone();
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.count += 1;
        self.put(node, &span)
    }

    /// Puts a value into the list or mapping that is open.
    fn put(&mut self, node: Rc<Node>, span: &Range<usize>) -> Result<(), YamlError> {
        let Some(open) = self.open.last_mut() else {
            self.root = (!matches!(node.kind, Kind::Null)).then_some(node);
            return Ok(());
        };
        open.size = open.size.saturating_add(node.size);
        if open.size > MOST_VALUES || self.count > MOST_VALUES {
            let what = format!("more than {MOST_VALUES} values, with the aliases written out");
            let span = span.clone();
            return Err(YamlError { what, span });
        }
        match &mut open.kind {
            Opened::List(items) => items.push(node),
            Opened::Map(entries, key) => match key.take() {
                None => *key = Some((as_key(&node), span.clone())),
                Some((key, key_span)) => entries.push(Entry {
                    key,
                    key_span,
                    value: node,
                }),
            },
        }
        Ok(())
    }
}

fn too_deep() -> String {
    format!("deeper than {DEEPEST} values in each other")
}

/// Returns a key as JSON has it: a text.
fn as_key(node: &Node) -> String {
    node.text().map_or_else(|| node.json(), str::to_owned)
}

/// Returns the entries with those that `<<` merges in: a mapping, or several.
fn merged(entries: Vec<Entry>) -> Vec<Entry> {
    if entries.iter().all(|entry| entry.key != "<<") {
        return entries;
    }
    let (merges, mut own): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.key == "<<");
    for merge in merges {
        let several = merge.value.items().iter().map(|item| &**item);
        for from in std::iter::once(&*merge.value).chain(several) {
            for entry in from.entries() {
                if own.iter().all(|there| there.key != entry.key) {
                    own.push(entry.clone());
                }
            }
        }
    }
    own
}

/// Returns what a scalar is, as kubectl reads it.
fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>) -> Kind {
    let is_text = match tag {
        Some(tag) => tag.suffix == "str" || tag.handle == "!",
        None => style != ScalarStyle::Plain,
    };
    if is_text {
        return Kind::Text(text.into_owned());
    }
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        // The words of YAML 1.1, which kubectl reads.
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return Kind::Bool(true);
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Kind::Bool(false);
        }
        _ => {}
    }
    number(&text).map_or_else(|| Kind::Text(text.into_owned()), Kind::Number)
}

fn number(text: &str) -> Option<serde_json::Number> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if let Ok(number) = text.parse::<u64>() {
        return Some(number.into());
    }
    if let Ok(number) = text.parse::<i64>() {
        return Some(number.into());
    }
    if let Some(number) = digits
        .strip_prefix("0x")
        .and_then(|hex| u64::from_str_radix(hex, 16).ok())
    {
        return Some(number.into());
    }
    let is_float = digits
        .bytes()
        .all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    let number = text.parse().ok().filter(|_| is_float)?;
    serde_json::Number::from_f64(number)
}

/// From the parser's places, which count characters, to bytes of the file.
struct Places<'t> {
    text: &'t str,
    /// Where the document begins in the file.
    offset: usize,
    /// The byte of every so many characters.
    known: Vec<usize>,
    is_ascii: bool,
}

/// The characters between two places that are known.
const STEP: usize = 256;

impl<'t> Places<'t> {
    fn new(text: &'t str, offset: usize) -> Self {
        let is_ascii = text.is_ascii();
        let known = if is_ascii {
            Vec::new()
        } else {
            let bytes = text.char_indices().step_by(STEP);
            bytes.map(|(byte, _)| byte).collect()
        };
        Self {
            text,
            offset,
            known,
            is_ascii,
        }
    }

    fn span(&self, span: Span) -> Range<usize> {
        let (start, end) = (span.start.index(), span.end.index());
        let start = self.byte(start);
        start..self.byte(end).max(start)
    }

    /// Returns the byte of a character.
    fn byte(&self, index: usize) -> usize {
        let inside = if self.is_ascii {
            index.min(self.text.len())
        } else {
            let known = self.known.get(index / STEP).copied();
            let known = known.unwrap_or(self.text.len());
            let rest = self.text.get(known..).unwrap_or_default();
            let mut rest = rest.char_indices();
            rest.nth(index % STEP)
                .map_or(self.text.len(), |(byte, _)| known + byte)
        };
        self.offset + inside
    }

    /// Returns where a value that begins at `start` ends, without blank lines and comments
    /// behind it.
    fn trimmed(&self, start: usize, end: usize) -> usize {
        let begin = start.saturating_sub(self.offset);
        let mut text = self
            .text
            .get(begin..end.saturating_sub(self.offset))
            .unwrap_or_default()
            .trim_end();
        while let Some((before, last)) = text.rsplit_once('\n') {
            if last.trim_start().starts_with('#') {
                text = before.trim_end();
            } else {
                break;
            }
        }
        start + text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Rc<Node> {
        let mut all = documents(text);
        all.next().unwrap().unwrap().root
    }

    #[test]
    fn a_value_knows_its_place_in_the_file() {
        let text = "# ä\n---\nname: ü\n---\nspec:\n  # é\n  http:\n  - name: \"blue\"\n";
        let second = documents(text).nth(1).unwrap().unwrap().root;
        let item = &second.at(&["spec", "http"]).unwrap().items()[0];
        let name = item.get("name").unwrap();
        assert_eq!(&text[name.span.clone()], "\"blue\"");
        assert_eq!(&text[item.entry("name").unwrap().key_span.clone()], "name");
        assert_eq!(&text[item.span.clone()], "name: \"blue\"");
    }

    #[test]
    fn scalars_are_what_kubectl_reads() {
        for (yaml, json) in [
            ("a", "\"a\""),
            ("~", "null"),
            ("on", "true"),
            ("'on'", "\"on\""),
            ("!!str 7", "\"7\""),
            ("7", "7"),
            ("-7", "-7"),
            ("0x10", "16"),
            ("1.5", "1.5"),
            ("1e2", "100.0"),
            ("18446744073709551615", "18446744073709551615"),
            ("10.0.0.1", "\"10.0.0.1\""),
            ("1-2", "\"1-2\""),
            ("{a: 1, a: 2}", r#"{"a":1,"a":2}"#),
        ] {
            assert_eq!(
                one(&format!("x: {yaml}"))
                    .get("x")
                    .map_or("null".to_owned(), |node| node.json()),
                json,
                "{yaml}"
            );
        }
    }

    #[test]
    fn aliases_and_merges_are_read() {
        let root = one("a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\n");
        assert_eq!(
            root.json(),
            r#"{"a":{"x":1,"y":2},"b":{"x":1,"y":2},"c":{"y":3,"x":1}}"#
        );
    }

    #[test]
    fn a_document_that_is_wrong_does_not_hide_the_next_one() {
        let all: Vec<_> = documents("a: [\n---\nb: 1\n").collect();
        assert!(all[0].is_err());
        assert_eq!(all[1].as_ref().unwrap().root.json(), r#"{"b":1}"#);
    }

    #[test]
    fn aliases_that_explode_and_depth_are_errors() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = format!("*a{}", level - 1);
            let list = [&*before; 10].join(", ");
            bomb += &format!("a{level}: &a{level} [{list}]\n");
        }
        let error = documents(&bomb).next().unwrap().unwrap_err();
        assert!(error.what.contains("more than 1000000 values"), "{error:?}");
        let deep = "[".repeat(150);
        let error = documents(&deep).next().unwrap().unwrap_err();
        assert!(error.what.contains("deeper than 100"), "{error:?}");
        assert!(documents(&"[".repeat(50_000)).next().unwrap().is_err());
        let loops = documents("a: &a [*a]\n").next().unwrap();
        assert!(loops.is_err());
    }
}
