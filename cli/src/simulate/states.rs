//! The states of a weighted route, one after the other.

use crate::mesh::{Action, Route, Routes};
use bluegreen::core::config::Config;
use bluegreen::core::decision::{self, Caller};
use bluegreen::core::host::{ServiceNames, of_authority};
use bluegreen::core::marked_routes::WEIGHTED;
use bluegreen::core::route_name::RouteName;
use std::num::NonZeroU64;
use std::str::FromStr;

/// A weighted route, and what becomes of it.
#[derive(Debug)]
pub(super) struct Series {
    /// Which route it is.
    pub(super) route: RouteId,
    /// Its states. There is at least one.
    pub(super) states: Vec<State>,
    /// All versions of all states, in the order in which they come up.
    pub(super) versions: Vec<String>,
    /// The host that users ask for.
    pub(super) host: String,
    /// What users are dealt by.
    pub(super) salt: Vec<u8>,
}

/// Which route it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RouteId {
    /// `NAME.NAMESPACE` of its object.
    pub(super) object: String,
    /// Its own name, or of one that states its weights how it begins.
    pub(super) name: String,
    /// The first host that it is for.
    pub(super) host: String,
    /// The namespace of its object.
    pub(super) namespace: String,
}

/// The weights of a route at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// The versions, in their order.
    pub(super) versions: Vec<String>,
    /// Their weights.
    pub(super) weights: Vec<u32>,
    /// The sum of the weights.
    pub(super) sum: NonZeroU64,
}

impl State {
    fn new(versions: Vec<String>, weights: Vec<u32>) -> Option<Self> {
        let sum = NonZeroU64::new(weights.iter().map(|weight| u64::from(*weight)).sum())?;
        Some(Self {
            versions,
            weights,
            sum,
        })
    }

    /// Returns the weights as in `70/30`.
    pub(super) fn shown(&self) -> String {
        let weights: Vec<String> = self.weights.iter().map(ToString::to_string).collect();
        weights.join("/")
    }

    /// Returns the versions with their weights.
    pub(super) fn parts(&self) -> Vec<(&str, u64)> {
        let versions = self.versions.iter().map(|version| &**version);
        versions
            .zip(self.weights.iter().map(|weight| u64::from(*weight)))
            .collect()
    }
}

/// Returns the weighted routes of ours, each with its state: those that a file says, the
/// route itself or what it is handed over to.
pub(super) fn of(routes: &Routes, file: usize) -> Vec<(RouteId, State)> {
    let mut found: Vec<(RouteId, State)> = Vec::new();
    for route in routes.all() {
        let by = route.delegate.as_ref();
        let is_said = route.at.file == file || by.is_some_and(|(_, at)| at.file == file);
        if let Some(state) = state(route).filter(|_| is_said) {
            let source = &route.source;
            let stated = matches!(RouteName::of(route.name.as_bytes()), RouteName::States(_));
            let name = if stated { "bluegreen." } else { &route.name };
            let id = RouteId {
                object: format!("{}.{}", source.name, source.namespace),
                name: name.to_owned(),
                host: route.hosts.first().cloned().unwrap_or_default(),
                namespace: source.namespace.clone(),
            };
            if found.iter().all(|(other, _)| *other != id) {
                found.push((id, state));
            }
        }
    }
    found
}

fn state(route: &Route) -> Option<State> {
    if let RouteName::States(weights) = RouteName::of(route.name.as_bytes()) {
        let names = weights.backends().iter();
        let names = names.map(|each| String::from_utf8_lossy(&each.name).into_owned());
        let weights = weights.backends().iter().map(|each| each.weight);
        return State::new(names.collect(), weights.collect());
    }
    let Action::Destinations(all) = &route.action else {
        return None;
    };
    if !WEIGHTED.contains(&&*route.name) || all.len() < 2 {
        return None;
    }
    let versions = all.iter().map(|each| each.version().to_owned());
    State::new(
        versions.collect(),
        all.iter().map(|each| each.weight).collect(),
    )
}

impl Series {
    pub(super) fn new(route: RouteId, state: State) -> Self {
        Self {
            host: route.host.clone(),
            route,
            states: vec![state],
            versions: Vec::new(),
            salt: Vec::new(),
        }
    }

    /// Adds the steps of `--to`.
    pub(super) fn go_on(&mut self, to: &[To]) -> Result<(), String> {
        for step in to {
            let Some(last) = self.states.last() else {
                continue;
            };
            let weights = step.weights(last)?;
            let state = State::new(last.versions.clone(), weights);
            let state = state.ok_or_else(|| format!("--to {step}: all weights are 0"))?;
            self.states.push(state);
        }
        let mut versions: Vec<String> = Vec::new();
        for version in self.states.iter().flat_map(|state| &state.versions) {
            if !versions.contains(version) {
                versions.push(version.clone());
            }
        }
        if versions.len() > MOST_VERSIONS {
            return Err(format!("more than {MOST_VERSIONS} versions"));
        }
        self.versions = versions;
        Ok(())
    }

    /// Sets what users are dealt by: the host, or the salt of the configuration for it.
    pub(super) fn dealt_by(&mut self, host: Option<&str>, config: &Config) {
        if let Some(host) = host {
            host.clone_into(&mut self.host);
        }
        let host = of_authority(self.host.as_bytes());
        let node = format!("sidecar~~~{}.svc.cluster.local", self.route.namespace);
        let names = ServiceNames::of_node(node.as_bytes());
        // The name of a Service: whoever asks by it is a workload.
        let is_short = !self.host.contains('.') && !self.host.contains('*');
        let is_service = is_short || self.host.ends_with(".svc.cluster.local");
        let caller = if is_service {
            Caller::Workload(names.as_ref())
        } else {
            Caller::Stranger
        };
        let settings = config.settings(config.rollouts.find(|| &host, || Some(b"/")));
        self.salt = decision::salt(settings, caller, &host).concat();
    }
}

/// The most versions of a route.
pub(super) const MOST_VERSIONS: usize = 64;

/// A step of `--to`.
#[derive(Debug, Clone)]
pub enum To {
    /// So much of the sum for the last version, the rest for the one before it.
    Last(u32),
    /// These weights, in the order of the versions.
    All(Vec<u32>),
}

impl To {
    fn weights(&self, before: &State) -> Result<Vec<u32>, String> {
        let versions = before.versions.join(", ");
        match self {
            Self::All(weights) if weights.len() == before.versions.len() => Ok(weights.clone()),
            Self::All(_) => Err(format!(
                "--to {self}: is not a weight for each of {versions}"
            )),
            Self::Last(weight) if before.versions.len() == 2 => {
                let sum = before.sum.get();
                let rest = sum.checked_sub(u64::from(*weight));
                let rest = rest.and_then(|rest| u32::try_from(rest).ok());
                let rest =
                    rest.ok_or_else(|| format!("--to {weight}: is more than {sum}, the sum"))?;
                Ok(vec![rest, *weight])
            }
            Self::Last(weight) => Err(format!(
                "--to {weight}: write a weight for each of {versions}, as in 80/10/10"
            )),
        }
    }
}

impl FromStr for To {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| {
            part.parse()
                .map_err(|_| format!("{part:?} is not a weight, a whole number of 0 or more"))
        };
        let mut weights: Vec<u32> = text.split('/').map(number).collect::<Result<_, _>>()?;
        match weights.pop() {
            Some(only) if weights.is_empty() => Ok(Self::Last(only)),
            last => {
                weights.extend(last);
                Ok(Self::All(weights))
            }
        }
    }
}

impl std::fmt::Display for To {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Last(weight) => write!(f, "{weight}"),
            Self::All(weights) => {
                let weights: Vec<String> = weights.iter().map(ToString::to_string).collect();
                f.write_str(&weights.join("/"))
            }
        }
    }
}
