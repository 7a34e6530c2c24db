//! Which route takes a request, in words.

use super::proxy::{Proxy, Request};
use crate::mesh::{Route, Side, Source};
use bluegreen::core::route_name::RouteName;
use std::fmt::Write as _;

/// Returns which route takes a request.
pub(super) fn route(proxy: &Proxy<'_>, sent: &Request<'_>) -> String {
    let Some(route) = sent.route else {
        return no_route(proxy, sent);
    };
    let mut text = match sent.found {
        Some(found) if found.name != route.name => {
            format!(
                "{}, which \"{}\" was before the filter",
                named(route),
                found.name
            )
        }
        _ => named(route),
    };
    let mut unknown: Vec<String> = Vec::new();
    for words in route
        .conditions
        .iter()
        .filter_map(|each| each.unknown(proxy.facts()))
    {
        if !unknown.contains(&words) {
            unknown.push(words);
        }
    }
    if !unknown.is_empty() {
        let _ = write!(text, "; taken for met: {}", unknown.join(", "));
    }
    text
}

fn named(route: &Route) -> String {
    let name = match &*route.name {
        "" => "a route without a name".to_owned(),
        name => format!("\"{name}\""),
    };
    let of = |source: &Source| format!("{}.{}", source.name, source.namespace);
    let by = route.delegate.as_ref();
    let by = by.map(|(source, at)| format!(", by delegate {} ({})", of(source), at.at));
    let (kind, at) = (route.source.kind, &route.at.at);
    let by = by.unwrap_or_default();
    format!("{name} of {kind} {} ({at}){by}", of(&route.source))
}

fn no_route(proxy: &Proxy<'_>, sent: &Request<'_>) -> String {
    let (whose, own) = match proxy.facts().side {
        Side::Gateway => ("of a gateway", None),
        Side::Caller(_) => ("of the mesh", Some("host")),
        Side::Waypoint { .. } => ("of the waypoint", Some("Service")),
    };
    let routes = proxy.routes().of_host(&sent.upstream, proxy.facts());
    let then = match own.filter(|_| routes.is_empty()) {
        Some(own) => format!("is for the {own}: Istio's own takes it there"),
        None => "fits: Envoy answers 404".to_owned(),
    };
    let mut hosts: Vec<&str> = Vec::new();
    for host in proxy.routes().all().iter().flat_map(|route| &*route.hosts) {
        if !hosts.contains(&&**host) {
            hosts.push(host);
        }
    }
    format!(
        "none {whose} {then}. There are some for {}",
        hosts.join(", ")
    )
}

/// Returns why the filter does nothing with a request.
pub(super) fn off(sent: &Request<'_>) -> String {
    if sent.found.is_none() {
        return "off: there is no route".to_owned();
    }
    if !sent.runs {
        return "off: the route has no name of ours. No cookie, no tag, no count".to_owned();
    }
    let name = sent.found.map_or("", |route| &route.name);
    match RouteName::of(name.as_bytes()) {
        RouteName::IsMisspelled => {
            "leaves it alone: the name begins as one that states weights, and \
            states none; counted as bg_reason=\"route-name\""
                .to_owned()
        }
        _ => "leaves it alone: the route's name states no weights".to_owned(),
    }
}
