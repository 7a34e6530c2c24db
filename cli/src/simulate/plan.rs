//! In which order to change the routes of a chain. A user has the same bucket on all hops,
//! so at the same weights the same version; while one route is changed and the next is not
//! yet, some have a new version of the one and an old one of the other.

use super::states::{Series, State};
use super::tally::grouped;
use super::{SimulateArgs, pick, users};
use crate::screen::{DIM, YELLOW, styled, wrapped};
use bluegreen::core::bucket::Bucket;
use std::fmt::Write as _;

/// Returns the plan.
pub(super) fn of(all: &[Series], args: &SimulateArgs) -> Result<String, String> {
    let first = all.first().ok_or("no route")?;
    if all.len() < 2 {
        return Err("--plan takes several weighted routes, the first hop first".to_owned());
    }
    let count = first.states.len();
    if all.iter().any(|series| series.states.len() != count) {
        return Err("--plan takes as many steps for each route".to_owned());
    }
    // The state of each route, from change to change.
    let mut now: Vec<usize> = vec![0; all.len()];
    let mut changes = vec![(None, now.clone())];
    for step in 1..count {
        for hop in order(all, step) {
            if let Some(state) = now.get_mut(hop) {
                *state = step;
            }
            changes.push((Some(hop), now.clone()));
        }
    }
    let mixed = mixed(all, &changes, first, args)?;
    Ok(text(all, &changes, &mixed))
}

/// Returns the routes in the order in which they are changed. Where later versions get
/// more, the last hop comes first: who has the new front finds the new back. Where they
/// get less, the first hop does.
fn order(all: &[Series], step: usize) -> Vec<usize> {
    let grows = |series: &Series| {
        let weight = |at: usize| {
            let state = series.states.get(at)?;
            Some((u64::from(*state.weights.last()?), state.sum))
        };
        match (step.checked_sub(1).and_then(weight), weight(step)) {
            (Some((before, of_before)), Some((now, of_now))) => {
                u128::from(now) * u128::from(of_before.get())
                    >= u128::from(before) * u128::from(of_now.get())
            }
            _ => true,
        }
    };
    let mut hops: Vec<usize> = (0..all.len()).collect();
    if all.first().is_none_or(grows) {
        hops.reverse();
    }
    hops
}

type Change = (Option<usize>, Vec<usize>);

/// Returns, after each change, how many users do not have the versions of one place in
/// the lists on all hops.
fn mixed(
    all: &[Series],
    changes: &[Change],
    first: &Series,
    args: &SimulateArgs,
) -> Result<Vec<u64>, String> {
    let mut counts = vec![0; changes.len()];
    users::each(args, |identity| {
        // The bucket of the first hop is what applications forward.
        let bucket = Bucket::of([&first.salt, b""], identity);
        for ((_, now), count) in changes.iter().zip(&mut counts) {
            let places = all.iter().zip(now).filter_map(|(series, at)| {
                let state = series.states.get(*at)?;
                Some(pick(bucket, &state.weights, state.sum))
            });
            let mut places = places;
            let of_first = places.next();
            *count += u64::from(places.any(|place| Some(place) != of_first));
        }
    })?;
    Ok(counts)
}

fn text(all: &[Series], changes: &[Change], mixed: &[u64]) -> String {
    let mut text = String::new();
    let names: Vec<&str> = all.iter().map(|series| &*series.route.object).collect();
    let _ = writeln!(
        text,
        "From the first hop to the last: {}\n",
        names.join(", ")
    );
    let width = names
        .iter()
        .map(|name| name.len())
        .max()
        .unwrap_or_default();
    let width = width.max("change".len());
    let shown = |at: usize, hop: usize| {
        let state = all.get(hop).and_then(|series| series.states.get(at));
        state.map(State::shown).unwrap_or_default()
    };
    let weights = "weights".len() + 2;
    let head = format!(
        "{:>4} {:<width$} {:>weights$} {:>12}",
        "", "change", "weights", "mixed"
    );
    let _ = writeln!(text, "{}", styled(DIM, &head));
    let mut worst = false;
    for (number, ((hop, now), mixed)) in changes.iter().zip(mixed).enumerate() {
        let (name, state) = match hop {
            Some(hop) => {
                let at = now.get(*hop).copied().unwrap_or_default();
                (
                    names.get(*hop).copied().unwrap_or_default(),
                    shown(at, *hop),
                )
            }
            None => ("as it is", shown(0, 0)),
        };
        let number = if number == 0 {
            String::new()
        } else {
            format!("{number}.")
        };
        let _ = writeln!(
            text,
            "{number:>4} {name:<width$} {state:>weights$} {:>12}",
            grouped(*mixed)
        );
        let is_whole = now.windows(2).all(|pair| pair.first() == pair.last());
        worst |= is_whole && *mixed > 0;
    }
    text.push('\n');
    let words = "Mixed are users who have an old version of one hop and a new one of another, \
        until the next change. In this order a new version is always in front of a new one, \
        as far as applications forward the bucket header.";
    for line in wrapped(words, 80) {
        let _ = writeln!(text, "{line}");
    }
    if worst {
        let words = "Some stay mixed after a step: the routes have different weights.";
        let _ = writeln!(text, "{} {words}", styled(YELLOW, "!"));
    }
    text
}
