//! What Argo Rollouts and Flagger would do with the objects beside theirs.

use super::list::{
    ARGO_MANAGED, ARGO_ROUTES, ARGO_SUBSETS, FLAGGER_AFFINITY, FLAGGER_DELEGATION, FLAGGER_MATCH,
    FLAGGER_STEPS,
};
use super::virtual_services::http;
use super::{Checker, Object, Said, listed};
use crate::yaml::Node;
use bluegreen::core::marked_routes::{MIRROR, PINS, WEIGHTED};

/// Looks at a `Rollout` of Argo's.
pub(super) fn rollout<'f>(checker: &mut Checker<'f>, object: Object<'f>) {
    let Some(canary) = object.root.at(&["spec", "strategy", "canary"]) else {
        return;
    };
    let Some(istio) = canary.at(&["trafficRouting", "istio"]) else {
        return;
    };
    if let Some(rule) = istio.at(&["destinationRule"]) {
        subsets(checker, object, rule);
    }
    let several = istio.at(&["virtualServices"]).map(Node::items);
    let several = several.unwrap_or_default().iter().map(|node| &**node);
    for service in istio.at(&["virtualService"]).into_iter().chain(several) {
        routes(checker, object, service);
    }
    managed(checker, object, canary);
}

/// A `DestinationRule` whose subsets Argo deletes.
fn subsets<'f>(checker: &mut Checker<'f>, object: Object<'f>, told: &'f Node) {
    let own = ["canarySubsetName", "stableSubsetName"].map(|key| told.text_at(&[key]));
    for rule in checker.named("DestinationRule", told.text_at(&["name"])) {
        if !rule.is_beside(object) {
            continue;
        }
        let subsets = rule.root.at(&["spec", "subsets"]);
        for subset in subsets.into_iter().flat_map(Node::items) {
            let Some(name) = subset.at(&["name"]) else {
                continue;
            };
            if own.contains(&name.text()) {
                continue;
            }
            let said = Said {
                what: format!("Argo Rollouts deletes the subset {}", listed(name.text())),
                write: format!(
                    "lead pins to {}, its own two, or take two Services with `pingPong`.",
                    listed(own.iter().flatten())
                ),
                why: "It writes the two subsets that it is told into the DestinationRule, and no \
                      other; routes to one that is gone answer 503."
                    .to_owned(),
            };
            let also = (object.at(told), "is told these".to_owned());
            let finding = checker.find(&ARGO_SUBSETS, rule.at(name), said);
            finding.also.push(also);
        }
    }
}

/// The routes whose weights Argo moves.
fn routes<'f>(checker: &mut Checker<'f>, object: Object<'f>, told: &'f Node) {
    let list = told.at(&["routes"]);
    let names: Vec<&Node> = list
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .map(|node| &**node)
        .collect();
    for service in checker.named("VirtualService", told.text_at(&["name"])) {
        if !service.is_beside(object) {
            continue;
        }
        let all = http(service.root);
        for name in &names {
            let text = name.text().unwrap_or_default();
            if all.iter().all(|route| route.name != text) {
                let said = Said {
                    what: format!("there is no http route {}", listed([text])),
                    write: format!(
                        "write the names of weighted routes of the VirtualService: {}.",
                        listed(
                            all.iter()
                                .map(|route| route.name)
                                .filter(|n| WEIGHTED.contains(n))
                        )
                    ),
                    why: "Argo Rollouts stands still at its first weight, with an error in its \
                          events."
                        .to_owned(),
                };
                checker.find(&ARGO_ROUTES, object.at(name), said);
            }
        }
        let is_told = |name: &str| names.iter().any(|told| told.text() == Some(name));
        let left = all.iter().filter(|route| {
            route.is_weighted()
                && route.name != MIRROR
                && route.destinations().len() > 1
                && !is_told(route.name)
                && (!names.is_empty() || all.len() > 1)
        });
        for route in left {
            let said = Said {
                what: format!("Argo Rollouts does not move \"{}\"", route.name),
                write: format!("list it: `routes: [{}]`.", {
                    let mut all: Vec<&str> = names.iter().filter_map(|name| name.text()).collect();
                    all.push(route.name);
                    all.join(", ")
                }),
                why: "It sets the weights of the routes that it is told by name. One that is not \
                      listed stays where it is, and users meet two versions."
                    .to_owned(),
            };
            let also = (object.at(told), "is told which".to_owned());
            let finding = checker.find(&ARGO_ROUTES, service.span(&route.span()), said);
            finding.also.push(also);
        }
    }
}

/// The routes that Argo adds.
fn managed(checker: &mut Checker<'_>, object: Object<'_>, canary: &Node) {
    let pin = checker.pin.clone();
    let steps = canary.at(&["steps"]);
    for step in steps.into_iter().flat_map(Node::items) {
        if let Some(name) = step.at(&["setMirrorRoute", "name"])
            && name.text() != Some(MIRROR)
        {
            let said = Said {
                what: format!("the mirrored route {} takes no part", listed(name.text())),
                write: format!("name it \"{MIRROR}\", here and in `managedRoutes`."),
                why: "It copies the weights, and under another name it deals its requests by \
                      chance: users flip on its paths."
                    .to_owned(),
            };
            checker.find(&ARGO_MANAGED, object.at(name), said);
        }
        let Some(header) = step.at(&["setHeaderRoute"]) else {
            continue;
        };
        let headers = header.at(&["match"]);
        let mut headers = headers.into_iter().flat_map(Node::items);
        let pins = headers.any(|entry| {
            let name = entry.text_at(&["headerName"]);
            name.is_some_and(|name| name.eq_ignore_ascii_case(&pin))
        });
        let name = header.at(&["name"]);
        let text = name.and_then(Node::text).unwrap_or_default();
        if let Some(name) = name.filter(|_| pins && !PINS.contains(&text)) {
            let said = Said {
                what: format!("the route {} pins, and is not named so", listed([text])),
                write: "name it \"bluegreen-pin-3\", or another one that is free, here and in \
                        `managedRoutes`."
                    .to_owned(),
                why: "The admission policy refuses it under another name, and the Rollout stands \
                      still at this step."
                    .to_owned(),
            };
            checker.find(&ARGO_MANAGED, object.at(name), said);
        }
    }
}

/// Looks at a `Canary` of Flagger's.
pub(super) fn canary(checker: &mut Checker<'_>, object: Object<'_>) {
    let root = object.root;
    let provider = root.text_at(&["spec", "provider"]).unwrap_or("istio");
    if provider != "istio" {
        return;
    }
    let has = |keys: &[&str]| root.at(keys);
    let delegates = has(&["spec", "service", "delegation"]);
    let delegates =
        delegates.is_some_and(|node| matches!(node.kind, crate::yaml::Kind::Bool(true)));
    let service = root.text_at(&["spec", "service", "name"]);
    let target = root.text_at(&["spec", "targetRef", "name"]);
    let written = service.or(target).unwrap_or_default();
    if !delegates {
        let said = Said {
            what: "nobody is sticky on the routes of this Canary".to_owned(),
            write:
                "write `service.delegation: true`, and a VirtualService of yours that hands its \
                    route \"bluegreen\" over to it by `delegate`."
                    .to_owned(),
            why: "Flagger gives its routes no names, so the filter is off there.".to_owned(),
        };
        let place = has(&["spec", "service"]).map_or_else(
            || object.place(),
            |_| {
                let spec = object.spec().and_then(|spec| spec.entry("service"));
                spec.map_or_else(|| object.place(), |entry| object.span(&entry.key_span))
            },
        );
        checker.find(&FLAGGER_DELEGATION, place, said);
        return;
    }
    if let Some(list) = has(&["spec", "analysis", "match"]) {
        let said = Said {
            what: "an A/B test writes a route with one destination".to_owned(),
            write: "remove `analysis.match`, and take `stepWeights`.".to_owned(),
            why: format!(
                "Behind a `delegate` that route gets the name of the one that delegates to \
                 \"{written}\", and Envoy refuses the whole route table."
            ),
        };
        let key = object.span(&key_of(root, &["spec", "analysis"], "match", list));
        checker.find(&FLAGGER_MATCH, key, said);
    }
    if let Some(affinity) = has(&["spec", "analysis", "sessionAffinity"]) {
        let said = Said {
            what: "Flagger keeps users by a cookie of its own".to_owned(),
            write: "remove `sessionAffinity`.".to_owned(),
            why: "Its routes take users by that cookie, and not by their buckets.".to_owned(),
        };
        let key = key_of(root, &["spec", "analysis"], "sessionAffinity", affinity);
        checker.find(&FLAGGER_AFFINITY, object.span(&key), said);
    }
    let steps = has(&["spec", "analysis", "stepWeights"]);
    let last = steps.and_then(|list| list.items().last().cloned());
    let most = has(&["spec", "analysis", "maxWeight"]);
    let (weight, node) = match (last.as_deref(), most) {
        (Some(last), _) => (last.number(), last),
        (None, Some(most)) => (most.number(), most),
        (None, None) => return,
    };
    if weight.is_some_and(|weight| weight < 100) {
        let said = Said {
            what: "the last step leaves users on the primary".to_owned(),
            write: "let `stepWeights` end with 100.".to_owned(),
            why: "At the end Flagger rolls the primary over to the new release. Who is there \
                  meanwhile meets both releases."
                .to_owned(),
        };
        checker.find(&FLAGGER_STEPS, object.at(node), said);
    }
}

/// Returns where the key of a value stands.
fn key_of(root: &Node, path: &[&str], key: &str, value: &Node) -> std::ops::Range<usize> {
    let entry = root.at(path).and_then(|node| node.entry(key));
    entry.map_or_else(|| value.span.clone(), |entry| entry.key_span.clone())
}
