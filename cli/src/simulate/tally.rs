//! Counts who is where at each step. It takes as much memory for one user as for all.

use super::states::{Series, State};
use crate::moves;
use bluegreen::core::bucket::{Bucket, pick_at};
use serde_json::{Value, json};

/// Who was where, and who moved.
#[derive(Debug)]
pub(super) struct Tally {
    states: Vec<State>,
    /// For each state, the version at each place of its list.
    versions: Vec<Vec<usize>>,
    /// For each state.
    pub(super) steps: Vec<Step>,
    /// All users.
    pub(super) users: u64,
    /// Those who moved more than once.
    pub(super) several: u64,
}

/// Who is where in a state.
#[derive(Debug, Default, Clone)]
pub(super) struct Step {
    /// The users of each version.
    pub(super) users: Vec<u64>,
    /// Those who had another version one step before.
    pub(super) moved: u64,
    /// Those among them who have a version that they had before already.
    pub(super) back: u64,
}

impl Tally {
    pub(super) fn new(series: &Series) -> Self {
        let of_version = |version: &String| {
            let mut all = series.versions.iter();
            all.position(|other| other == version).unwrap_or_default()
        };
        let versions = |state: &State| state.versions.iter().map(of_version).collect();
        let empty = Step {
            users: vec![0; series.versions.len()],
            ..Step::default()
        };
        Self {
            versions: series.states.iter().map(versions).collect(),
            steps: vec![empty; series.states.len()],
            states: series.states.clone(),
            users: 0,
            several: 0,
        }
    }

    /// Counts a user.
    pub(super) fn add(&mut self, bucket: Bucket) {
        self.users += 1;
        let mut before = None;
        let mut at = None;
        let mut seen = 0_u64;
        let mut moves = 0_u32;
        let states = self.states.iter().zip(&self.versions);
        for ((state, versions), step) in states.zip(&mut self.steps) {
            // A division takes as long as all else of a state.
            let place = match at {
                Some((sum, place)) if sum == state.sum => place,
                _ => bucket.place(state.sum),
            };
            at = Some((state.sum, place));
            let place = pick_at(place, state.weights.iter().copied()).unwrap_or_default();
            let version = versions.get(place).copied().unwrap_or_default();
            if let Some(users) = step.users.get_mut(version) {
                *users += 1;
            }
            let bit = 1 << version;
            if before.is_some_and(|before| before != version) {
                moves += 1;
                step.moved += 1;
                step.back += u64::from(seen & bit != 0);
            }
            seen |= bit;
            before = Some(version);
        }
        self.several += u64::from(moves > 1);
    }

    /// Returns the moves of a step that no weights ask for: what one version loses, others
    /// have to gain, and the rest is for nothing.
    pub(super) fn needless(&self, step: usize) -> u64 {
        let before = step
            .checked_sub(1)
            .and_then(|before| self.steps.get(before));
        let (Some(before), Some(now)) = (before, self.steps.get(step)) else {
            return 0;
        };
        let lost = before.users.iter().zip(&now.users);
        let needed: u64 = lost.map(|(before, now)| before.saturating_sub(*now)).sum();
        now.moved.saturating_sub(needed)
    }

    /// Returns what is said of moves that an order, a sum or a shift causes.
    pub(super) fn warnings(&self, series: &Series) -> Vec<String> {
        let pairs = series.states.windows(2).enumerate();
        let mut warnings = Vec::new();
        for (at, pair) in pairs {
            let [before, now] = pair else { continue };
            let why = why(before, now);
            let needless = self.needless(at + 1);
            if let Some(why) = why.filter(|_| needless > 0) {
                let shown = now.shown();
                warnings.push(format!(
                    "{shown}: {why} {} move for nothing.",
                    grouped(needless)
                ));
            }
        }
        warnings
    }

    /// Returns it as JSON.
    pub(super) fn json(&self, series: &Series) -> Value {
        let steps = series.states.iter().zip(&self.steps).enumerate();
        let steps: Vec<Value> = steps
            .map(|(at, (state, step))| {
                let users: serde_json::Map<String, Value> = series
                    .versions
                    .iter()
                    .cloned()
                    .zip(step.users.iter().map(|users| json!(users)))
                    .collect();
                json!({
                    "versions": state.versions,
                    "weights": state.weights,
                    "users": users,
                    "moved": step.moved,
                    "back": step.back,
                    "needless": self.needless(at),
                })
            })
            .collect();
        json!({
            "object": series.route.object,
            "route": series.route.name,
            "host": series.host,
            "users": self.users,
            "movedSeveralTimes": self.several,
            "steps": steps,
            "warnings": self.warnings(series),
        })
    }
}

/// Returns why users move for nothing.
fn why(before: &State, now: &State) -> Option<String> {
    let (of_now, of_before) = (now.parts(), before.parts());
    let same = |one: &&str, other: &&str| one == other;
    if moves::order_differs(&of_now, &of_before, same) {
        let order = before.versions.join(", ");
        return Some(format!(
            "the order was {order}. In another one users get another version:"
        ));
    }
    if before.sum != now.sum {
        return Some(format!(
            "the sum of the weights was {}, and is {}. With another one all users are dealt anew:",
            before.sum, now.sum
        ));
    }
    let passed = moves::passed(&of_now, &of_before, same)?;
    let passed = now.versions.get(passed)?;
    Some(format!(
        "weight moves past {passed}, and its users get another version:"
    ))
}

/// Returns a number with a comma between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
