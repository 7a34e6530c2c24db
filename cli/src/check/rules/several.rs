//! What only several routes or objects show together.

use super::http_routes::{self, HttpRule};
use super::list::{
    DELEGATE, DELEGATE_NAME, HOST_WEIGHTS, PIN_ANSWERS, PIN_MISSES, PIN_NO_VERSION, SUBSET_MISSING,
    VERSION_RULE,
};
use super::virtual_services::{Http, http, repeats};
use super::{Checker, Object, Said, listed};
use crate::mesh::{full_host, joined};
use crate::yaml::Node;
use bluegreen::core::config::VERSION_HEADER;
use bluegreen::core::marked_routes::{MIRROR, PINS, WEIGHTED};
use bluegreen::core::version::Version;
use std::collections::{HashMap, HashSet};

/// Looks at all objects.
pub(super) fn check(checker: &mut Checker<'_>) {
    let rules = by_host(checker);
    let mut handed_over = HashSet::new();
    for object in checker.of_kind("VirtualService") {
        let all = http(object.root);
        delegates(checker, object, &all, &mut handed_over);
        if !all
            .iter()
            .any(|route| route.is_weighted() || route.is_pin())
        {
            continue;
        }
        subsets(checker, object, &all, &rules);
        pins(checker, object, &all);
    }
    hosts(checker);
    version_rules(checker);
}

fn place(object: Object<'_>, item: &Node) -> (String, String) {
    let text = |key| item.text_at(&["destination", key]).unwrap_or_default();
    let namespace = object.namespace().unwrap_or("default");
    (
        full_host(text("host"), namespace),
        text("subset").to_owned(),
    )
}

/// The `DestinationRule`s, by their hosts in full; by the short one where kubectl takes the
/// namespace of the day.
fn by_host<'f>(checker: &Checker<'f>) -> HashMap<String, Vec<Object<'f>>> {
    let mut by_host: HashMap<String, Vec<Object<'f>>> = HashMap::new();
    for rule in checker.of_kind("DestinationRule") {
        let host = rule.root.text_at(&["spec", "host"]).unwrap_or_default();
        let host = match rule.namespace() {
            Some(namespace) => full_host(host, namespace),
            None => host.to_owned(),
        };
        by_host.entry(host).or_default().push(rule);
    }
    by_host
}

/// A subset that no `DestinationRule` of its host has. Where there is none of the host,
/// it may lie in another folder.
fn subsets(
    checker: &mut Checker<'_>,
    object: Object<'_>,
    all: &[Http<'_>],
    rules: &HashMap<String, Vec<Object<'_>>>,
) {
    for item in all.iter().flat_map(|route| route.destinations()) {
        let (host, subset) = place(object, item);
        let short = item.text_at(&["destination", "host"]).unwrap_or_default();
        let of_host = rules.get(&host).or_else(|| rules.get(short));
        let of_host = of_host.map(Vec::as_slice).unwrap_or_default();
        let names: Vec<&str> = of_host
            .iter()
            .filter_map(|rule| rule.root.at(&["spec", "subsets"]))
            .flat_map(Node::items)
            .filter_map(|subset| subset.text_at(&["name"]))
            .collect();
        let Some(rule) = of_host.first() else {
            continue;
        };
        if subset.is_empty() || names.contains(&&*subset) {
            continue;
        }
        let said = Said {
            what: format!("no DestinationRule of {host} has a subset \"{subset}\""),
            write: if names.is_empty() {
                "add it to the DestinationRule.".to_owned()
            } else {
                format!("write one of {}, or add it there.", listed(&names))
            },
            why: "Envoy knows no such cluster, and answers 503 to whom the route takes there."
                .to_owned(),
        };
        let node = item.at(&["destination", "subset"]).unwrap_or(item);
        let also = (rule.place(), "has the others".to_owned());
        let finding = checker.find(&SUBSET_MISSING, object.at(node), said);
        if !finding.also.contains(&also) {
            finding.also.push(also);
        }
    }
}

fn name(item: &Node) -> &str {
    let text = |key| item.text_at(&["destination", key]);
    let host = text("host").and_then(|host| host.split('.').next());
    text("subset").or(host).unwrap_or_default()
}

/// The value of the pin header that an entry matches.
fn value<'n>(entry: &'n Node, pin: &str) -> Option<&'n Node> {
    let headers = entry.at(&["headers"])?;
    let mut all = headers.entries().iter();
    let header = all.find(|header| header.key.eq_ignore_ascii_case(pin))?;
    header.value.at(&["exact"])
}

fn pins(checker: &mut Checker<'_>, object: Object<'_>, all: &[Http<'_>]) {
    let pin = checker.pin.clone();
    let main = || {
        let weighted = all.iter().copied().filter(|route| route.is_weighted());
        weighted.filter(|route| route.name != MIRROR)
    };
    // One that lists too few is found already.
    let is_dealt = main().next().is_some() && main().all(|route| route.destinations().len() > 1);
    for route in all.iter().copied().filter(|route| route.is_pin()) {
        let [only] = route.destinations() else {
            continue;
        };
        let version = name(only);
        let destination = |item: &Node| place(object, item);
        let mut versions = main().flat_map(Http::destinations);
        if is_dealt && !versions.any(|item| destination(item) == destination(only)) {
            let names = main().flat_map(Http::destinations).map(|item| name(item));
            let mut names: Vec<&str> = names.collect();
            names.dedup();
            let said = Said {
                what: format!(
                    "{} leads to \"{version}\", which no weighted route lists",
                    route.subject()
                ),
                write: format!(
                    "lead it to one of {}, or list the version at weight 0.",
                    listed(&names)
                ),
                why: "A tester would see what no user gets.".to_owned(),
            };
            checker.find(&PIN_NO_VERSION, object.at(only), said);
        }
        for value in route
            .entries()
            .iter()
            .filter_map(|entry| value(entry, &pin))
        {
            let text = value.text().unwrap_or_default();
            let answers = Version::new(version.as_bytes())
                .is_some_and(|version| version.answers_to(text.as_bytes()));
            if !answers {
                let said = Said {
                    what: format!("\"{version}\" does not answer to the pin \"{text}\""),
                    write: format!("match \"{version}\", or what follows a - in it."),
                    why: format!(
                        "The pin holds, and the tester is told all the same: \
                         {pin}: not-routed; served={version}."
                    ),
                };
                checker.find(&PIN_ANSWERS, object.at(value), said);
            }
        }
    }
    let of_pins: Vec<Http<'_>> = all.iter().copied().filter(|route| route.is_pin()).collect();
    for weighted in main().filter(|_| !of_pins.is_empty()) {
        let is_missed = !of_pins.iter().any(|route| {
            repeats(*route, weighted, &pin)
                || route.entries().iter().any(|entry| is_bare(entry, &pin))
        });
        // Then the pin route that is most like it is told to repeat it.
        let differs = of_pins
            .iter()
            .any(|route| main().all(|main| !repeats(*route, main, &pin)));
        if is_missed && !differs {
            let said = Said {
                what: format!("no pin route takes the requests of \"{}\"", weighted.name),
                write: "repeat its `match` in a pin route for each version.".to_owned(),
                why: "On its paths a pin does not hold, and testers are told so.".to_owned(),
            };
            checker.find(&PIN_MISSES, object.span(&weighted.span_of("match")), said);
        }
    }
}

/// Whether an entry asks for the pin header and nothing else.
fn is_bare(entry: &Node, pin: &str) -> bool {
    let headers = entry
        .at(&["headers"])
        .map(Node::entries)
        .unwrap_or_default();
    entry.entries().len() == 1
        && headers.len() == 1
        && headers
            .iter()
            .all(|header| header.key.eq_ignore_ascii_case(pin))
}

/// What becomes of routes by `delegate`: the name of both, and the destinations of the other.
/// `seen`: the names by which somebody delegates to an object, those that are none of ours
/// as one. Many may delegate to one that has many routes.
fn delegates<'f>(
    checker: &mut Checker<'f>,
    object: Object<'f>,
    all: &[Http<'f>],
    seen: &mut HashSet<(&'f str, *const Node)>,
) {
    for route in all {
        let Some(delegate) = route.node.get("delegate") else {
            continue;
        };
        let (name, namespace) = (
            delegate.text_at(&["name"]),
            delegate.text_at(&["namespace"]),
        );
        let is_others = !is_ours(route.name) && !route.name.is_empty();
        let as_one = if is_others { "others" } else { route.name };
        for other in checker.named("VirtualService", name) {
            let beside = match namespace {
                Some(namespace) => other.namespace().is_none_or(|other| other == namespace),
                None => other.is_beside(object),
            };
            if !beside || !seen.insert((as_one, std::ptr::from_ref(other.root))) {
                continue;
            }
            for to in http(other.root) {
                handed_over(checker, (object, *route), (other, to));
            }
        }
    }
}

fn is_ours(name: &str) -> bool {
    WEIGHTED.contains(&name) || PINS.contains(&name)
}

fn handed_over<'f>(
    checker: &mut Checker<'f>,
    (object, route): (Object<'f>, Http<'f>),
    (other, to): (Object<'f>, Http<'f>),
) {
    let joined = joined([route.name, to.name]);
    let count = to.destinations().len();
    let (rule, place, said) = if WEIGHTED.contains(&&*joined) && count == 1 {
        let said = Said {
            what: format!(
                "{} gets the name \"{joined}\", and has one destination",
                to.subject()
            ),
            write: "list the versions in `route`, two or more.".to_owned(),
            why: "With one destination or none Envoy refuses the whole route table. No admission \
                  policy sees it, for it takes both objects to know."
                .to_owned(),
        };
        (&DELEGATE, to.span_of("route"), said)
    } else if !is_ours(&joined) && (is_ours(to.name) || is_ours(route.name) && count > 1) {
        let said = Said {
            what: format!("{} gets the name \"{joined}\"", to.subject()),
            write: "leave out one of the two names: Istio joins them.".to_owned(),
            why: "It is no name of ours, so the filter is off there: nobody is sticky, and no \
                  response is tagged or counted."
                .to_owned(),
        };
        (&DELEGATE_NAME, to.span(), said)
    } else {
        return;
    };
    let also = (
        object.span(&route.span_of("delegate")),
        "hands over to it".to_owned(),
    );
    checker.find(rule, other.span(&place), said).also.push(also);
}

/// Two objects of one host with other weights.
fn hosts(checker: &mut Checker<'_>) {
    let all = checker.of_kind("VirtualService");
    let hosts = |object: Object<'_>| -> Vec<String> {
        let hosts = object.root.at(&["spec", "hosts"]);
        let texts = hosts.into_iter().flat_map(Node::items);
        texts
            .filter_map(|host| host.text().map(str::to_owned))
            .collect()
    };
    let weights = |object: Object<'_>| -> Option<(Vec<u64>, std::ops::Range<usize>)> {
        let route = http(object.root)
            .into_iter()
            .find(|route| route.is_weighted() && route.destinations().len() > 1)?;
        let weights = route.dealt().parts.iter().map(|part| part.weight).collect();
        Some((weights, route.span()))
    };
    // Of each host the first one that deals it.
    let mut first_of: HashMap<String, Object<'_>> = HashMap::new();
    for object in all {
        let Some((own, span)) = weights(object) else {
            continue;
        };
        for host in hosts(object) {
            let first = *first_of.entry(host.clone()).or_insert(object);
            let Some((others, of_first)) = weights(first) else {
                continue;
            };
            // Two states of one object are no two objects.
            let is_same = first.name() == object.name() && first.is_beside(object);
            if is_same || own == others {
                continue;
            }
            let said = Said {
                what: format!(
                    "VirtualService \"{}\" deals {host} otherwise than \"{}\"",
                    object.name(),
                    first.name()
                ),
                write: "write the same weights in both, in one order.".to_owned(),
                why: "A user has one bucket on a host, and with others meets several versions."
                    .to_owned(),
            };
            let also = (first.span(&of_first), "has others".to_owned());
            let finding = checker.find(&HOST_WEIGHTS, object.span(&span), said);
            finding.also.push(also);
        }
    }
}

/// A backend of a named rule that no version rule leads to, where there are some.
fn version_rules(checker: &mut Checker<'_>) {
    let objects: Vec<Object<'_>> = ["HTTPRoute", "GRPCRoute"]
        .iter()
        .flat_map(|kind| checker.of_kind(kind))
        .collect();
    let rules: Vec<(Object<'_>, HttpRule<'_>)> = objects
        .iter()
        .flat_map(|object| {
            http_routes::rules(object.root)
                .into_iter()
                .map(|rule| (*object, rule))
        })
        .collect();
    // Of each value the objects with a rule for it; and of all values together.
    let mut by_value: HashMap<&str, Vec<Object<'_>>> = HashMap::new();
    let mut namespaces: HashSet<Option<&str>> = HashSet::new();
    for (object, rule) in &rules {
        for value in rule.versions() {
            let value = value.text().unwrap_or_default();
            by_value.entry(value).or_default().push(*object);
            namespaces.insert(object.namespace());
        }
    }
    for (object, rule) in rules.iter().filter(|(_, rule)| rule.is_named()) {
        let namespace = object.namespace();
        let has_some = match namespace {
            Some(_) => namespaces.contains(&namespace) || namespaces.contains(&None),
            None => !namespaces.is_empty(),
        };
        if !has_some || rule.backends().len() < 2 {
            continue;
        }
        for backend in rule.backends() {
            let Some(name) = backend.at(&["name"]) else {
                continue;
            };
            let text = name.text().unwrap_or_default();
            let rules = by_value.get(text).map(Vec::as_slice).unwrap_or_default();
            if rules.iter().any(|other| other.is_beside(*object)) {
                continue;
            }
            let said = Said {
                what: format!("no version rule leads to \"{text}\""),
                write: format!(
                    "write a rule that matches {VERSION_HEADER}: {text}, in a route of its own on the \
                     same hosts."
                ),
                why:
                    "The filter asks for the backend by this header. Without the rule the request \
                      is dealt by chance."
                        .to_owned(),
            };
            checker.find(&VERSION_RULE, object.at(name), said);
        }
    }
}
