//! What the filter itself says of a `pluginConfig`, at the places of its fields.

use super::list::PLUGIN_CONFIG;
use super::{Checker, Object, Said};
use crate::check::finding::Place;
use crate::yaml::{Kind, Node};
use bluegreen::core::config::{self, join};
use std::ops::Range;

/// Looks at the configuration of a plugin.
pub(super) fn check(checker: &mut Checker<'_>, object: Object<'_>) {
    if !super::plugins::is_ours(object) {
        return;
    }
    let wasm = crate::plugin::wasm(object.root);
    if let Some(config) = wasm.and_then(|wasm| wasm.at(&["pluginConfig"])) {
        look(checker, object, config);
    }
}

/// Looks at a document that is a configuration by itself: it has a field of one.
pub(super) fn bare(checker: &mut Checker<'_>, object: Object<'_>) {
    let fields = [
        "role",
        "routes",
        "bucketHeader",
        "routeHeader",
        "identity",
        "pin",
        "tag",
        "rollouts",
    ];
    let is_one = object
        .root
        .entries()
        .iter()
        .any(|entry| fields.contains(&&*entry.key));
    if is_one {
        look(checker, object, object.root);
    }
}

fn look(checker: &mut Checker<'_>, object: Object<'_>, node: &Node) {
    let Err(errors) = config::parse(node.json().as_bytes()) else {
        return;
    };
    let mut places = Vec::new();
    collect(node, "", &mut places);
    let found: Vec<_> = errors.iter().cloned().collect();
    let more = errors.more();
    let count = found.len();
    for (at, error) in found.into_iter().enumerate() {
        let path = error.path();
        let what = error.what();
        let shown = if path.is_empty() {
            "pluginConfig"
        } else {
            path
        };
        let mut said = Said {
            what: format!("{shown}: {what}"),
            write: String::new(),
            why: String::new(),
        };
        if at + 1 == count {
            "The filter would go on with its last good configuration; where it has none, it \
             touches nothing, and nobody is sticky."
                .clone_into(&mut said.why);
            if more > 0 {
                said.write = format!("there are {more} more; mend these first");
            }
        }
        let span = place(node, &places, path, &what);
        checker.find(&PLUGIN_CONFIG, Place::new(object.file, span), said);
    }
}

/// A field, by its path: where its key stands, and its value.
struct Field {
    path: String,
    key: Range<usize>,
    value: Range<usize>,
    is_scalar: bool,
}

/// Returns where an error stands: at the value; at the key of what is unknown, repeated or
/// no scalar; of what is missing at the key of what should have it.
fn place(root: &Node, fields: &[Field], path: &str, what: &str) -> Range<usize> {
    let mut path = path;
    loop {
        // Of a field that is there twice the last one counts.
        if let Some(field) = fields.iter().rev().find(|field| field.path == path) {
            let of_key = what.contains("is not a field here") || what.starts_with("is given twice");
            return if of_key || !field.is_scalar {
                field.key.clone()
            } else {
                field.value.clone()
            };
        }
        match path.rfind(['.', '[']) {
            Some(at) => path = path.get(..at).unwrap_or_default(),
            None => return root.span.clone(),
        }
    }
}

fn collect(node: &Node, path: &str, to: &mut Vec<Field>) {
    for entry in node.entries() {
        add(join(path, &entry.key), &entry.key_span, &entry.value, to);
    }
    for (at, item) in node.items().iter().enumerate() {
        add(format!("{path}[{at}]"), &item.span, item, to);
    }
}

fn add(path: String, key: &Range<usize>, value: &Node, to: &mut Vec<Field>) {
    collect(value, &path, to);
    let is_scalar = !matches!(value.kind, Kind::Map(_) | Kind::List(_)) && !value.span.is_empty();
    to.push(Field {
        path,
        key: key.clone(),
        value: value.span.clone(),
        is_scalar,
    });
}
