//! What moves users for nothing when weights change: the order, the sum, a shift past a
//! version.

use super::list::{ORDER, PAST, SUM};
use super::{Checker, Object, Said};
use crate::moves;
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

impl<'n> Dealt<'n> {
    /// Returns what makes each the same, and its weight.
    fn keys(&self) -> Vec<(&'n Node, u64)> {
        let parts = self.parts.iter();
        parts.map(|part| (part.key, part.weight)).collect()
    }
}

/// Compares the routes of an object with those of before. Shifts are looked for where
/// nothing else is.
pub(super) fn compare(
    checker: &mut Checker<'_>,
    object: Object<'_>,
    all: &[(Dealt<'_>, Dealt<'_>)],
) {
    let same = |one: &&Node, other: &&Node| one.same(other);
    let mut others = false;
    for (now, before) in all {
        let (of_now, of_before) = (now.keys(), before.keys());
        if moves::order_differs(&of_now, &of_before, same) {
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
        let (sum, sum_before) = (moves::sum(&of_now), moves::sum(&of_before));
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
        let passed = moves::passed(&now.keys(), &before.keys(), same);
        let passed = passed.and_then(|place| now.parts.get(place));
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
