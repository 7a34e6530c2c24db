//! The routes that an `HTTPRoute` makes.

use super::condition::Text;
use super::route::Source;
use super::virtual_service::namespace;
use super::{Action, Condition, Destination, Route};
use crate::yaml::Node;
use std::cmp::Reverse;

/// Returns the routes of an `HTTPRoute`: one for each entry of its rules' `matches`.
pub(super) fn routes(root: &Node) -> Vec<Route> {
    let name = root.text_at(&["metadata", "name"]).unwrap_or_default();
    let source = Source {
        kind: "HTTPRoute",
        name: name.to_owned(),
        namespace: namespace(root).to_owned(),
    };
    let hosts = root.at(&["spec", "hostnames"]);
    let hosts = hosts.into_iter().flat_map(Node::items);
    let mut hosts: Vec<String> = hosts
        .filter_map(|host| host.text().map(str::to_owned))
        .collect();
    if hosts.is_empty() {
        hosts.push("*".to_owned());
    }
    let rules = root.at(&["spec", "rules"]);
    let rules = rules.into_iter().flat_map(Node::items);
    rules
        .flat_map(|rule| {
            let matches = rule.get("matches");
            let matches = matches.into_iter().flat_map(|list| list.items());
            let mut matches: Vec<_> = matches.map(|entry| conditions(entry)).collect();
            if matches.is_empty() {
                matches.push(Vec::new());
            }
            let name = rule.text_at(&["name"]).unwrap_or_default();
            matches.into_iter().map(|conditions| Route {
                source: source.clone(),
                hosts: hosts.clone(),
                name: name.to_owned(),
                matches: vec![conditions],
                action: action(rule, &source.namespace),
                span: rule.span.clone(),
                at: String::new(),
            })
        })
        .collect()
}

/// Puts the routes in the order in which a request is held against them: an exact path,
/// the longest path, a method, most headers, most parameters (Gateway API,
/// `HTTPRouteRule.matches`).
pub(super) fn sort(routes: &mut [Route]) {
    routes.sort_by_key(|route| {
        let conditions = || route.matches.iter().flatten();
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
    let text = |node: &Node, exact: &str| {
        let value = node.text_at(&["value"]).unwrap_or_default();
        match node.text_at(&["type"]).unwrap_or(exact) {
            "RegularExpression" => Text::regex(value),
            _ => Text::Exact(value.to_owned()),
        }
    };
    if let Some(path) = entry.get("path") {
        let value = path.text_at(&["value"]).unwrap_or("/");
        all.push(match path.text_at(&["type"]).unwrap_or("PathPrefix") {
            "PathPrefix" => Condition::Below(value.to_owned()),
            _ => Condition::Path(text(path, "Exact"), false),
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
            all.push(make(name, text(each, "Exact")));
        }
    }
    all
}
