//! What the policy `bluegreen` refuses.

use super::Http;
use crate::check::rules::list::{COPY, MATCH_NAME, NAME_TWICE, PIN_BELOW, PIN_UNNAMED, SINGLE};
use crate::check::rules::{Checker, Object, Said};
use bluegreen::core::marked_routes::{MIRROR, PINS, WEIGHTED};

/// Looks at the routes of an object that has some of ours.
pub(super) fn check(checker: &mut Checker<'_>, object: Object<'_>, all: &[Http<'_>]) {
    let weighted = || all.iter().copied().filter(|route| route.is_weighted());
    for route in weighted() {
        if !route.has("delegate") && route.destinations().len() < 2 {
            let said = Said {
                what: format!(
                    "{} has {} destination{}",
                    route.subject(),
                    route.destinations().len(),
                    if route.destinations().len() == 1 { "" } else { "s" }
                ),
                write: "list the versions in `route`, two or more, always in the same order, the \
                        one that gets nothing with `weight: 0`; or hand the route over by `delegate`."
                    .to_owned(),
                why: "With one destination or none Envoy refuses the whole route table.".to_owned(),
            };
            checker.find(&SINGLE, object.span(&route.span_of("route")), said);
        }
    }
    for route in all
        .iter()
        .filter(|route| route.is_weighted() || route.is_pin())
    {
        let mut of_entries = route
            .entries()
            .iter()
            .filter_map(|entry| entry.at(&["name"]));
        let found = of_entries.find(|name| name.text().is_some_and(|text| !text.is_empty()));
        if let Some(name) = found {
            let of_match = name.text().unwrap_or_default();
            let said = Said {
                what: format!("{} has a name in its `match`", route.subject()),
                write: format!("remove the name \"{of_match}\" of its `match` entry."),
                why: format!(
                    "With it Istio calls the route \"{}.{of_match}\", which takes no part.",
                    route.name
                ),
            };
            checker.find(&MATCH_NAME, object.at(name), said);
        }
    }
    twice(checker, object, all);
    unnamed(checker, object, all);
    below(checker, object, all);
    for route in weighted() {
        copies(checker, object, all, route);
    }
}

/// Returns the names of a list that no route has.
fn free(all: &[Http<'_>], names: &[&'static str]) -> Vec<&'static str> {
    let is_free = |name: &&str| all.iter().all(|route| route.name != *name);
    names.iter().copied().filter(is_free).collect()
}

fn twice(checker: &mut Checker<'_>, object: Object<'_>, all: &[Http<'_>]) {
    let mut told: Vec<&str> = Vec::new();
    for (at, route) in all.iter().enumerate() {
        let first = all.iter().take(at).find(|other| other.name == route.name);
        let Some(first) = first.filter(|_| !route.name.is_empty() && !told.contains(&route.name))
        else {
            continue;
        };
        told.push(route.name);
        let such = |name: Option<String>| name.map(|name| format!(", such as \"{name}\""));
        let write = if route.is_pin() {
            let name = free(all, &PINS).first().map(|name| (*name).to_owned());
            format!("{}.", such(name).unwrap_or_default())
        } else {
            let name = if route.is_weighted() {
                let free = free(all, &WEIGHTED);
                { free }
                    .into_iter()
                    .find(|name| *name != MIRROR)
                    .map(str::to_owned)
            } else {
                Some(format!("{}-2", route.name))
            };
            let name = such(name).unwrap_or_default();
            format!("{name}, or make one of them with several `match` entries.")
        };
        let said = Said {
            what: format!("{} is there twice", route.subject()),
            write: format!("two routes have this name. Give each a name of its own{write}"),
            why: "Argo Rollouts moves the first of them only, and with managedRoutes it doubles \
                  both at each step."
                .to_owned(),
        };
        let also = (object.span(&first.span()), "the first one".to_owned());
        let finding = checker.find(&NAME_TWICE, object.span(&route.span()), said);
        finding.also.push(also);
    }
}

fn unnamed(checker: &mut Checker<'_>, object: Object<'_>, all: &[Http<'_>]) {
    let pin = checker.pin.clone();
    for route in all
        .iter()
        .filter(|route| !route.is_weighted() && !route.is_pin())
    {
        let mut entries = route.entries().iter();
        if !entries.any(|entry| Http::matches(entry, &pin)) {
            continue;
        }
        let off = "the filter is off: no tag, no cookie, and nothing is counted.";
        let (write, why) = match free(all, &PINS).first() {
            Some(name) => (
                format!("name it \"{name}\", because it matches the header {pin}."),
                format!("Under another name {off}"),
            ),
            None => (
                format!(
                    "remove it, or another one that matches the header {pin}, because there are \
                     eight names for such routes."
                ),
                format!("Without one of these {off}"),
            ),
        };
        let said = Said {
            what: format!("{} pins, and is not named so", route.subject()),
            write,
            why,
        };
        checker.find(&PIN_UNNAMED, object.span(&route.span()), said);
    }
}

fn below(checker: &mut Checker<'_>, object: Object<'_>, all: &[Http<'_>]) {
    let is_first = |route: &Http<'_>| route.is_weighted() && route.name != MIRROR;
    let Some(at) = all.iter().position(is_first) else {
        return;
    };
    let (_, rest) = all.split_at(at);
    let Some(first) = rest.first() else { return };
    // The policy names the last one; each is to be moved.
    for route in rest.iter().filter(|route| route.is_pin()) {
        let said = Said {
            what: format!("{} stands below a weighted route", route.subject()),
            write: format!(
                "move it above \"{}\", the first weighted route.",
                first.name
            ),
            why: "The first route that matches is taken, so a pin below it does not hold."
                .to_owned(),
        };
        let also = (object.span(&first.span()), "takes the request".to_owned());
        let finding = checker.find(&PIN_BELOW, object.span(&route.span()), said);
        finding.also.push(also);
    }
}

fn copies(checker: &mut Checker<'_>, object: Object<'_>, all: &[Http<'_>], of: Http<'_>) {
    let above = all
        .iter()
        .take_while(|route| !std::ptr::eq(route.node, of.node));
    for route in above {
        let count = route.destinations().len();
        let is_copy = !route.is_weighted()
            && count > 1
            && count == of.destinations().len()
            && route.is_within(of);
        if !is_copy {
            continue;
        }
        let said = Said {
            what: format!("{} is a copy of \"{}\"", route.subject(), of.name),
            write: format!(
                "name it \"{MIRROR}\", \"bluegreen-2\" or \"bluegreen-3\", because it stands above \
                 \"{}\" and has its destinations.",
                of.name
            ),
            why: "Under another name it deals its requests by chance, whoever asks.".to_owned(),
        };
        checker.find(&COPY, object.span(&route.span()), said);
    }
}
