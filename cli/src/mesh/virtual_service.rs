//! The routes that a `VirtualService` makes: one for each entry of its routes' `match`.

use super::condition::Text;
use super::delegate::{self, Delegate, Delegates};
use super::route::{Made, Source, Spot, TooMany};
use super::{Action, Condition, Destination, Route};
use crate::files::File;
use crate::yaml::{Kind, Node};
use std::rc::Rc;

/// Adds the routes of a `VirtualService`, in their order. `number` is the place of its
/// file.
pub(super) fn add(
    number: usize,
    file: &File,
    root: &Node,
    delegates: &Delegates<'_>,
    all: &mut Made,
) -> Result<(), TooMany> {
    let source = Rc::new(source(root));
    let hosts = Rc::new(texts(root, "hosts"));
    let mut gateways = texts(root, "gateways");
    if gateways.is_empty() {
        gateways.push("mesh".to_owned());
    }
    let gateways = Rc::new(gateways);
    // `of_root` is a route of this object, and `leaf` one that it delegates to.
    let mut add = |of_root: &Node, leaf: Option<(&Node, &Delegate<'_>)>| {
        let own = leaf.map(|(leaf, _)| entries(leaf)).unwrap_or_default();
        if leaf.is_some() {
            all.look(entries(of_root).len().max(1), own.len().max(1))?;
        }
        let Some(matches) = delegate::within(entries(of_root), own) else {
            return Ok(());
        };
        let parts: Vec<&Node> = std::iter::once(of_root)
            .chain(leaf.map(|(leaf, _)| leaf))
            .collect();
        all.routes.extend(matches.into_iter().map(|entry| Route {
            name: envoys_name(&parts, &entry),
            hosts: Rc::clone(&hosts),
            conditions: conditions(&entry, &gateways),
            action: match leaf {
                Some((leaf, by)) => merged(of_root, leaf, namespace(by.root)),
                None => action(of_root, &source.namespace),
            },
            at: Spot::new(number, file, of_root),
            delegate: leaf.map(|(leaf, by)| {
                let at = Spot::new(by.number, by.file, leaf);
                (Rc::clone(&by.source), at)
            }),
            source: Rc::clone(&source),
        }));
        Ok(())
    };
    for route in http(root) {
        match delegates.find(root, route) {
            Some(by) if delegate::is_exported(root, by.root) => {
                for leaf in http(by.root) {
                    add(route, Some((leaf, by)))?;
                }
            }
            // Istio leaves the route out.
            Some(_) => {}
            None => add(route, None)?,
        }
    }
    Ok(())
}

fn http(root: &Node) -> impl Iterator<Item = &Node> {
    let http = root.at(&["spec", "http"]).map(Node::items);
    http.unwrap_or_default().iter().map(|route| &**route)
}

fn entries(route: &Node) -> &[Rc<Node>] {
    let list = route.at(&["match"]).map(Node::items);
    list.unwrap_or_default()
}

/// Returns what a `VirtualService` is called.
pub(super) fn source(root: &Node) -> Source {
    Source {
        kind: "VirtualService",
        name: root
            .text_at(&["metadata", "name"])
            .unwrap_or_default()
            .to_owned(),
        namespace: namespace(root).to_owned(),
    }
}

/// Returns the namespace of an object; `default` where it says none.
pub(super) fn namespace(root: &Node) -> &str {
    root.text_at(&["metadata", "namespace"])
        .unwrap_or("default")
}

/// Returns the texts of a list of `spec`.
pub(super) fn texts(root: &Node, key: &str) -> Vec<String> {
    root.at(&["spec"])
        .map(|spec| list(spec, key))
        .unwrap_or_default()
}

/// Returns the texts of a list.
pub(super) fn list(node: &Node, key: &str) -> Vec<String> {
    let items = node.at(&[key]).map(Node::items).unwrap_or_default();
    let texts = items.iter().filter_map(|item| item.text());
    texts.map(str::to_owned).collect()
}

/// Returns the text of a key; empty: it has none.
pub(super) fn text<'n>(node: &'n Node, key: &str) -> &'n str {
    node.text_at(&[key]).unwrap_or_default()
}

/// Returns whether a flag is set.
pub(super) fn flag(node: &Node, key: &str) -> bool {
    let flag = node.at(&[key]).map(|flag| &flag.kind);
    matches!(flag, Some(Kind::Bool(true)))
}

/// Returns the name that Istio makes of one and of those of what it delegates to.
pub(crate) fn joined<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names = names.into_iter().filter(|name| !name.is_empty());
    names.collect::<Vec<_>>().join("-")
}

/// Returns the name that Istio gives to a route of these parts and entries of `match`.
fn envoys_name(parts: &[&Node], entries: &[&Node]) -> String {
    let joined = |nodes: &[&Node]| joined(nodes.iter().map(|node| text(node, "name")));
    match (joined(parts), joined(entries)) {
        (name, of_match) if of_match.is_empty() => name,
        (name, of_match) => format!("{name}.{of_match}"),
    }
}

fn action(route: &Node, namespace: &str) -> Action {
    if route.get("delegate").is_some() {
        let name = route.text_at(&["delegate", "name"]).unwrap_or_default();
        return Action::Delegates(name.to_owned());
    }
    merged(route, route, namespace)
}

/// Returns what a route does that `root` delegates to.
fn merged(root: &Node, leaf: &Node, namespace: &str) -> Action {
    let answers = |of: &Node, key, default: u16| {
        let status = of.at(&[key]).and_then(Node::number);
        let status = status.and_then(|status| u16::try_from(status).ok());
        Action::Answers(status.unwrap_or(default))
    };
    if let Some(redirect) = leaf.get("redirect") {
        return answers(redirect, "redirectCode", 301);
    }
    if let Some(answer) = leaf.get("directResponse").or(root.get("directResponse")) {
        return answers(answer, "status", 200);
    }
    let list = leaf.get("route");
    let items = list.map(|list| list.items()).unwrap_or_default();
    let destinations = items.iter().map(|item| {
        let text = |key| item.text_at(&["destination", key]).unwrap_or_default();
        let port = item.at(&["destination", "port", "number"]);
        let port = port.and_then(Node::number).unwrap_or(80);
        // One that is alone has no weight.
        let weight = if items.len() == 1 { 100 } else { 0 };
        let written = item.get("weight").and_then(|weight| weight.number());
        let written = written.and_then(|weight| u32::try_from(weight).ok());
        let weight = written.unwrap_or(weight);
        Destination::new(text("host"), text("subset"), port, namespace, weight)
    });
    Action::Destinations(destinations.collect())
}

/// Returns the conditions of these entries of `match` together. `gateways` are those of
/// the object.
fn conditions(entries: &[&Node], gateways: &Rc<Vec<String>>) -> Vec<Condition> {
    let behind = |at: usize| entries.get(at + 1).copied();
    let entries = entries.iter().enumerate();
    let mut all: Vec<Condition> = entries
        .flat_map(|(at, entry)| of_entry(entry, behind(at)))
        .collect();
    // Where an entry names gateways, Istio does not look at the caller.
    if all.iter().any(|each| matches!(each, Condition::Gateway(_))) {
        all.retain(|each| !each.is_of_caller());
    }
    all.push(Condition::Gateway(Rc::clone(gateways)));
    all
}

/// Returns the conditions of an entry of `match`. What another one behind it says, too, is
/// said there.
fn of_entry(entry: &Node, behind: Option<&Node>) -> Vec<Condition> {
    let said = |keys: &[&str]| behind.is_some_and(|behind| behind.at(keys).is_some());
    let mut all = Vec::new();
    for field in entry.entries() {
        let (key, value) = (&*field.key, &*field.value);
        let below = value.entries().iter();
        let below = below.filter(|each| !said(&[key, &each.key]));
        let below = below.map(|each| (&*each.key, &*each.value));
        match key {
            "headers" => all.extend(below.map(|(name, value)| of_header(name, value))),
            "withoutHeaders" => all.extend(below.map(|(name, value)| {
                let header = of_header(name, value);
                Condition::Not(Box::new(header))
            })),
            "queryParams" => all.extend(below.filter_map(|(name, value)| {
                let text = of_text(value)?;
                Some(Condition::Parameter(name.to_owned(), text))
            })),
            "sourceLabels" => all.extend(below.map(|(label, value)| {
                let value = value.text().unwrap_or_default().to_owned();
                Condition::CallerLabel(label.to_owned(), value)
            })),
            "name" | "ignoreUriCase" | "statPrefix" => {}
            _ if said(&[key]) => {}
            "uri" => {
                let ignores_case = flag(entry, "ignoreUriCase");
                all.extend(of_text(value).map(|text| Condition::Path(text, ignores_case)));
            }
            "scheme" | "method" | "authority" => {
                all.extend(of_text(value).map(|text| Condition::Header(format!(":{key}"), text)));
            }
            "gateways" => {
                let names = list(entry, key);
                all.extend((!names.is_empty()).then(|| Condition::Gateway(names.into())));
            }
            "port" => all.extend(value.number().map(Condition::Port)),
            "sourceNamespace" => {
                let namespace = value.text().unwrap_or_default().to_owned();
                all.push(Condition::CallerNamespace(namespace));
            }
            other => all.push(Condition::Unknown(other.to_owned())),
        }
    }
    all
}

fn of_header(key: &str, value: &Node) -> Condition {
    let name = key.to_ascii_lowercase();
    match (of_text(value), claim(key)) {
        (Some(text), Some(claim)) => Condition::Claim(claim, text),
        _ if name.starts_with('@') => Condition::Unknown(name),
        (Some(text), None) => Condition::Header(name, text),
        (None, _) => Condition::Present(name),
    }
}

/// Returns the claim of a token that stands in the place of a header, with dots between
/// its parts: `@request.auth.claims.a.b` and `@request.auth.claims[a][b]`.
fn claim(key: &str) -> Option<String> {
    const CLAIMS: &str = "@request.auth.claims";
    let (begin, rest) = key.split_at_checked(CLAIMS.len())?;
    let parts = rest
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let parts = parts.map(|parts| parts.replace("][", "."));
    let parts = parts.or_else(|| rest.strip_prefix('.').map(str::to_owned));
    parts.filter(|parts| begin.eq_ignore_ascii_case(CLAIMS) && !parts.is_empty())
}

fn of_text(value: &Node) -> Option<Text> {
    if let Some(exact) = value.text_at(&["exact"]) {
        return Some(Text::Exact(exact.to_owned()));
    }
    if let Some(prefix) = value.text_at(&["prefix"]) {
        return Some(Text::Prefix(prefix.to_owned()));
    }
    value.text_at(&["regex"]).map(Text::regex)
}
