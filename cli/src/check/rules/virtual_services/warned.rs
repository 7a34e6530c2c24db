//! What the policy `bluegreen-warnings` warns of.

use super::{Http, http, same, version, weight};
use crate::check::rules::list::{CLAIM, PIN_DIFFERS, PIN_OPEN, UNEQUAL, UNKNOWN_NAME};
use crate::check::rules::{Checker, Object, Said, weights};
use crate::yaml::Node;
use bluegreen::core::marked_routes::{MIRROR, PINS, WEIGHTED};
use std::rc::Rc;

/// Looks at the routes of an object that has one with a name like ours.
pub(super) fn check<'f>(checker: &mut Checker<'f>, object: Object<'f>, all: &[Http<'f>]) {
    let pin = checker.pin.clone();
    for route in all {
        let is_like_ours = route.name.starts_with("bluegreen");
        if is_like_ours && !route.is_weighted() && !route.is_pin() {
            let pins = [PINS.first(), PINS.get(1), PINS.last()].map(|name| *name.unwrap_or(&""));
            let said = Said {
                what: format!("{} is named as none of ours", route.subject()),
                write: format!(
                    "it takes no part under this name. Weighted routes are named {}; those that \
                     match the header {pin} {}, {} to {}.",
                    WEIGHTED.join(", "),
                    pins[0],
                    pins[1],
                    pins[2]
                ),
                why: String::new(),
            };
            checker.find(&UNKNOWN_NAME, object.span(&route.span()), said);
        }
    }
    let dealt: Vec<Http<'_>> = all
        .iter()
        .copied()
        .filter(|route| route.is_weighted() && route.destinations().len() > 1)
        .collect();
    if let Some(before) = checker.before(object) {
        let before = http(before);
        let pairs = dealt.iter().filter_map(|now| {
            let mut all = before.iter();
            let before = all.find(|old| old.name == now.name && old.has("route"))?;
            Some((now.dealt(), before.dealt()))
        });
        let pairs: Vec<_> = pairs.collect();
        weights::compare(checker, object, &pairs);
    }
    unequal(checker, object, &dealt);
    let main: Vec<Http<'_>> = all
        .iter()
        .copied()
        .filter(|route| route.is_weighted() && route.name != MIRROR)
        .collect();
    for route in all.iter().copied().filter(|route| route.is_pin()) {
        differs(checker, object, route, &main);
        let is_open = route.entries().is_empty()
            || route
                .entries()
                .iter()
                .any(|entry| !Http::matches(entry, &pin));
        if is_open {
            let said = Said {
                what: format!("{} takes requests without a pin", route.subject()),
                write: format!("match the header {pin} in each entry of `match`."),
                why: "Without it the route takes the requests of everybody, whatever the weights say."
                    .to_owned(),
            };
            checker.find(&PIN_OPEN, object.span(&route.span_of("match")), said);
        }
    }
    claimed(checker, object, all);
}

fn unequal(checker: &mut Checker<'_>, object: Object<'_>, dealt: &[Http<'_>]) {
    let Some((first, rest)) = dealt.split_first() else {
        return;
    };
    let weights = |route: &Http<'_>| -> Vec<u64> {
        route
            .destinations()
            .iter()
            .map(|item| weight(item))
            .collect()
    };
    for route in rest {
        let same_order = route.destinations().len() == first.destinations().len()
            && route
                .destinations()
                .iter()
                .zip(first.destinations())
                .all(|(one, other)| same(Http::destination(one), Http::destination(other)));
        let differs = weights(route) != weights(first) || !same_order && route.is_within(*first);
        if !differs {
            continue;
        }
        let parts: Vec<String> = first
            .destinations()
            .iter()
            .map(|item| format!("{} {}", version(item), weight(item)))
            .collect();
        let said = Said {
            what: format!(
                "{} has other weights than \"{}\"",
                route.subject(),
                first.name
            ),
            write: format!(
                "write the weights of \"{}\", in its order: {}.",
                first.name,
                parts.join(", ")
            ),
            why: "With others one user meets several versions.".to_owned(),
        };
        let also = (object.span(&first.span()), "has these".to_owned());
        let finding = checker.find(&UNEQUAL, object.span(&route.span()), said);
        finding.also.push(also);
    }
}

/// What a pin route has to repeat, beside `match`.
const REPEATED: [&str; 4] = ["rewrite", "headers", "timeout", "retries"];

/// What an entry of `match` may ask for, beside headers.
const ASKED: [&str; 11] = [
    "uri",
    "scheme",
    "method",
    "authority",
    "port",
    "gateways",
    "queryParams",
    "ignoreUriCase",
    "withoutHeaders",
    "sourceLabels",
    "sourceNamespace",
];

/// Returns whether the entries of a pin route's `match` are a weighted one's, with the pin
/// header in addition.
pub(in crate::check::rules) fn repeats(route: Http<'_>, weighted: Http<'_>, pin: &str) -> bool {
    let (own, others) = (route.entries(), weighted.entries());
    if own.is_empty() || others.is_empty() {
        let mut all = own.iter().chain(others);
        let is_empty = |entry: &Rc<Node>| {
            let is_pins = |name: &str| name.eq_ignore_ascii_case(pin);
            let headers = entry.get("headers");
            let mut names = headers.into_iter().flat_map(|headers| headers.entries());
            names.all(|name| is_pins(&name.key))
                && ASKED.iter().all(|field| entry.get(field).is_none())
        };
        return own.len().max(1) == others.len().max(1) && all.all(is_empty);
    }
    own.len() == others.len()
        && own
            .iter()
            .all(|entry| others.iter().any(|other| repeats_entry(entry, other, pin)))
}

fn repeats_entry(entry: &Node, other: &Node, pin: &str) -> bool {
    let field = |node: &Node, field: &str| node.get(field).cloned();
    let asks = ASKED.iter().all(|name| {
        let (one, two) = (field(entry, name), field(other, name));
        same(one.as_deref(), two.as_deref())
    });
    let headers = |node: &Node| node.get("headers").cloned();
    let (own, of_other) = (headers(entry), headers(other));
    let names = |headers: &Option<Rc<Node>>| headers.clone();
    let (own, of_other) = (names(&own), names(&of_other));
    let own_fit = own.iter().flat_map(|own| own.entries()).all(|header| {
        header.key.eq_ignore_ascii_case(pin)
            || of_other.as_ref().is_some_and(|other| {
                let there = other.entry(&header.key);
                there.is_some_and(|there| there.value.same(&header.value))
            })
    });
    let others_fit = of_other
        .iter()
        .flat_map(|other| other.entries())
        .all(|header| {
            own.as_ref()
                .is_some_and(|own| own.entry(&header.key).is_some())
        });
    asks && own_fit && others_fit
}

fn differs(checker: &mut Checker<'_>, object: Object<'_>, route: Http<'_>, main: &[Http<'_>]) {
    let pin = checker.pin.clone();
    let of = |weighted: &Http<'_>| -> Vec<&'static str> {
        let mut fields = Vec::new();
        if !repeats(route, *weighted, &pin) {
            fields.push("match");
        }
        fields.extend(REPEATED.into_iter().filter(|field| {
            let (own, other) = (route.node.get(field), weighted.node.get(field));
            let other = other.map(|node| &**node);
            !same(own.map(|node| &**node), other) && (other.is_some() || !weighted.has("delegate"))
        }));
        fields
    };
    let all = main.iter().map(|weighted| (weighted, of(weighted)));
    let Some((weighted, fields)) = all.min_by_key(|(_, fields)| fields.len()) else {
        return;
    };
    let Some(first) = fields.first() else { return };
    let quoted: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
    let said = Said {
        what: format!("{} differs from \"{}\"", route.subject(), weighted.name),
        write: format!(
            "repeat what \"{}\" says of {}.",
            weighted.name,
            quoted.join(", ")
        ),
        why: "Else those who pin are not served as all others are.".to_owned(),
    };
    let also = (object.span(&weighted.span_of(first)), "says it".to_owned());
    let finding = checker.find(&PIN_DIFFERS, object.span(&route.span()), said);
    finding.also.push(also);
}

fn claimed(checker: &mut Checker<'_>, object: Object<'_>, all: &[Http<'_>]) {
    let by_claim = |route: &Http<'_>| {
        !route.entries().is_empty()
            && route.entries().iter().all(|entry| {
                let headers = entry.get("headers");
                let mut names = headers.into_iter().flat_map(|headers| headers.entries());
                names.any(|name| name.key.starts_with("@request.auth."))
            })
    };
    let weighted: Vec<&Http<'_>> = all.iter().filter(|route| route.is_weighted()).collect();
    if weighted.is_empty() || !weighted.iter().all(|route| by_claim(route)) {
        return;
    }
    if let Some(route) = weighted.first() {
        let said = Said {
            what: format!("{} is for a token's claim alone", route.subject()),
            write: "name the route, too, that takes a request without the claim.".to_owned(),
            why: "Envoy chooses the filters by that one, before it knows what a token claims, and \
                  then this one is not sticky."
                .to_owned(),
        };
        checker.find(&CLAIM, object.span(&route.span_of("match")), said);
    }
}
