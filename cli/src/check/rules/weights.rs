//! What moves users for nothing when weights change: the order, the sum, a shift past a
//! version.

use super::list::{ORDER, PAST, SUM};
use super::{Checker, Object, Said};
use crate::yaml::Node;
use std::ops::Range;

/// The destinations of a route or rule, at one time.
pub(super) struct Dealt<'n> {
    /// What is said of it, as in `http route "bluegreen"`.
    pub(super) subject: String,
    /// What its destinations are called in a sentence.
    pub(super) destinations: &'static str,
    /// Where its weights stand.
    pub(super) span: Range<usize>,
    /// Each destination: what makes it the same, its name, its weight.
    pub(super) parts: Vec<Part<'n>>,
}

/// A destination.
pub(super) struct Part<'n> {
    /// What makes it the same as one of before.
    pub(super) key: &'n Node,
    /// Its version.
    pub(super) name: String,
    /// Its weight.
    pub(super) weight: u64,
}

impl Dealt<'_> {
    pub(super) fn sum(&self) -> u64 {
        self.parts.iter().map(|part| part.weight).sum()
    }

    fn part(&self, key: &Node) -> Option<&Part<'_>> {
        self.parts.iter().find(|part| part.key.same(key))
    }

    /// The names of those that the other one has, too.
    fn common<'s>(&'s self, other: &Dealt<'_>) -> Vec<&'s Part<'s>> {
        let all = self.parts.iter();
        all.filter(|part| other.part(part.key).is_some()).collect()
    }

    /// Where the stretch of a destination begins and ends.
    fn stretch(&self, key: &Node) -> (u64, u64) {
        let mut from = 0;
        for part in &self.parts {
            if part.key.same(key) {
                break;
            }
            from += part.weight;
        }
        let own: u64 = self
            .parts
            .iter()
            .filter(|part| part.key.same(key))
            .map(|part| part.weight)
            .sum();
        (from, from + own)
    }
}

/// Compares the routes of an object with those of before. Shifts are looked for where
/// nothing else is.
pub(super) fn compare(
    checker: &mut Checker<'_>,
    object: Object<'_>,
    all: &[(Dealt<'_>, Dealt<'_>)],
) {
    let mut others = false;
    for (now, before) in all {
        let (of_now, of_before) = (now.common(before), before.common(now));
        let mut pairs = of_now.iter().zip(&of_before);
        if of_now.len() != of_before.len() || !pairs.all(|(a, b)| a.key.same(b.key)) {
            others = true;
            let order: Vec<&str> = before.parts.iter().map(|part| &*part.name).collect();
            let said = Said {
                what: format!(
                    "{} has its {} in another order",
                    now.subject, now.destinations
                ),
                write: format!(
                    "keep the {} in the order that they have: {}.",
                    now.destinations,
                    order.join(", ")
                ),
                why: "In another order users get another version, though the weights are the same."
                    .to_owned(),
            };
            checker.find(&ORDER, object.span(&now.span), said);
        }
        let (sum, sum_before) = (now.sum(), before.sum());
        if sum != sum_before {
            others = true;
            let said = Said {
                what: format!("{} has weights of another sum", now.subject),
                write: format!(
                    "the weights sum to {sum}; write weights that sum to {sum_before}, as before."
                ),
                why: "With another sum all users are dealt anew.".to_owned(),
            };
            checker.find(&SUM, object.span(&now.span), said);
        }
    }
    if others {
        return;
    }
    for (now, before) in all {
        let passed = now.parts.iter().find(|part| {
            before.part(part.key).is_some() && {
                let ((from, to), (old, old_to)) = (now.stretch(part.key), before.stretch(part.key));
                from < to
                    && old < old_to
                    && (from < old && to < old_to || from > old && to > old_to)
            }
        });
        if let Some(passed) = passed {
            let said = Said {
                what: format!("{} moves users who need not move", now.subject),
                write: format!(
                    "weight moves past {}, and its users get another version. Write weights that \
                     move between neighbours of the list: what one loses, the one before or after \
                     it gains.",
                    passed.name
                ),
                why: String::new(),
            };
            checker.find(&PAST, object.span(&now.span), said);
        }
    }
}
