//! The routes that a `VirtualService` makes.

use super::condition::Text;
use super::route::Source;
use super::{Action, Condition, Destination, Route};
use crate::yaml::Node;

/// Returns the routes of a `VirtualService`, in their order.
pub(super) fn routes(root: &Node) -> Vec<Route> {
    let text = |keys: &[&str]| root.text_at(keys).unwrap_or_default().to_owned();
    let source = Source {
        kind: "VirtualService",
        name: text(&["metadata", "name"]),
        namespace: namespace(root).to_owned(),
    };
    let texts = |key: &str| {
        let list = root.at(&["spec", key]);
        let items = list.into_iter().flat_map(Node::items);
        let texts = items.filter_map(|item| item.text());
        texts.map(str::to_owned).collect::<Vec<_>>()
    };
    let (hosts, gateways) = (texts("hosts"), texts("gateways"));
    let gateways = if gateways.is_empty() {
        vec!["mesh".to_owned()]
    } else {
        gateways
    };
    let http = root.at(&["spec", "http"]);
    let http = http.into_iter().flat_map(Node::items);
    http.map(|route| {
        let matches = route.get("match");
        let matches = matches.into_iter().flat_map(|list| list.items());
        let mut matches: Vec<Vec<Condition>> = matches.map(|entry| conditions(entry)).collect();
        if matches.is_empty() {
            matches.push(Vec::new());
        }
        for all in &mut matches {
            if !all.iter().any(|each| matches!(each, Condition::Gateway(_))) {
                all.push(Condition::Gateway(gateways.clone()));
            }
        }
        Route {
            name: envoys_name(route),
            hosts: hosts.clone(),
            matches,
            action: action(route, &source.namespace),
            span: route.span.clone(),
            at: String::new(),
            source: source.clone(),
        }
    })
    .collect()
}

/// Returns the namespace of an object; `default` where it says none.
pub(super) fn namespace(root: &Node) -> &str {
    root.text_at(&["metadata", "namespace"])
        .unwrap_or("default")
}

/// Returns the name that Istio gives to the route.
fn envoys_name(route: &Node) -> String {
    let own = route.text_at(&["name"]).unwrap_or_default();
    let entries = route.get("match");
    let entries = entries.into_iter().flat_map(|list| list.items());
    let mut of_match = entries.filter_map(|entry| entry.text_at(&["name"]));
    match of_match.find(|name| !name.is_empty()) {
        Some(name) => format!("{own}.{name}"),
        None => own.to_owned(),
    }
}

fn action(route: &Node, namespace: &str) -> Action {
    if let Some(delegate) = route.get("delegate") {
        let name = delegate.text_at(&["name"]).unwrap_or_default();
        return Action::Delegates(name.to_owned());
    }
    if let Some(answer) = route.get("directResponse") {
        let status = answer.get("status").and_then(|status| status.number());
        let status = status.and_then(|status| u16::try_from(status).ok());
        return Action::Answers(status.unwrap_or(200));
    }
    if let Some(redirect) = route.get("redirect") {
        let status = redirect.get("redirectCode").and_then(|code| code.number());
        let status = status.and_then(|status| u16::try_from(status).ok());
        return Action::Answers(status.unwrap_or(301));
    }
    let list = route.get("route");
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

/// Returns the conditions of an entry of `match`.
fn conditions(entry: &Node) -> Vec<Condition> {
    let mut all = Vec::new();
    for field in entry.entries() {
        let (key, value) = (&*field.key, &*field.value);
        match key {
            "name" | "ignoreUriCase" => {}
            "uri" => {
                let ignores_case = matches!(
                    entry.get("ignoreUriCase").map(|flag| &flag.kind),
                    Some(crate::yaml::Kind::Bool(true))
                );
                all.extend(text(value).map(|text| Condition::Path(text, ignores_case)));
            }
            "scheme" | "method" | "authority" => {
                all.extend(text(value).map(|text| Condition::Header(format!(":{key}"), text)));
            }
            "headers" => all.extend(value.entries().iter().map(|header| {
                let name = header.key.to_ascii_lowercase();
                of_header(name, &header.value)
            })),
            "withoutHeaders" => all.extend(value.entries().iter().map(|header| {
                let name = header.key.to_ascii_lowercase();
                Condition::Not(Box::new(of_header(name, &header.value)))
            })),
            "queryParams" => all.extend(value.entries().iter().filter_map(|parameter| {
                let text = text(&parameter.value)?;
                Some(Condition::Parameter(parameter.key.clone(), text))
            })),
            "gateways" => {
                let names = value.items().iter().filter_map(|item| item.text());
                all.push(Condition::Gateway(names.map(str::to_owned).collect()));
            }
            "sourceNamespace" => {
                let namespace = value.text().unwrap_or_default().to_owned();
                all.push(Condition::CallerNamespace(namespace));
            }
            other => all.push(Condition::Unknown(other.to_owned())),
        }
    }
    all
}

fn of_header(name: String, value: &Node) -> Condition {
    match text(value) {
        // What a token claims is no header.
        Some(_) if name.starts_with('@') => Condition::Unknown(name),
        Some(text) => Condition::Header(name, text),
        None => Condition::Present(name),
    }
}

fn text(value: &Node) -> Option<Text> {
    if let Some(exact) = value.text_at(&["exact"]) {
        return Some(Text::Exact(exact.to_owned()));
    }
    if let Some(prefix) = value.text_at(&["prefix"]) {
        return Some(Text::Prefix(prefix.to_owned()));
    }
    value.text_at(&["regex"]).map(Text::regex)
}
