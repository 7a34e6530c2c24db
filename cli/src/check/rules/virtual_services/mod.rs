//! What the admission policies say of a `VirtualService`, in their words.

mod refused;
mod warned;

pub(super) use warned::repeats;

use super::weights::{Dealt, Part};
use super::{Checker, Object};
use crate::yaml::Node;
use bluegreen::core::marked_routes::{PINS, WEIGHTED};
use std::ops::Range;
use std::rc::Rc;

/// An http route.
#[derive(Clone, Copy)]
pub(super) struct Http<'n> {
    pub(super) node: &'n Node,
    /// Its name; empty: none.
    pub(super) name: &'n str,
}

impl<'n> Http<'n> {
    pub(super) fn new(node: &'n Node) -> Self {
        Self {
            node,
            name: node.text_at(&["name"]).unwrap_or_default(),
        }
    }

    pub(super) fn is_weighted(self) -> bool {
        WEIGHTED.contains(&self.name)
    }

    pub(super) fn is_pin(self) -> bool {
        PINS.contains(&self.name)
    }

    /// As messages call it.
    pub(super) fn subject(self) -> String {
        match self.name {
            "" => "http route without a name".to_owned(),
            name => format!("http route \"{name}\""),
        }
    }

    /// Where its name stands, or its beginning.
    pub(super) fn span(self) -> Range<usize> {
        let name = self.node.at(&["name"]);
        name.map_or_else(|| self.node.head(), |name| name.span.clone())
    }

    /// Where a field of it stands, or its name.
    pub(super) fn span_of(self, field: &str) -> Range<usize> {
        let entry = self.node.entry(field);
        entry.map_or_else(|| self.span(), |entry| entry.key_span.clone())
    }

    pub(super) fn destinations(self) -> &'n [Rc<Node>] {
        let list = self.node.get("route");
        list.map(|list| list.items()).unwrap_or_default()
    }

    pub(super) fn entries(self) -> &'n [Rc<Node>] {
        let list = self.node.get("match");
        list.map(|list| list.items()).unwrap_or_default()
    }

    pub(super) fn has(self, field: &str) -> bool {
        self.node.get(field).is_some()
    }

    /// Whether a `match` entry names this header.
    fn matches(entry: &Node, header: &str) -> bool {
        let headers = entry.get("headers");
        let mut names = headers.into_iter().flat_map(|headers| headers.entries());
        names.any(|name| name.key.eq_ignore_ascii_case(header))
    }

    fn destination(item: &Node) -> Option<&Node> {
        item.at(&["destination"])
    }

    /// Whether all of its destinations are some of another route's.
    fn is_within(self, other: Self) -> bool {
        self.destinations().iter().all(|item| {
            let own = Self::destination(item);
            let mut others = other.destinations().iter();
            others.any(|other| same(own, Self::destination(other)))
        })
    }

    /// What its weights deal.
    pub(super) fn dealt(self) -> Dealt<'n> {
        let parts = self.destinations().iter().map(|item| {
            let key = Self::destination(item).unwrap_or(item);
            Part {
                key,
                name: version(item),
                weight: weight(item),
            }
        });
        Dealt {
            subject: self.subject(),
            destinations: "destinations",
            span: self.span(),
            parts: parts.collect(),
        }
    }
}

/// Returns the http routes of an object.
pub(super) fn http(root: &Node) -> Vec<Http<'_>> {
    let list = root.at(&["spec", "http"]);
    let items = list.into_iter().flat_map(Node::items);
    items.map(|node| Http::new(node)).collect()
}

fn weight(item: &Node) -> u64 {
    let weight = item.get("weight").and_then(|weight| weight.number());
    weight.unwrap_or_default()
}

/// Returns what a destination is called: its subset, else its host.
fn version(item: &Node) -> String {
    let subset = item.text_at(&["destination", "subset"]);
    let host = item.text_at(&["destination", "host"]);
    subset.or(host).unwrap_or_default().to_owned()
}

fn same(one: Option<&Node>, other: Option<&Node>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.same(other),
        (None, None) => true,
        _ => false,
    }
}

/// Looks at a `VirtualService`.
pub(super) fn check<'f>(checker: &mut Checker<'f>, object: Object<'f>) {
    let all = http(object.root);
    if all
        .iter()
        .any(|route| route.is_weighted() || route.is_pin())
    {
        refused::check(checker, object, &all);
    }
    if all.iter().any(|route| route.name.starts_with("bluegreen")) {
        warned::check(checker, object, &all);
    }
}
