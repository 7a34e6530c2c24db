//! What the admission policies say of a `VirtualService`, in their words.

use super::list::{
    CLAIM, COPY, MATCH_NAME, NAME_TWICE, PIN_BELOW, PIN_DIFFERS, PIN_OPEN, PIN_UNNAMED, SINGLE,
    UNEQUAL, UNKNOWN_NAME,
};
use super::weights::{self, Dealt, Part};
use super::{Checker, Object, Said};
use crate::yaml::Node;
use bluegreen::core::marked_routes::{MIRROR, PINS, WEIGHTED};
use std::ops::Range;
use std::rc::Rc;

/// An http route.
#[derive(Clone, Copy)]
pub(super) struct Http<'n> {
    pub(super) node: &'n Node,
    /// Its name; empty: none.
    pub(super) name: &'n str,
}

impl<'n> Http<'n> {
    pub(super) fn new(node: &'n Node) -> Self {
        Self {
            node,
            name: node.text_at(&["name"]).unwrap_or_default(),
        }
    }

    pub(super) fn is_weighted(self) -> bool {
        WEIGHTED.contains(&self.name)
    }

    pub(super) fn is_pin(self) -> bool {
        PINS.contains(&self.name)
    }

    /// As messages call it.
    pub(super) fn subject(self) -> String {
        match self.name {
            "" => "http route without a name".to_owned(),
            name => format!("http route \"{name}\""),
        }
    }

    /// Where its name stands, or its beginning.
    pub(super) fn span(self) -> Range<usize> {
        let name = self.node.at(&["name"]);
        name.map_or_else(|| self.node.head(), |name| name.span.clone())
    }

    /// Where a field of it stands, or its name.
    pub(super) fn span_of(self, field: &str) -> Range<usize> {
        let entry = self.node.entry(field);
        entry.map_or_else(|| self.span(), |entry| entry.key_span.clone())
    }

    pub(super) fn destinations(self) -> &'n [Rc<Node>] {
        let list = self.node.get("route");
        list.map(|list| list.items()).unwrap_or_default()
    }

    pub(super) fn entries(self) -> &'n [Rc<Node>] {
        let list = self.node.get("match");
        list.map(|list| list.items()).unwrap_or_default()
    }

    pub(super) fn has(self, field: &str) -> bool {
        self.node.get(field).is_some()
    }

    /// Whether a `match` entry names this header.
    fn matches(entry: &Node, header: &str) -> bool {
        let headers = entry.get("headers");
        let mut names = headers.into_iter().flat_map(|headers| headers.entries());
        names.any(|name| name.key.eq_ignore_ascii_case(header))
    }

    fn destination(item: &Node) -> Option<&Node> {
        item.at(&["destination"])
    }

    /// Whether all of its destinations are some of another route's.
    fn is_within(self, other: Self) -> bool {
        self.destinations().iter().all(|item| {
            let own = Self::destination(item);
            let mut others = other.destinations().iter();
            others.any(|other| same(own, Self::destination(other)))
        })
    }

    /// What its weights deal.
    pub(super) fn dealt(self) -> Dealt<'n> {
        let parts = self.destinations().iter().map(|item| {
            let key = Self::destination(item).unwrap_or(item);
            Part {
                key,
                name: version(item),
                weight: weight(item),
            }
        });
        Dealt {
            subject: self.subject(),
            destinations: "destinations",
            span: self.span(),
            parts: parts.collect(),
        }
    }
}

/// Returns the http routes of an object.
pub(super) fn http(root: &Node) -> Vec<Http<'_>> {
    let list = root.at(&["spec", "http"]);
    let items = list.into_iter().flat_map(Node::items);
    items.map(|node| Http::new(node)).collect()
}

fn weight(item: &Node) -> u64 {
    let weight = item.get("weight").and_then(|weight| weight.number());
    weight.unwrap_or_default()
}

/// Returns what a destination is called: its subset, else its host.
fn version(item: &Node) -> String {
    let subset = item.text_at(&["destination", "subset"]);
    let host = item.text_at(&["destination", "host"]);
    subset.or(host).unwrap_or_default().to_owned()
}

fn same(one: Option<&Node>, other: Option<&Node>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.same(other),
        (None, None) => true,
        _ => false,
    }
}

/// Looks at a `VirtualService`.
pub(super) fn check<'f>(checker: &mut Checker<'f>, object: Object<'f>) {
    let all = http(object.root);
    if all
        .iter()
        .any(|route| route.is_weighted() || route.is_pin())
    {
        refused(checker, object, &all);
    }
    if all.iter().any(|route| route.name.starts_with("bluegreen")) {
        warned(checker, object, &all);
    }
}

// ---- what the policy bluegreen refuses ------------------------------------------------

fn refused(checker: &mut Checker<'_>, object: Object<'_>, all: &[Http<'_>]) {
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

// ---- what the policy bluegreen-warnings says ------------------------------------------

fn warned<'f>(checker: &mut Checker<'f>, object: Object<'f>, all: &[Http<'f>]) {
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
pub(super) fn repeats(route: Http<'_>, weighted: Http<'_>, pin: &str) -> bool {
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
