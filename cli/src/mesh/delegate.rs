//! A route that another `VirtualService` goes on with: what Istio makes of the two
//! (`MergeHTTPRoutes` in its `pilot/pkg/model/virtualservice.go`).

use super::route::Source;
use super::virtual_service::{flag, list, namespace, source, text, texts};
use crate::files::File;
use crate::yaml::Node;
use std::collections::HashMap;
use std::rc::Rc;

/// A `VirtualService` without hosts, which others delegate to.
#[derive(Debug)]
pub(super) struct Delegate<'f> {
    /// The place of its file.
    pub(super) number: usize,
    /// Its file.
    pub(super) file: &'f File,
    /// The object.
    pub(super) root: &'f Node,
    /// What it is called.
    pub(super) source: Rc<Source>,
}

/// All of some files, by name.
#[derive(Debug, Default)]
pub(super) struct Delegates<'f>(HashMap<&'f str, Vec<Delegate<'f>>>);

impl<'f> Delegates<'f> {
    /// Returns those of some files.
    pub(super) fn of(files: &'f [File]) -> Self {
        let mut new = Self::default();
        for (number, file) in files.iter().enumerate() {
            for root in file.objects.iter().filter(|root| is_delegate(root)) {
                let name = root.text_at(&["metadata", "name"]).unwrap_or_default();
                new.0.entry(name).or_default().push(Delegate {
                    number,
                    file,
                    root,
                    source: Rc::new(source(root)),
                });
            }
        }
        new
    }

    /// Returns the one to which a route of the object `root` delegates: the last of its
    /// name. A namespace that an object does not say is whatever kubectl is told.
    pub(super) fn find(&self, root: &Node, route: &Node) -> Option<&Delegate<'f>> {
        let of_name = self.0.get(route.text_at(&["delegate", "name"])?)?;
        let own = root.text_at(&["metadata", "namespace"]);
        let wanted = route.text_at(&["delegate", "namespace"]).or(own);
        of_name.iter().rev().find(|each| {
            let other = each.root.text_at(&["metadata", "namespace"]);
            wanted.is_none() || other.is_none() || wanted == other
        })
    }
}

/// Returns whether an object is a `VirtualService` without hosts.
pub(super) fn is_delegate(root: &Node) -> bool {
    let hosts = root.at(&["spec", "hosts"]).map(Node::items);
    root.text_at(&["kind"]) == Some("VirtualService") && hosts.unwrap_or_default().is_empty()
}

/// Returns whether the one may take its routes: `exportTo` of the other.
pub(super) fn is_exported(root: &Node, delegate: &Node) -> bool {
    let (to, from) = (namespace(root), namespace(delegate));
    let names = texts(delegate, "exportTo");
    let is_for = |name: &String| name == "*" || name == to || name == "." && from == to;
    names.is_empty() || names.iter().any(is_for)
}

/// Returns the entries of `match` of a route behind a root route: each with the entry of
/// the root that it lies in. No part: everything. `None`: Istio drops the route, for an
/// entry lies in none.
pub(super) fn within<'n>(root: &'n [Rc<Node>], leaf: &'n [Rc<Node>]) -> Option<Vec<Vec<&'n Node>>> {
    let alone = |entries: &'n [Rc<Node>]| entries.iter().map(|each| vec![&**each]).collect();
    match (root, leaf) {
        ([], []) => return Some(vec![Vec::new()]),
        ([], _) => return Some(alone(leaf)),
        (_, []) => return Some(alone(root)),
        _ => {}
    }
    let mut all = Vec::new();
    for own in leaf {
        let before = all.len();
        let fitting = root.iter().filter(|of_root| !conflicts(of_root, own));
        all.extend(fitting.map(|of_root| vec![&**of_root, &**own]));
        if all.len() == before {
            return None;
        }
    }
    Some(all)
}

/// Whether an entry asks for more than the one of the root lets in.
fn conflicts(root: &Node, leaf: &Node) -> bool {
    let texts = ["uri", "scheme", "method", "authority"].map(|key| vec![key]);
    let headers = ["headers", "withoutHeaders", "queryParams"].map(|map| below(leaf, map));
    let mut texts = texts.into_iter().chain(headers.into_iter().flatten());
    let mut values = below(leaf, "sourceLabels")
        .into_iter()
        .chain([vec!["port"]]);
    let both = |keys: &[&str]| root.at(keys).zip(leaf.at(keys));
    let ignores_case = |entry| flag(entry, "ignoreUriCase");
    let namespace = text(root, "sourceNamespace");
    let gateways = list(root, "gateways");
    texts.any(|keys| both(&keys).is_some_and(|(root, leaf)| texts_conflict(root, leaf)))
        || values.any(|keys| both(&keys).is_some_and(|(root, leaf)| !root.same(leaf)))
        || ignores_case(root) != ignores_case(leaf)
        || !namespace.is_empty() && namespace != text(leaf, "sourceNamespace")
        || !gateways.is_empty()
            && list(leaf, "gateways")
                .iter()
                .any(|own| !gateways.contains(own))
}

/// The keys that lead to the values of a mapping.
fn below<'n>(entry: &'n Node, map: &'n str) -> Vec<Vec<&'n str>> {
    let entries = entry.at(&[map]).map(Node::entries).unwrap_or_default();
    entries.iter().map(|each| vec![map, &*each.key]).collect()
}

/// Whether a text that fits the route's may not fit the root's.
fn texts_conflict(root: &Node, leaf: &Node) -> bool {
    match [root, leaf].map(|node| (text(node, "exact"), text(node, "prefix"))) {
        [("", ""), _] | [_, ("", "")] => true,
        [("", begin), ("", own) | (own, _)] => !own.starts_with(begin),
        [(root, _), (leaf, _)] => root != leaf,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which entry of the root lets in which one of the route, as in `0/1`; `-`: the route
    /// is dropped. The first rows are those of Istio's own tests
    /// (`pilot/pkg/model/virtualservice_test.go`).
    const ROWS: &[(&str, &str, &str)] = &[
        ("[]", "[{uri: {exact: /a}}]", "/0"),
        ("[{uri: {prefix: /a}}]", "[]", "0/"),
        ("[]", "[]", "/"),
        ("[{uri: {prefix: /a}}]", "[{uri: {exact: /a/v1}}]", "0/0"),
        ("[{uri: {regex: ^/a}}]", "[{}]", "0/0"),
        ("[{}]", "[{uri: {regex: ^/a}}]", "0/0"),
        ("[{uri: {regex: ^/a}}]", "[{uri: {prefix: /a}}]", "-"),
        ("[{uri: {prefix: /a}}]", "[{uri: {regex: ^/a}}]", "-"),
        (
            "[{uri: {prefix: /a}}, {uri: {prefix: /b}}]",
            "[{uri: {exact: /a/v1}}, {uri: {exact: /b/v1}}]",
            "0/0 1/1",
        ),
        (
            "[{headers: {a: {regex: x}}}, {headers: {b: {exact: y}}}]",
            "[{uri: {prefix: /}}]",
            "0/0 1/0",
        ),
        ("[{uri: {prefix: /a}}]", "[{uri: {exact: /b}}]", "-"),
        // One entry that lies in none is enough.
        (
            "[{uri: {prefix: /a}}]",
            "[{uri: {exact: /a/v1}}, {uri: {exact: /b}}]",
            "-",
        ),
        ("[{uri: {prefix: /a/v2}}]", "[{uri: {prefix: /a}}]", "-"),
        ("[{uri: {prefix: /a/v2}}]", "[{uri: {exact: /a/v2}}]", "0/0"),
        ("[{uri: {exact: /a}}]", "[{uri: {prefix: /a}}]", "-"),
        (
            "[{uri: {prefix: /a}}]",
            "[{uri: {prefix: /A}, ignoreUriCase: true}]",
            "-",
        ),
        (
            "[{uri: {prefix: /a}}]",
            "[{uri: {prefix: /a}, ignoreUriCase: true}]",
            "-",
        ),
        (
            "[{headers: {a: {exact: x}}}]",
            "[{headers: {a: {exact: y}}}]",
            "-",
        ),
        (
            "[{headers: {a: {exact: x}}}]",
            "[{headers: {a: {exact: x}}}]",
            "0/0",
        ),
        (
            "[{headers: {a: {prefix: x}}}]",
            "[{headers: {a: {exact: x-1}}}]",
            "0/0",
        ),
        (
            "[{headers: {a: {prefix: x}}}]",
            "[{headers: {a: {prefix: y}}}]",
            "-",
        ),
        (
            "[{headers: {a: {exact: x}}}]",
            "[{headers: {b: {exact: y}}}]",
            "0/0",
        ),
        ("[{headers: {a: {}}}]", "[{headers: {a: {exact: y}}}]", "-"),
        (
            "[{withoutHeaders: {a: {prefix: x}}}]",
            "[{withoutHeaders: {a: {exact: y}}}]",
            "-",
        ),
        (
            "[{queryParams: {a: {exact: x}}}]",
            "[{queryParams: {a: {exact: y}}}]",
            "-",
        ),
        ("[{port: 8080}]", "[{}]", "0/0"),
        ("[{}]", "[{port: 8080}]", "0/0"),
        ("[{port: 8080}]", "[{port: 8090}]", "-"),
        (
            "[{sourceLabels: {a: x}}]",
            "[{sourceLabels: {b: y}}]",
            "0/0",
        ),
        ("[{sourceLabels: {a: x}}]", "[{sourceLabels: {a: y}}]", "-"),
        ("[{sourceNamespace: a}]", "[{sourceNamespace: b}]", "-"),
        ("[{sourceNamespace: a}]", "[{}]", "-"),
        ("[{}]", "[{sourceNamespace: a}]", "0/0"),
        (
            "[{gateways: [a, mesh]}]",
            "[{gateways: [a]}, {gateways: [mesh]}]",
            "0/0 0/1",
        ),
        (
            "[{gateways: [a]}]",
            "[{gateways: [a]}, {gateways: [mesh]}]",
            "-",
        ),
        ("[{gateways: [a]}]", "[{gateways: [a, mesh]}]", "-"),
        ("[{gateways: [a]}]", "[{}]", "0/0"),
    ];

    #[test]
    fn a_route_is_kept_where_each_of_its_entries_lies_in_one_of_the_root() {
        for (root, leaf, expected) in ROWS {
            let file = File::of_text("", format!("root: {root}\nleaf: {leaf}\n"));
            let list = |key| file.objects[0].at(&[key]).expect("a list").items();
            let found = within(list("root"), list("leaf"));
            let place = |key, part: &[&Node]| {
                let mut entries = list(key).iter();
                let place = entries.position(|each| part.iter().any(|node| node.span == each.span));
                place.map(|place| place.to_string()).unwrap_or_default()
            };
            let shown = found.map_or("-".to_owned(), |parts| {
                let parts = parts.iter();
                let parts = parts.map(|part| [place("root", part), place("leaf", part)].join("/"));
                parts.collect::<Vec<_>>().join(" ")
            });
            assert_eq!(shown, *expected, "{root} {leaf}");
        }
    }
}
