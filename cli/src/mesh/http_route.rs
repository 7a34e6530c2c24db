//! The routes that an `HTTPRoute` makes.

use super::condition::Text;
use super::route::{Made, Source, Spot, TooMany};
use super::virtual_service::{namespace, text, texts};
use super::{Action, Condition, Destination, Route, full_host};
use crate::files::File;
use crate::yaml::Node;
use std::cmp::Reverse;
use std::rc::Rc;

/// Adds the routes of an `HTTPRoute`: one for each entry of its rules' `matches`, at its
/// Gateways and on each of its Services. `number` is the place of its file.
pub(super) fn add(number: usize, file: &File, root: &Node, all: &mut Made) -> Result<(), TooMany> {
    let source = Rc::new(Source {
        kind: "HTTPRoute",
        name: root
            .text_at(&["metadata", "name"])
            .unwrap_or_default()
            .to_owned(),
        namespace: namespace(root).to_owned(),
    });
    for (number_of_parent, parent) in parents(root).into_iter().enumerate() {
        let rules = root.at(&["spec", "rules"]).map(Node::items);
        for rule in rules.unwrap_or_default() {
            let matches = rule.at(&["matches"]).map(Node::items);
            let matches = matches.unwrap_or_default();
            if number_of_parent > 0 {
                all.look(matches.len().max(1), 1)?;
            }
            let mut matches: Vec<_> = matches.iter().map(|entry| conditions(entry)).collect();
            if matches.is_empty() {
                matches.push(Vec::new());
            }
            all.routes.extend(matches.into_iter().map(|mut conditions| {
                conditions.push(Condition::Gateway(Rc::clone(&parent.gateway)));
                conditions.extend(parent.port.map(Condition::Port));
                Route {
                    source: Rc::clone(&source),
                    hosts: Rc::clone(&parent.hosts),
                    name: text(rule, "name").to_owned(),
                    conditions,
                    action: action(rule, &source.namespace),
                    at: Spot::new(number, file, rule),
                    delegate: None,
                }
            }));
        }
    }
    Ok(())
}

/// What a route is attached to.
struct Parent {
    /// A Gateway, as in `shop/shop`; `mesh`: it is a Service.
    gateway: Rc<Vec<String>>,
    /// The hosts that the route is for there.
    hosts: Rc<Vec<String>>,
    /// The port of the Service that it is for; `None`: all.
    port: Option<u64>,
}

/// Returns what a route is attached to: all Gateways as one, for it has the same hosts
/// there, and each Service.
fn parents(root: &Node) -> Vec<Parent> {
    let refs = root.at(&["spec", "parentRefs"]).map(Node::items);
    let mut at_gateways = false;
    let parents = refs.unwrap_or_default().iter().filter_map(|each| {
        let name = text(each, "name");
        let namespace = each.text_at(&["namespace"]).unwrap_or(namespace(root));
        let parent = |gateway: String, hosts: Vec<String>, port| Parent {
            gateway: vec![gateway].into(),
            hosts: hosts.into(),
            port,
        };
        match each.text_at(&["kind"]).unwrap_or("Gateway") {
            "Gateway" if !at_gateways => {
                at_gateways = true;
                let mut hosts = texts(root, "hostnames");
                if hosts.is_empty() {
                    hosts.push("*".to_owned());
                }
                Some(parent(format!("{namespace}/{name}"), hosts, None))
            }
            "Service" => {
                let port = each.get("port").and_then(|port| port.number());
                let hosts = vec![full_host(name, namespace)];
                Some(parent("mesh".to_owned(), hosts, port))
            }
            _ => None,
        }
    });
    parents.collect()
}

/// Puts the routes in the order in which a request is held against them: an exact path,
/// the longest path, a method, most headers, most parameters (Gateway API,
/// `HTTPRouteRule.matches`).
pub(super) fn sort(routes: &mut [Route]) {
    routes.sort_by_key(|route| {
        let conditions = || route.conditions.iter();
        let count = |is: fn(&Condition) -> bool| conditions().filter(|each| is(each)).count();
        let exact = count(|each| matches!(each, Condition::Path(Text::Exact(_), _)));
        let longest = conditions().map(|each| match each {
            Condition::Below(prefix) => prefix.len(),
            _ => 0,
        });
        let is_method =
            |each: &Condition| matches!(each, Condition::Header(name, _) if name == ":method");
        Reverse((
            exact,
            longest.max(),
            count(is_method),
            count(|each| matches!(each, Condition::Header(..))),
            count(|each| matches!(each, Condition::Parameter(..))),
        ))
    });
}

fn action(rule: &Node, namespace: &str) -> Action {
    let refs = rule.get("backendRefs");
    let refs = refs.into_iter().flat_map(|list| list.items());
    let destinations = refs.map(|each| {
        let name = each.text_at(&["name"]).unwrap_or_default();
        let namespace = each.text_at(&["namespace"]).unwrap_or(namespace);
        let number = |key| each.get(key).and_then(|value| value.number());
        let weight = number("weight").unwrap_or(1);
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        Destination::new(name, "", number("port").unwrap_or(80), namespace, weight)
    });
    // Istio leaves out those that get nothing.
    let destinations: Vec<_> = destinations.filter(|each| each.weight > 0).collect();
    if destinations.is_empty() {
        Action::Answers(500)
    } else {
        Action::Destinations(destinations)
    }
}

fn conditions(entry: &Node) -> Vec<Condition> {
    let mut all = Vec::new();
    let value = |node: &Node, exact: &str| {
        let value = text(node, "value");
        match node.text_at(&["type"]).unwrap_or(exact) {
            "RegularExpression" => Text::regex(value),
            _ => Text::Exact(value.to_owned()),
        }
    };
    if let Some(path) = entry.get("path") {
        let prefix = path.text_at(&["value"]).unwrap_or("/");
        all.push(match path.text_at(&["type"]).unwrap_or("PathPrefix") {
            "PathPrefix" => Condition::Below(prefix.to_owned()),
            _ => Condition::Path(value(path, "Exact"), false),
        });
    }
    if let Some(method) = entry.text_at(&["method"]) {
        let method = Text::Exact(method.to_owned());
        all.push(Condition::Header(":method".to_owned(), method));
    }
    for (key, make) in [
        (
            "headers",
            Condition::Header as fn(String, Text) -> Condition,
        ),
        ("queryParams", Condition::Parameter),
    ] {
        let list = entry.get(key);
        for each in list.into_iter().flat_map(|list| list.items()) {
            let name = each.text_at(&["name"]).unwrap_or_default();
            let name = if key == "headers" {
                name.to_ascii_lowercase()
            } else {
                name.to_owned()
            };
            all.push(make(name, value(each, "Exact")));
        }
    }
    all
}
