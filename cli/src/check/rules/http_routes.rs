//! What the admission policies say of an `HTTPRoute` or `GRPCRoute`, in their words.

use super::list::{
    ASTRAY, BACKEND_UNFIT, MARKED_NAME, NAME_MISSING, NAME_WEIGHTS, RULE_TWICE, UNEQUAL,
    UNKNOWN_NAME, VERSIONS_WITH_WEIGHTS,
};
use super::weights::{self, Dealt, Part};
use super::{Checker, Object, Said};
use crate::yaml::Node;
use bluegreen::core::config::VERSION_HEADER;
use bluegreen::core::marked_routes::WEIGHTED;
use bluegreen::core::pin::PinName;
use bluegreen::core::route_name::PREFIX;
use std::ops::Range;
use std::rc::Rc;

/// A rule of a route.
#[derive(Clone, Copy)]
pub(super) struct HttpRule<'n> {
    pub(super) node: &'n Node,
    pub(super) name: &'n str,
}

impl<'n> HttpRule<'n> {
    fn new(node: &'n Node) -> Self {
        Self {
            node,
            name: node.text_at(&["name"]).unwrap_or_default(),
        }
    }

    fn subject(self) -> String {
        format!("rule \"{}\"", self.name)
    }

    pub(super) fn span(self) -> Range<usize> {
        let name = self.node.at(&["name"]);
        name.map_or_else(|| self.node.head(), |name| name.span.clone())
    }

    pub(super) fn backends(self) -> &'n [Rc<Node>] {
        let list = self.node.get("backendRefs");
        list.map(|list| list.items()).unwrap_or_default()
    }

    /// Whether its name begins as one that states weights.
    pub(super) fn is_named(self) -> bool {
        self.name.as_bytes().starts_with(PREFIX)
    }

    /// The name that states its weights.
    fn stated(self) -> String {
        let parts = self.backends().iter().map(|each| {
            let name = each.text_at(&["name"]).unwrap_or_default();
            format!("{name}-{}", weight(each))
        });
        let prefix = String::from_utf8_lossy(PREFIX).into_owned();
        prefix + &parts.collect::<Vec<_>>().join(".")
    }

    /// The values of the version header that it matches, with their places.
    pub(super) fn versions(self) -> Vec<&'n Node> {
        let matches = self.node.get("matches");
        let entries = matches.into_iter().flat_map(|list| list.items());
        let headers = entries.flat_map(|entry| {
            let headers = entry.get("headers");
            headers.map(|list| list.items()).unwrap_or_default()
        });
        let ours = headers.filter(|header| {
            let name = header.text_at(&["name"]).unwrap_or_default();
            name.eq_ignore_ascii_case(VERSION_HEADER)
        });
        ours.map(|header| header.at(&["value"]).unwrap_or(header))
            .collect()
    }

    fn dealt(self) -> Dealt<'n> {
        let parts = self.backends().iter().map(|each| Part {
            key: each.at(&["name"]).unwrap_or(each),
            name: each.text_at(&["name"]).unwrap_or_default().to_owned(),
            weight: weight(each),
        });
        Dealt {
            subject: self.subject(),
            destinations: "backends",
            span: self.span(),
            parts: parts.collect(),
        }
    }

    /// Whether another rule has the same backends, in any order.
    fn has_those_of(self, other: Self) -> bool {
        let names = |rule: Self| -> Vec<&str> {
            let all = rule.backends().iter();
            all.filter_map(|each| each.text_at(&["name"])).collect()
        };
        let (own, others) = (names(self), names(other));
        own.len() == others.len() && own.iter().all(|name| others.contains(name))
    }
}

fn weight(backend: &Node) -> u64 {
    let weight = backend.get("weight").and_then(|weight| weight.number());
    weight.unwrap_or(1)
}

/// Returns the rules of an object.
pub(super) fn rules(root: &Node) -> Vec<HttpRule<'_>> {
    let list = root.at(&["spec", "rules"]);
    let items = list.into_iter().flat_map(Node::items);
    items.map(|node| HttpRule::new(node)).collect()
}

/// Looks at an `HTTPRoute`.
pub(super) fn check<'f>(checker: &mut Checker<'f>, object: Object<'f>) {
    let all = rules(object.root);
    for rule in all.iter().filter(|rule| WEIGHTED.contains(&rule.name)) {
        let said = Said {
            what: format!(
                "{} has the name of a VirtualService's route",
                rule.subject()
            ),
            write: format!(
                "name it \"{}\", after its weights, and have it picked by the filter of \
                 gateway-api/.",
                rule.stated()
            ),
            why: "Under its name Envoy is to pick, but Istio leaves out backends of weight 0, and \
                  with one left Envoy refuses the whole route table."
                .to_owned(),
        };
        checker.find(&MARKED_NAME, object.span(&rule.span()), said);
    }
    names(checker, object, &all);
    warned(checker, object, &all);
}

/// What the policy bluegreen-named refuses.
fn names(checker: &mut Checker<'_>, object: Object<'_>, all: &[HttpRule<'_>]) {
    let mut is_unfit = false;
    for rule in all.iter().filter(|rule| rule.is_named()) {
        let names = || rule.backends().iter().map(|each| each.text_at(&["name"]));
        let fits = |name: Option<&str>| {
            name.is_some_and(|name| {
                let twice = names().filter(|other| *other == Some(name)).count() > 1;
                PinName::fits(name.as_bytes()) && !twice
            })
        };
        if rule.backends().is_empty() || !names().all(fits) {
            is_unfit = true;
            let said = Said {
                what: format!("{} has a backend that is no version", rule.subject()),
                write: "list Services in `backendRefs`, each once and each with a name of its own \
                        of at most 63 letters, digits and \"-\": a backend is a version, which is \
                        known by this name."
                    .to_owned(),
                why: String::new(),
            };
            checker.find(&BACKEND_UNFIT, object.span(&rule.span()), said);
        }
    }
    for rule in all.iter().filter(|rule| rule.is_named() && !is_unfit) {
        let stated = rule.stated();
        if rule.name != stated {
            let said = Said {
                what: format!("{} does not state its weights", rule.subject()),
                write: format!("name it \"{stated}\", after its weights."),
                why: "The filter picks by the name, and Envoy would deal by weights that differ \
                      from it."
                    .to_owned(),
            };
            checker.find(&NAME_WEIGHTS, object.span(&rule.span()), said);
        }
    }
    let label = object.root.text_at(&["metadata", "labels", "bluegreen"]);
    for (at, rule) in all.iter().enumerate().filter(|_| label == Some("sticky")) {
        if rule.backends().len() > 1 && !rule.is_named() {
            let said = Said {
                what: format!("rules[{at}] is labelled as sticky, and has no such name"),
                write: format!(
                    "name it \"{}\", after its weights, because of the label `bluegreen: sticky`.",
                    rule.stated()
                ),
                why: "Under another name its requests are dealt by chance. (Where the policy \
                      bluegreen-naming is installed, it writes the name.)"
                    .to_owned(),
            };
            checker.find(&NAME_MISSING, object.span(&rule.span()), said);
        }
    }
}

/// What the policy bluegreen-named-warnings says.
fn warned<'f>(checker: &mut Checker<'f>, object: Object<'f>, all: &[HttpRule<'f>]) {
    for rule in all {
        let is_like_ours = rule.name.starts_with("bluegreen") && !rule.is_named();
        if is_like_ours && !WEIGHTED.contains(&rule.name) {
            let said = Said {
                what: format!("{} is named as none of ours", rule.subject()),
                write: format!(
                    "it takes no part under this name. A weighted rule is named after its weights, \
                     such as bluegreen.shop-blue-70.shop-green-30; those that match the header \
                     {VERSION_HEADER} may have any other name."
                ),
                why: String::new(),
            };
            checker.find(&UNKNOWN_NAME, object.span(&rule.span()), said);
        }
    }
    let named: Vec<HttpRule<'_>> = all.iter().copied().filter(|rule| rule.is_named()).collect();
    for (at, rule) in named.iter().enumerate() {
        if named.iter().take(at).any(|other| other.name == rule.name) {
            let said = Said {
                what: format!("{} is there twice", rule.subject()),
                write: "two rules have this name, which has to be unique. Make one rule of them \
                        with several `matches`, or two routes."
                    .to_owned(),
                why: "The experimental CRDs of the Gateway API refuse such a route.".to_owned(),
            };
            checker.find(&RULE_TWICE, object.span(&rule.span()), said);
        }
    }
    let first_version = all.iter().find(|rule| !rule.versions().is_empty());
    if let (Some(rule), Some(version)) = (named.first(), first_version) {
        let said = Said {
            what: format!("{} has version rules beside it", rule.subject()),
            write: format!(
                "move the rules that match the header {VERSION_HEADER} into a route of their own, \
                 on the same hosts."
            ),
            why:
                "Argo Rollouts sets weights in all rules of a route, and Flagger writes all of it \
                  anew."
                    .to_owned(),
        };
        let also = (object.span(&version.span()), "one of these".to_owned());
        let finding = checker.find(&VERSIONS_WITH_WEIGHTS, object.span(&rule.span()), said);
        finding.also.push(also);
    }
    for rule in all {
        for value in rule.versions() {
            let name = value.text().unwrap_or_default();
            let leads = match rule.backends() {
                [only] => only.text_at(&["name"]) == Some(name),
                _ => false,
            };
            if !leads {
                let said = Said {
                    what: format!("the rule that matches {VERSION_HEADER}: {name} leads elsewhere"),
                    write: "write the backend of this name into it, and no other.".to_owned(),
                    why: "The filter asks for a backend by its name, and else another one answers."
                        .to_owned(),
                };
                checker.find(&ASTRAY, object.at(value), said);
            }
        }
    }
    compare(checker, object, &named);
    if let Some((first, rest)) = named.split_first() {
        for rule in rest {
            if rule.name != first.name && rule.has_those_of(*first) {
                let said = Said {
                    what: format!(
                        "{} has other weights than \"{}\"",
                        rule.subject(),
                        first.name
                    ),
                    write: format!("write the weights of \"{}\", in its order.", first.name),
                    why: "With others one user meets several versions.".to_owned(),
                };
                checker.find(&UNEQUAL, object.span(&rule.span()), said);
            }
        }
    }
}

/// Compares the named rules with those of before: they match the same requests, and have a
/// backend in common.
fn compare<'f>(checker: &mut Checker<'f>, object: Object<'f>, named: &[HttpRule<'f>]) {
    let before = checker.before(object).map(rules).unwrap_or_default();
    let pairs = named.iter().filter_map(|now| {
        let is_same = |old: &&HttpRule<'_>| {
            let matches = |rule: &HttpRule<'_>| rule.node.get("matches").cloned();
            let same = match (matches(now), matches(old)) {
                (Some(one), Some(other)) => one.same(&other),
                (None, None) => true,
                _ => false,
            };
            let backends = |rule: &HttpRule<'_>| -> Vec<String> {
                let all = rule
                    .backends()
                    .iter()
                    .filter_map(|each| each.text_at(&["name"]));
                all.map(str::to_owned).collect()
            };
            let own = backends(now);
            old.is_named() && same && backends(old).iter().any(|name| own.contains(name))
        };
        let old = before.iter().find(is_same)?;
        Some((now.dealt(), old.dealt()))
    });
    let pairs: Vec<_> = pairs.collect();
    weights::compare(checker, object, &pairs);
}
